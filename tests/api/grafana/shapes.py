"""What JamTART answers at each path, as facts (``api.json``), and whether an answer is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from attrs import frozen

FACTS = json.loads((Path(__file__).parent / "api.json").read_text())

Json = Any

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def _is_integer(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list_of(kind: str, value: Json) -> bool:
    return isinstance(value, list) and all(_TYPES[kind](each) for each in value)


_TYPES: dict[str, Any] = {
    "integer": _is_integer,
    "float": lambda value: _is_integer(value) or isinstance(value, float),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "datetime": lambda value: isinstance(value, str) and bool(_TIME.fullmatch(value)),
    "array<integer>": lambda value: _is_list_of("integer", value),
    "array<string>": lambda value: _is_list_of("string", value),
}


@frozen
class Fields:
    """What an answer has: a list or an object with some fields, declared as ``api.json`` does."""

    is_list: bool
    fields: list[dict[str, Json]]

    def check(self, answer: Json) -> None:
        """Hold an answer to it.

        :raises AssertionError: saying which field is not as it should be.
        """
        assert isinstance(answer, list if self.is_list else dict)
        for row in answer if self.is_list else [answer]:
            for field in self.fields:
                _check(row, field["name"].split("."), field)

    def told(self, answer: Json) -> int:
        """How many things are in the lists of an answer."""
        if self.is_list:
            return len(answer)
        return sum(len(each) for each in answer.values() if isinstance(each, list))


def _check(row: Json, path: list[str], field: dict[str, Json]) -> None:
    name, *rest = path
    assert isinstance(row, dict), f"{field['name']} is in no object"
    is_list = name.endswith("[]")
    name = name.removesuffix("[]")
    if name not in row:
        assert field.get("omitted_when_null"), f"{field['name']} is missing"
        return
    value = row[name]
    if is_list:
        assert isinstance(value, list), f"{field['name']} is in no list"
        for each in value:
            if rest:
                _check(each, rest, field)
    elif value is None:
        # The fields of what is null are not there either.
        assert rest or field["nullable"], f"{field['name']} is null"
    elif rest:
        _check(value, rest, field)
    else:
        assert _TYPES[field["type"]](value), f"{field['name']} is {value!r}"


@frozen
class Case:
    """A path of the API, asked as ``api.json`` says, and what the answer has."""

    path: str
    method: str
    query: dict[str, str]
    answered: Fields

    def __str__(self) -> str:
        return self.path + "".join(f" {name}" for name in self.query)


def _cases() -> list[Case]:
    found = []
    for each in FACTS["endpoints"]:
        is_list = each["response"] == "array"
        found.append(Case(each["path"], each["method"], {}, Fields(is_list, each["fields"])))
        if each.get("alt"):
            name = each["alt"]["when"].split()[0]
            query = {name: {"interval": "30s"}.get(name, "1")}
            found.append(Case(each["path"], "GET", query, Fields(True, each["alt"]["fields"])))
    return found


CASES = _cases()


def empties(answer: Json) -> list[str]:
    """The lists that there are in an answer and that hold nothing, by name."""
    found = []
    for row in answer if isinstance(answer, list) else [answer]:
        for name, value in row.items():
            if value == []:
                found.append(name)
            elif isinstance(value, list) and isinstance(value[0], dict):
                found += empties(value)
    return found
