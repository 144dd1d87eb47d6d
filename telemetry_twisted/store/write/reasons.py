"""The reason of a failure, read straight from the message.

Failures are most of the facts, and of each only the reason is wanted. In nearly all of them it
stands behind fields of a fixed size, so that there is no need to read those.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from telemetry_twisted.jip3.table import HEAD_SIZE, NEWEST_VERSION, TABLE, Enum, EventType
from telemetry_twisted.jip3.values import decode_event

OTHER_REASONS = "(other reasons)"
"""Stands for the reasons that are not told apart, where there are too many."""

_LONGEST_SHORT = 0x7F
"""Longest string whose length is one byte (a natural)."""


@frozen
class _Place:
    """Where a reason begins in the content of a message; ``names`` if it is one of them."""

    offset: int
    names: tuple[str, ...] | None


def read_reason(content: bytes, cores: int | None, version: int) -> str:
    """The reason in ``content``, the message of an event that has one.

    :raises telemetry_twisted.jip3.values.DecodeError: if the message cannot be decoded.
    """
    place = _PLACES[min(version, NEWEST_VERSION)].get(content[HEAD_SIZE - 1])
    if place is not None and place.offset < len(content):
        first = content[place.offset]
        if place.names is not None:
            if first < len(place.names):
                return place.names[first]
        elif first <= _LONGEST_SHORT:
            begin = place.offset + 1
            return content[begin : begin + first].decode("utf-8", "replace")
    reason: str = decode_event(content, cores, version).fields["reason"]
    return reason


def _place(event: EventType) -> _Place | None:
    offset = event.offset_of("reason")
    if offset is None:
        return None
    wire = dict(event.fields)["reason"]
    return _Place(offset, wire.names if isinstance(wire, Enum) else None)


def _places(version: int) -> Mapping[int, _Place]:
    found = {kind: _place(event) for kind, event in TABLE.events_of(version).items()}
    return {kind: place for kind, place in found.items() if place is not None}


_PLACES = tuple(_places(version) for version in range(NEWEST_VERSION + 1))
