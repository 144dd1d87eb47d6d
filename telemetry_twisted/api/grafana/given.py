"""What clients of JamTART say in a query, and how it is read there: leniently.

Multi-value variables of Grafana come in braces, ``{a,b}``; an interval may be in milliseconds and
is widened to one that there is; unknown names are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from attrs import frozen
from msgspec import Meta

from telemetry_twisted.api.rest.asked import Asked, BadRequest, Moment, OnlyNetwork
from telemetry_twisted.jip3.codec import FAILURE_TYPES
from telemetry_twisted.jip3.table import TABLE

INTERVALS = (
    *(6, 12, 18, 24, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 14400, 21600, 43200, 86400),
)
"""The widths that an interval may have, in seconds."""

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}

MOST_CORES = 65535
"""As many cores as there can be: their numbers are u16."""


def listed(text: str) -> Iterator[str]:
    """The items of a comma list, which may be in braces."""
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    return filter(None, (item.strip() for item in text.split(",")))


@frozen
class When:
    """A time in ``seconds`` of Unix time, given as RFC 3339."""

    seconds: float

    SCHEMA: ClassVar[dict[str, Any]] = {"type": "string", "format": "date-time"}

    @classmethod
    def read(cls, text: str) -> When:
        """The time that ``text`` says.

        :raises ValueError: with what was expected.
        """
        try:
            moment = Moment.read(text)
        except ValueError:
            moment = None
        if moment is None or moment.relative:
            raise ValueError("expected a time such as 2026-11-24T07:42:00Z")
        return cls(moment.seconds)


class Interval(int):
    """The width of a bucket in seconds, one of :data:`INTERVALS`."""

    SCHEMA: ClassVar[dict[str, Any]] = {"type": "string", "examples": ["30s", "5m", "1d"]}

    @classmethod
    def read(cls, text: str) -> Interval:
        """The smallest width that is not shorter than ``text`` says; a minute if it says none."""
        match = re.fullmatch(r"\s*(\d{1,15})\s*(ms|[smhd])\s*", text, re.ASCII)
        if match is None or not int(match[1]):
            return cls(60)
        seconds = max(int(int(match[1]) * _UNITS[match[2]]), 1)
        return cls(next((width for width in INTERVALS if width >= seconds), INTERVALS[-1]))


def fitting(begin: float, end: float, interval: int, series: int, most_rows: int) -> int:
    """The interval, or the next wider one in which an answer has no more than ``most_rows`` rows
    of so many series."""
    wide = [width for width in INTERVALS if width >= interval]
    return next(
        (width for width in wide if (end - begin) / width * max(series, 1) <= most_rows), wide[-1]
    )


def type_numbers(text: str) -> frozenset[int]:
    """The event types that a list of numbers, names and groups means; ``failures`` is a group."""
    found: set[int] = set()
    for item in listed(text):
        if item.isascii() and item.isdigit() and len(item) < 4 and int(item) in TABLE.events:
            found.add(int(item))
        elif item == "failures":
            found |= FAILURES
        elif item in GROUPS:
            found |= GROUPS[item]
        elif item in _NAMES:
            found.add(_NAMES[item])
    return frozenset(found)


@frozen
class Types:
    """Event types; ``numbers`` is empty where there is nothing to choose by."""

    numbers: frozenset[int]

    SCHEMA: ClassVar[dict[str, Any]] = {"type": "string", "examples": ["{11,blocks}"]}

    @classmethod
    def read(cls, text: str) -> Types:
        """The types that ``text`` lists."""
        return cls(type_numbers(text))


@frozen
class Names:
    """A list of names."""

    items: tuple[str, ...]

    SCHEMA: ClassVar[dict[str, Any]] = {"type": "string"}

    @classmethod
    def read(cls, text: str) -> Names:
        """The names that ``text`` lists."""
        return cls(tuple(listed(text)))


def service_number(text: str) -> int | None:
    """The service that ``text`` names: hexadecimal from 0x on, or a signed 32-bit decimal."""
    if re.fullmatch("0x[0-9a-fA-F]{1,8}", text):
        return int(text, 16)
    if re.fullmatch("-?[0-9]{1,10}", text) and -(2**31) <= int(text) < 2**31:
        return int(text) % 2**32
    return None


@frozen
class Services:
    """A list of services; one that names none matches nothing."""

    numbers: frozenset[int]

    SCHEMA: ClassVar[dict[str, Any]] = {"type": "string", "examples": ["{10,0x0000000b}"]}

    @classmethod
    def read(cls, text: str) -> Services:
        """The services that ``text`` lists."""
        found = map(service_number, listed(text))
        return cls(frozenset(number for number in found if number is not None))


Text = Annotated[str, Meta(max_length=1000)]
Core = Annotated[int, Meta(ge=0, le=MOST_CORES)]
Count = Annotated[int, Meta(ge=0, le=2**32)]


class Given(Asked, frozen=True, kw_only=True):
    """Any request."""

    network: OnlyNetwork | None = None


class RangeGiven(Given, frozen=True, kw_only=True):
    """A request about a range of time."""

    start: When
    end: When

    @property
    def range(self) -> tuple[float, float]:
        """From when until before when, in seconds of Unix time.

        :raises BadRequest: if it ends before it begins.
        """
        if self.start.seconds > self.end.seconds:
            raise BadRequest("start must not be after end")
        return self.start.seconds, self.end.seconds


class ChartGiven(RangeGiven, frozen=True, kw_only=True):
    """A request about a range of time in windows."""

    interval: Interval = Interval(60)

    def step(self, series: int, most_rows: int) -> int:
        """How wide windows are, of so many series, for the answer to have no more rows."""
        return fitting(*self.range, self.interval, series, most_rows)


class CoreGiven(RangeGiven, frozen=True, kw_only=True):
    """A request that may be about one core."""

    core: Core | None = None


class CoreChartGiven(ChartGiven, frozen=True, kw_only=True):
    """A request about a range of time in windows that may be about one core."""

    core: Core | None = None


class CoreInPath(RangeGiven, frozen=True, kw_only=True):
    """A request about a core."""

    core_id: Core


_HOMES = {
    "system": [0],
    "status": range(10, 14),
    "connections": range(20, 29),
    "blocks": range(40, 48),
    "block_distribution": range(60, 69),
    "tickets": range(80, 85),
    "wp_pipeline": range(90, 110),
    "guarantee_receiving": range(110, 114),
    "shards": range(120, 126),
    "assurances": range(126, 132),
    "bundles": range(140, 154),
    "segments": range(160, 179),
    "preimages": range(190, 200),
}

GROUPS: dict[str, frozenset[int]] = {
    name: frozenset(TABLE.events.keys() & set(numbers)) for name, numbers in _HOMES.items()
}
"""The groups of event types, by JamTART's names."""

GROUP_OF: dict[int, str] = {
    number: name for name, numbers in GROUPS.items() for number in sorted(numbers)
}
"""The group of each event type."""

_NAMES = {event.name: number for number, event in TABLE.events.items()}

FAILURES: frozenset[int] = FAILURE_TYPES - {27, 28, 61, 192} | {20, 93}
"""The group ``failures``: JamTART counts refused connections and duplicate work packages to it, but
not disconnections, misbehaviour, closed streams, or preimages that were forgotten."""
