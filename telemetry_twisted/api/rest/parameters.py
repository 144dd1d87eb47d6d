"""What a query of the REST API may say: each parameter declared once, to be read and documented."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from attrs import evolve, frozen

from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.reading import UNITS, one_of, whole_number
from telemetry_twisted.store.read.browse import NEWEST, Place

from .schemas import NODE_ID, Schema

DAY = 86400

MOST_VALUES = 50
"""How often a parameter may be given that may be given several times."""

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
class Parameter:
    """Something that a request may say, or must, where it stands in the ``path``.

    ``read`` makes its value of the text, or raises ValueError with what was expected; ``schema``
    tells the same to programs. ``many`` may be given several times and is a list. ``default`` is
    what holds when it is not given.
    """

    name: str
    read: Callable[[str], Any]
    schema: Schema
    description: str
    default: Any = None
    many: bool = False
    in_path: bool = False


@frozen
class Moment:
    """A time: ``seconds`` of Unix time, or before now if ``relative``."""

    seconds: float
    relative: bool = False

    def at(self, now: float) -> float:
        """The time in seconds of Unix time."""
        return now - self.seconds if self.relative else self.seconds


def moment(text: str) -> Moment:
    """The time that ``text`` says: ``now``, one before it such as ``-15m``, or RFC 3339."""
    if text == "now":
        return Moment(0, relative=True)
    if re.fullmatch(_RELATIVE, text):
        return Moment(int(text[1:-1]) * UNITS[text[-1]], relative=True)
    # A plus sign that was not escaped arrives as a space.
    text = re.sub(r" (?=[0-9]{2}:[0-9]{2}$)", "+", text)
    match = re.fullmatch(_ABSOLUTE, text)
    if match:
        fraction, zone = match[1] or "", match[2]
        whole = text[: len(text) - len(fraction) - len(zone)]
        try:
            time = datetime.fromisoformat(whole + ("+00:00" if zone in "Zz" else zone))
            return Moment(time.astimezone(timezone.utc).timestamp() + float(fraction or 0))
        except (ValueError, OverflowError):
            pass
    raise ValueError("expected a time such as 2026-11-24T07:42:00Z, -15m, -2h, -30d or now")


def _node_id(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError("expected a node ID: 64 lowercase hex digits")
    return text


_TYPES = {event.name: event.discriminator for event in TABLE.events.values()}


def _event_type(text: str) -> int:
    if text in _TYPES:
        return _TYPES[text]
    if re.fullmatch("[0-9]{1,3}", text) and int(text) in TABLE.events:
        return int(text)
    raise ValueError("expected the number or the name of an event type, as /api/event-types lists")


def _place(text: str) -> Place:
    try:
        return Place.parse(text)
    except ValueError:
        raise ValueError("expected what an answer gave as next") from None


def _text(text: str) -> str:
    if not text or len(text) > 100 or "\0" in text:
        raise ValueError("expected 1 to 100 characters")
    return text


def _times(name: str, default: str, description: str) -> Parameter:
    pattern = f"^(now|{_RELATIVE}|{_ABSOLUTE})$"
    schema = {"type": "string", "pattern": pattern, "examples": [default, "2026-11-24T07:42:00Z"]}
    return Parameter(name, moment, schema, description, moment(default))


def _limit(default: int, most: int) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter("limit", whole_number(1, most), schema, "At most so many.", default)


FROM = _times("from", "-1h", "From when on: RFC 3339, or before now, such as -15m, -2h or -30d.")
TO = _times("to", "now", "Until when, likewise. What lies in the future is left out.")
LIMIT = _limit(100, 500)
AFTER = Parameter(
    "cursor",
    whole_number(0, 2**62),
    {"type": "integer", "minimum": 0, "maximum": 2**62},
    "Go on where an answer ended: what it gave as next.",
    0,
)
PLACE = Parameter(
    "cursor",
    _place,
    {"type": "string", "pattern": r"^[0-9]{1,18}\.[0-9]{1,18}\.[0-9]{1,18}$"},
    "Go on where an answer ended: what it gave as next.",
    NEWEST,
)
TYPE = Parameter(
    "type",
    _event_type,
    {"anyOf": [{"type": "integer", "enum": list(TABLE.events)}, {"enum": list(_TYPES)}]},
    "Only events of this type, by number or name; may be repeated.",
    many=True,
)
GROUP = Parameter(
    "group",
    one_of(*TABLE.groups),
    {"enum": list(TABLE.groups)},
    "Only events of this group of types; may be repeated.",
    many=True,
)
NODE = Parameter("node", _node_id, NODE_ID, "Only what came from this node.")
NODES = evolve(NODE, many=True, description="Only these nodes; may be repeated.")
NODE_IN_PATH = Parameter("node_id", _node_id, NODE_ID, "The node.", in_path=True)
SLOT_IN_PATH = Parameter(
    "slot",
    whole_number(0, 2**32 - 1),
    {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    "The slot.",
    in_path=True,
)
CONNECTED = Parameter(
    "connected",
    lambda text: one_of("true", "false")(text) == "true",
    {"type": "boolean"},
    "Only nodes that are connected now, or only those that are not.",
)
IMPLEMENTATION = Parameter(
    "implementation",
    _text,
    {"type": "string", "minLength": 1, "maxLength": 100},
    "Only nodes of this implementation.",
)
FAULT_KIND = Parameter(
    "kind",
    one_of("decode_error", "violation"),
    {"enum": ["decode_error", "violation"]},
    "Only events that could not be decoded, or only those that broke a rule.",
)
BLOCK_KIND = Parameter(
    "kind",
    one_of("best", "finalized"),
    {"enum": ["best", "finalized"], "default": "best"},
    "Best blocks or finalized ones.",
    "best",
)
GROUP_BY = Parameter(
    "group_by",
    one_of("type", "group", "node"),
    {"enum": ["type", "group", "node"], "default": "group"},
    "A series for each type of event, group of types, or node.",
    "group",
)
INTERVAL = Parameter(
    "interval_ms",
    whole_number(500, 10_000),
    {"type": "integer", "minimum": 500, "maximum": 10_000, "default": 1000},
    "How often.",
    1000,
)


def read_parameters(
    parameters: Sequence[Parameter], given: Mapping[bytes, list[bytes]], path: Mapping[str, str]
) -> dict[str, Any]:
    """The value of each of the ``parameters``, by name.

    :raises BadRequest: if something else was given, or is not what it must be.
    """
    values: dict[str, Any] = {}
    texts = _decoded(given)
    expected = {parameter.name: parameter for parameter in parameters}
    for name in texts:
        if name not in expected or expected[name].in_path:
            accepted = ", ".join(p.name for p in parameters if not p.in_path) or "none"
            raise BadRequest(f"unknown parameter {name!r}; accepted: {accepted}")
    for parameter in parameters:
        name = parameter.name
        several = [path[name]] if parameter.in_path else texts.get(name, [])
        most = MOST_VALUES if parameter.many else 1
        if len(several) > most:
            raise BadRequest(f"{name} is given {len(several)} times, {most} at most")
        try:
            read = [parameter.read(text) for text in several]
        except ValueError as error:
            raise BadRequest(f"{name}: {error}") from None
        if parameter.many:
            values[name] = read
        else:
            values[name] = read[0] if read else parameter.default
    return values


def _decoded(given: Mapping[bytes, list[bytes]]) -> dict[str, list[str]]:
    try:
        return {name.decode(): [text.decode() for text in texts] for name, texts in given.items()}
    except UnicodeDecodeError:
        raise BadRequest("the query is not UTF-8") from None


def read_range(values: Mapping[str, Any], now: float) -> tuple[float, float]:
    """The range of time from ``from`` to ``to``, as far as there can be history of it.

    :raises BadRequest: if it ends before it begins.
    """
    begin, end = values["from"].at(now), values["to"].at(now)
    if begin >= end:
        raise BadRequest("from must be before to")
    end = max(min(end, now), 1.0)
    return min(max(begin, now - OLDEST_SECONDS), end - 1), end


def read_types(values: Mapping[str, Any]) -> set[int] | None:
    """The event types that ``type`` and ``group`` name together; None if neither was given."""
    types = set(values["type"])
    for group in values["group"]:
        types.update(TABLE.groups[group])
    return types or None
