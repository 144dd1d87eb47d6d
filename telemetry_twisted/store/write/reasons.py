"""The reason of a failure, read straight from the message.

Failures are most of the facts, and of each only the reason is wanted. In all but a few it stands
behind fields whose sizes are fixed or told by a byte, so that there is no need to read those.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from telemetry_twisted.jip3.table import (
    HEAD_SIZE,
    NEWEST_VERSION,
    TABLE,
    Enum,
    EventType,
    Opt,
    Seq,
    fixed_size,
    leaves,
)
from telemetry_twisted.jip3.values import decode_event

OTHER_REASONS = "(other reasons)"
"""Stands for the reasons that are not told apart, where there are too many."""

_LONGEST_SHORT = 0x7F
"""Largest natural of one byte."""


@frozen
class _Varying:
    """A value that begins with a byte: how many items of ``size`` bytes follow, at most ``most``
    if it is to be understood here; ``after`` bytes later comes what is next."""

    size: int
    most: int
    after: int


@frozen(eq=False)
class ReasonPlace:
    """Where the reason stands in messages of type ``kind``: after ``offset`` bytes and what varies.

    ``names`` are given if the reason is one of them.
    """

    kind: int
    offset: int
    varying: tuple[_Varying, ...]
    names: tuple[str, ...] | None

    def read(self, content: bytes) -> bytes | None:
        """What says the reason in ``content``, None where it takes a decoder to find it."""
        at = self.offset
        size = len(content)
        for value in self.varying:
            if at >= size or content[at] > value.most:
                return None
            at += 1 + content[at] * value.size + value.after
        if at >= size:
            return None
        first = content[at]
        if self.names is not None:
            return content[at : at + 1] if first < len(self.names) else None
        return content[at + 1 : at + 1 + first] if first <= _LONGEST_SHORT else None

    def text(self, said: bytes) -> str:
        """The reason that is said by what :meth:`read` returned."""
        return said.decode("utf-8", "replace") if self.names is None else self.names[said[0]]


def read_reason(content: bytes, cores: int | None, version: int) -> str:
    """The reason in ``content``, the message of an event that has one.

    :raises telemetry_twisted.jip3.values.DecodeError: if the message cannot be decoded.
    """
    place = reason_places(version).get(content[HEAD_SIZE - 1])
    said = place.read(content) if place is not None else None
    if place is not None and said is not None:
        return place.text(said)
    reason: str = decode_event(content, cores, version).fields["reason"]
    return reason


def reason_places(version: int) -> Mapping[int, ReasonPlace]:
    """Where reasons stand in the messages of a node of protocol ``version``, by their type."""
    return _PLACES[min(version, NEWEST_VERSION)]


def _place(event: EventType) -> ReasonPlace | None:
    sizes = [HEAD_SIZE]
    varying: list[tuple[int, int]] = []
    for name, wire in leaves(event.fields):
        if name == "reason":
            after = zip(varying, sizes[1:], strict=True)
            names = wire.names if isinstance(wire, Enum) else None
            each = tuple(_Varying(*value, size) for value, size in after)
            return ReasonPlace(event.discriminator, sizes[0], each, names)
        size = fixed_size(wire)
        if size is not None:
            sizes[-1] += size
            continue
        item = fixed_size(wire.item) if isinstance(wire, (Opt, Seq)) else None
        if item is None:
            return None
        varying.append((item, 1 if isinstance(wire, Opt) else _LONGEST_SHORT))
        sizes.append(0)
    return None


def _places(version: int) -> Mapping[int, ReasonPlace]:
    found = {kind: _place(event) for kind, event in TABLE.events_of(version).items()}
    return {kind: place for kind, place in found.items() if place is not None}


_PLACES = tuple(_places(version) for version in range(NEWEST_VERSION + 1))
