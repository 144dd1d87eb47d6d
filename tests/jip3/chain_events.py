"""Events of chains with few words: what is not said of them is blank."""

from __future__ import annotations

from typing import Any

from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.table import (
    TABLE,
    Bool,
    CoreBitfield,
    CoreBytes,
    Enum,
    Hash32,
    ImportSpec,
    Ipv6,
    Opt,
    Pair,
    Seq,
    Str,
    Struct,
    Type,
    Uint,
)

CORES = 2
TIME = 1_000_000_000
"""The time of an event, unless it is given."""


def blank(wire: Type) -> Any:
    """A value of a wire type that says nothing."""
    match wire:
        case Uint():
            return 0
        case Bool():
            return False
        case Hash32():
            return bytes(32)
        case Ipv6():
            return bytes(16)
        case Str():
            return ""
        case Opt():
            return None
        case Seq():
            return []
        case Pair(first, second):
            return [blank(first), blank(second)]
        case Enum(_, names):
            return names[0]
        case CoreBytes():
            return [0] * CORES
        case CoreBitfield():
            return bytes((CORES + 7) // 8)
        case ImportSpec():
            return {"root_identifier": {"SegmentsRoot": bytes(32)}, "export_index": 0}
        case Struct(_, fields):
            return {name: blank(member) for name, member in fields}


def content(kind: int, time: int = TIME, to: int | None = None, **fields: Any) -> bytes:
    """The content of an event of type ``kind`` that refers to the event ID ``to``."""
    values = {name: blank(wire) for name, wire in TABLE.events[kind].fields} | fields
    if kind in CHAINS.references and to is not None:
        values[TABLE.events[kind].fields[0][0]] = to
    return encode_event(kind, time, values, cores=CORES)


def event(kind: int, time: int = TIME, to: int | None = None, **fields: Any) -> bytes:
    """The same as a frame."""
    return frame(content(kind, time, to, **fields))


def package(*services: int) -> dict[str, Any]:
    """The outline of a work package with an item of each of these services."""
    outline: dict[str, Any] = blank(dict(TABLE.events[94].fields)["outline"])
    (items,) = (wire.item for name, wire in _outline_fields() if name == "work_items")
    imports = {"root_identifier": {"SegmentsRoot": bytes(32)}, "export_index": 0}
    outline["prerequisites"] = [bytes(32)] * (len(services) % 3)
    outline["work_items"] = [
        {**blank(items), "service_id": service, "imports": [imports] * (service % 3)}
        for service in services
    ]
    return outline


def _outline_fields() -> Any:
    wire = dict(TABLE.events[94].fields)["outline"]
    assert isinstance(wire, Struct)
    return wire.fields


def cost(kind: int, filled: int = 0) -> dict[str, Any]:
    """The cost that events of type ``kind`` tell, each part of it ``filled``."""
    (*_, (_, wire)) = TABLE.events[kind].fields
    if isinstance(wire, Seq):
        wire = wire.item
    if isinstance(wire, Pair):
        wire = wire.second

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: fill(member) for name, member in value.items()}
        return filled

    filled_cost: dict[str, Any] = fill(blank(wire))
    return filled_cost
