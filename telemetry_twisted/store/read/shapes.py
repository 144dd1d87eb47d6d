"""What answers are made of, declared once: what is sent, and what OpenAPI says of it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.timestamps import rfc3339

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339, UTC."""

NodeId = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Hash = Annotated[str, Meta(pattern="^0x[0-9a-f]{64}$")]
Genesis = Annotated[str, Meta(description="The genesis hash, which tells the network.")]

Group = Annotated[str, Meta(extra_json_schema={"enum": [*TABLE.groups, "unknown"]})]
"""A group of event types; ``unknown`` is that of types that the table does not have."""

BlockKind = Literal["best", "finalized"]

Next = Annotated[int, Meta(description="Where to go on, as `cursor`.")] | None
"""Where to go on with what was asked for, null after the last."""

Json = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]
"""An object that is JSON already, and is sent as it is."""


class Answer(Struct, forbid_unknown_fields=True):
    """An object with just these fields."""


class Range(Answer):
    """From when to when."""

    from_: Time = msgspec.field(name="from")
    to: Time


class Steps(Range):
    """A range that is told in steps."""

    resolution_seconds: int


class Series(Answer):
    """Counts over time, one for each step, and their sum."""

    total: int
    counts: list[int]


LATEST_TIME = 253_402_300_799_000_000
"""The last second of the year 9999, in microseconds: a node may claim any time."""


def micros(at: int) -> str:
    """A time in microseconds of Unix time, as RFC 3339."""
    return rfc3339(min(at, LATEST_TIME) / 1_000_000)


def event_name(kind: int) -> str | None:
    """The name of an event type, None if it has none."""
    event = TABLE.events.get(kind)
    return event.name if event else None


def group_of(kind: int) -> str:
    """The group of an event type."""
    event = TABLE.events.get(kind)
    return event.group if event else "unknown"


def whole_buckets(begin: float, end: float, width: int) -> tuple[int, int]:
    """The range widened to whole buckets of ``width`` seconds."""
    return int(begin // width * width), int(-(-end // width) * width)
