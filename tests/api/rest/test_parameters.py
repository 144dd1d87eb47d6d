"""Parameters: read, refused, and documented from one declaration."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, field
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.rest.asked import (
    Asked,
    BadRequest,
    Limit,
    Moment,
    NodeId,
    TypesAsked,
)
from telemetry_twisted.api.rest.parameters import MOST_VALUES, parameters_of, read_parameters
from telemetry_twisted.api.rest.routes import ENDPOINTS, STREAMS
from telemetry_twisted.jip3.table import TABLE

NODE = 64 * "a"


class ThingAsked(Asked, frozen=True, kw_only=True):
    """One of everything."""

    thing: NodeId
    limit: Limit = 7
    kind: Annotated[Literal["hot", "cold"], Meta(description="How it is.")] | None = None
    open: Annotated[bool, Meta(description="Whether.")] | None = None
    name: Annotated[str, Meta(min_length=1, max_length=3)] | None = None
    also: Annotated[list[NodeId], Meta(description="More.")] = field(default_factory=list)
    from_: Moment = field(name="from", default=Moment.read("-1h"))


PARAMETERS = parameters_of(ThingAsked, "/things/{thing}")


def read(query: dict[str, list[str]], thing: str = NODE) -> Any:
    encoded = {name.encode(): [text.encode() for text in texts] for name, texts in query.items()}
    return read_parameters(ThingAsked, PARAMETERS, encoded, {"thing": thing})


class ParameterTests(SynchronousTestCase):
    """A declaration of one of everything."""

    def refused(self, query: dict[str, list[str]], thing: str = NODE) -> str:
        return str(self.assertRaises(BadRequest, read, query, thing))

    def test_what_is_given_is_read_as_its_type(self) -> None:
        given = {"limit": ["5"], "kind": ["hot"], "open": ["false"], "also": [NODE, NODE]}
        self.assertEqual(
            read({**given, "from": ["now"], "name": ["x"]}),
            ThingAsked(
                thing=NODE,
                limit=5,
                kind="hot",
                open=False,
                also=[NODE, NODE],
                from_=Moment.read("now"),
                name="x",
            ),
        )

    def test_what_is_not_given_is_what_the_declaration_says(self) -> None:
        self.assertEqual(read({}), ThingAsked(thing=NODE))

    def test_what_is_wrong_is_told_with_what_was_expected(self) -> None:
        for query, message in (
            ({"limit": ["0"]}, "limit: expected a whole number from 1 to 500"),
            ({"kind": ["warm"]}, "kind: expected one of hot, cold"),
            ({"open": ["1"]}, "open: expected one of true, false"),
            ({"name": ["long"]}, "name: expected 1 to 3 characters"),
            ({"name": ["\0"]}, "name: expected 1 to 3 characters"),
            ({"also": [NODE, "b"]}, "also: expected a node ID: 64 lowercase hex digits"),
            ({"limit": ["1", "2"]}, "limit is given 2 times, 1 at most"),
            ({"also": [NODE] * 51}, f"also is given 51 times, {MOST_VALUES} at most"),
            (
                {"thing": [NODE]},
                "unknown parameter 'thing'; accepted: limit, kind, open, name, also, from",
            ),
        ):
            self.assertEqual(self.refused(query), message)
        self.assertEqual(
            self.refused({}, "me"), "thing: expected a node ID: 64 lowercase hex digits"
        )
        # A dollar sign would let a line feed follow.
        self.assertIn("expected a node ID", self.refused({}, f"{NODE}\n"))

    def test_programs_are_told_the_same(self) -> None:
        told = {parameter.name: parameter for parameter in PARAMETERS}
        self.assertEqual(
            told["limit"].schema, {"type": "integer", "minimum": 1, "maximum": 500, "default": 7}
        )
        self.assertEqual((told["kind"].schema, told["kind"].description), (
            {"enum": ["hot", "cold"]}, "How it is.",
        ))  # fmt: skip
        self.assertEqual(told["from"].schema["default"], "-1h")
        self.assertEqual(told["also"].schema["items"]["pattern"], "^[0-9a-f]{64}$")
        self.assertEqual([p.name for p in PARAMETERS if p.in_path], ["thing"])

    def test_every_parameter_of_the_api_says_what_it_is(self) -> None:
        for endpoint in (*ENDPOINTS, *STREAMS):
            self.assertRegex(endpoint.title, r"^[A-Z].*[^.]$")
            for parameter in endpoint.parameters:
                self.assertTrue(parameter.description, (endpoint.path, parameter.name))
            named = re.findall(r"\{(\w+)\}", endpoint.path)
            self.assertEqual(named, [p.name for p in endpoint.parameters if p.in_path])

    def test_types_and_groups_are_added_up(self) -> None:
        parameters = parameters_of(TypesAsked, "/")
        given = {b"type": [b"11", b"Status"], b"group": [b"networking"]}
        asked = read_parameters(TypesAsked, parameters, given, {})
        self.assertEqual(asked.types, {10, 11, *TABLE.groups["networking"]})
        self.assertIsNone(TypesAsked().types)

    @given(st.text(max_size=40))
    def test_no_text_is_read_as_a_time_that_its_pattern_forbids(self, text: str) -> None:
        try:
            Moment.read(text)
        except ValueError as error:
            self.assertIn("expected a time such as", str(error))
        else:
            self.assertTrue(re.match(Moment.SCHEMA["pattern"], text.replace(" ", "+")))
