"""How what is below ``/api/grafana`` is declared, asked, and answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from msgspec import NODEFAULT, structs

from telemetry_twisted.api.rest.asked import Asked, BadRequest
from telemetry_twisted.api.rest.endpoint import Endpoint, Sources, endpoint
from telemetry_twisted.api.rest.parameters import read_parameters

A = TypeVar("A", bound=Asked)

PREFIX = "/api/grafana/"

Row = dict[str, Any]
"""An object of an answer, by the names of its fields."""

Rows = list[Row]


def grafana(path: str) -> Callable[[Callable[[Sources, A], Awaitable[Any]]], Endpoint]:
    """Declares what is decorated as what answers at ``path`` below :data:`PREFIX`."""
    return endpoint(PREFIX + path)


def read_given(
    declared: Endpoint, given: Mapping[bytes, list[bytes]], path: Mapping[str, str]
) -> Any:
    """What a request says, of which unknown parameters and repeated values are ignored, and
    numbers that are left empty, as dashboards do where all are meant.

    :raises BadRequest: if something that is needed is missing, or cannot be read.
    """
    known = {}
    for parameter in declared.parameters:
        texts = given.get(parameter.name.encode(), [])[:1]
        if texts and not parameter.in_path and (texts[0] or parameter.schema["type"] == "string"):
            known[parameter.name.encode()] = texts
    for each in structs.fields(declared.asked):
        needed = each.default is NODEFAULT and each.default_factory is NODEFAULT
        if needed and each.encode_name.encode() not in known and each.encode_name not in path:
            raise BadRequest(
                f"{each.encode_name} is missing; expected start and end, such as "
                "start=2026-11-24T07:42:00Z"
            )
    return read_parameters(declared.asked, declared.parameters, known, path)
