"""What a query of the REST API may say: types that are read from text, and tell OpenAPI how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Annotated, Any, ClassVar

from attrs import frozen
from msgspec import Meta, Struct, field

from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.reading import UNITS
from telemetry_twisted.store.read.raw_search import Place

DAY = 86400

OLDEST_SECONDS = 366 * DAY
"""Nothing older is kept, whatever is asked for."""

_RELATIVE = r"-[0-9]{1,7}[smhd]"
_ABSOLUTE = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class BadRequest(Exception):
    """A request that cannot be answered, and why."""


@frozen
class Moment:
    """A time: ``seconds`` of Unix time, or before now if ``relative``; ``text`` is how it was said.

    ``SCHEMA`` tells programs what :meth:`read` accepts, here and in what is read likewise below.
    """

    text: str
    seconds: float
    relative: bool = False

    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "string",
        "pattern": f"^(now|{_RELATIVE}|{_ABSOLUTE})$",
        "examples": ["-1h", "2026-11-24T07:42:00Z"],
    }

    def __str__(self) -> str:
        return self.text

    def at(self, now: float) -> float:
        """The time in seconds of Unix time."""
        return now - self.seconds if self.relative else self.seconds

    @classmethod
    def read(cls, text: str) -> Moment:
        """The time that ``text`` says: ``now``, one before it such as ``-15m``, or RFC 3339.

        :raises ValueError: with what was expected.
        """
        if text == "now":
            return cls(text, 0, relative=True)
        if re.fullmatch(_RELATIVE, text):
            return cls(text, int(text[1:-1]) * UNITS[text[-1]], relative=True)
        # A plus sign that was not escaped arrives as a space.
        text = re.sub(r" (?=[0-9]{2}:[0-9]{2}$)", "+", text)
        match = re.fullmatch(_ABSOLUTE, text)
        if match:
            fraction, zone = match[1] or "", match[2]
            whole = text[: len(text) - len(fraction) - len(zone)]
            try:
                time = datetime.fromisoformat(whole + ("+00:00" if zone in "Zz" else zone))
                seconds = time.astimezone(timezone.utc).timestamp()
                return cls(text, seconds + float(fraction or 0))
            except (ValueError, OverflowError):
                pass
        raise ValueError("expected a time such as 2026-11-24T07:42:00Z, -15m, -2h, -30d or now")


_TYPES: Mapping[str, int] = {event.name: number for number, event in TABLE.events.items()}


class EventType(int):
    """The number of an event type."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "anyOf": [{"type": "integer", "enum": list(TABLE.events)}, {"enum": list(_TYPES)}]
    }

    @classmethod
    def read(cls, text: str) -> EventType:
        """The type that ``text`` numbers or names.

        :raises ValueError: with what was expected.
        """
        if text in _TYPES:
            return cls(_TYPES[text])
        if re.fullmatch("[0-9]{1,3}", text) and int(text) in TABLE.events:
            return cls(text)
        raise ValueError(
            "expected the number or the name of an event type, as /api/event-types lists"
        )


class EventGroup(str):
    """The name of a group of event types."""

    __slots__ = ()
    SCHEMA: ClassVar[dict[str, Any]] = {"enum": list(TABLE.groups)}

    @classmethod
    def read(cls, text: str) -> EventGroup:
        """The group that ``text`` names.

        :raises ValueError: with what was expected.
        """
        if text not in TABLE.groups:
            raise ValueError(f"expected one of {', '.join(TABLE.groups)}")
        return cls(text)


@frozen
class Cursor:
    """Where a page of raw events ended."""

    place: Place

    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "string",
        "pattern": r"^[0-9]{1,18}\.[0-9]{1,18}\.[0-9]{1,18}$",
    }

    @classmethod
    def read(cls, text: str) -> Cursor:
        """The place that an answer gave.

        :raises ValueError: with what was expected.
        """
        try:
            return cls(Place.parse(text))
        except ValueError:
            raise ValueError("expected what an answer gave as next") from None


NODE_ID = Meta(pattern="^[0-9a-f]{64}$", title="a node ID: 64 lowercase hex digits")
NodeId = Annotated[str, NODE_ID]

_GO_ON = "Go on where an answer ended: what it gave as next."
Limit = Annotated[int, Meta(ge=1, le=500, description="At most so many.")]
After = Annotated[int, Meta(ge=0, le=2**62, description=_GO_ON)]
AfterPlace = Annotated[Cursor, Meta(description=_GO_ON)]
OnlyNode = Annotated[NodeId, Meta(description="Only what came from this node.")]
OnlyNetwork = Annotated[
    str,
    Meta(
        pattern="^0x[0-9a-f]{64}$",
        title="a genesis hash: 0x and 64 lowercase hex digits",
        description="The network, by its genesis hash. Where none is given, and there are several, "
        "it is the one that was known first of those that are there.",
    ),
]
OnlyCore = Annotated[
    int, Meta(ge=0, le=65534, description="Only what belongs to this core; not with node.")
]
OnlyTypes = Annotated[
    list[EventType],
    Meta(description="Only events of this type, by number or name; may be repeated."),
]
OnlyGroups = Annotated[
    list[EventGroup],
    Meta(description="Only events of this group of types; may be repeated."),
]
From = Annotated[
    Moment,
    Meta(description="From when on: RFC 3339, or before now, such as -15m, -2h or -30d."),
]
To = Annotated[
    Moment, Meta(description="Until when, likewise. What lies in the future is left out.")
]


class Asked(Struct, frozen=True, kw_only=True):
    """What a request says: a field for each parameter, with what holds when it is not given."""


class RangeAsked(Asked, frozen=True, kw_only=True):
    """A request that is about a range of time."""

    from_: From = field(name="from", default=Moment.read("-1h"))
    to: To = Moment.read("now")

    def range(self, now: float) -> tuple[float, float]:
        """From when to when in seconds of Unix time, as far as there can be history of it.

        :raises BadRequest: if it ends before it begins.
        """
        begin, end = self.from_.at(now), self.to.at(now)
        if begin >= end:
            raise BadRequest("from must be before to")
        end = max(min(end, now), 1.0)
        return min(max(begin, now - OLDEST_SECONDS), end - 1), end


class NetworkAsked(RangeAsked, frozen=True, kw_only=True):
    """A request that is about a range of time in a network."""

    network: OnlyNetwork | None = None


class PlaceAsked(NetworkAsked, frozen=True, kw_only=True):
    """A request that may be about a node or a core of a network alone."""

    node: OnlyNode | None = None
    core: OnlyCore | None = None


class TypesAsked(RangeAsked, frozen=True, kw_only=True):
    """A request that is about some types of events."""

    type: OnlyTypes = field(default_factory=list)
    group: OnlyGroups = field(default_factory=list)

    @property
    def types(self) -> set[int] | None:
        """The event types that ``type`` and ``group`` name together; None if neither was given."""
        types = set(map(int, self.type))
        for group in self.group:
            types.update(TABLE.groups[group])
        return types or None
