"""The declarative table of every JIP-3 message.

``schema.json`` is its content; this module gives it types. Decoders, the encoder, event names and
groups are all derived from :data:`TABLE`, which is the only description of the messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from attrs import frozen

MAX_PARAMETERS_SIZE = 4096
"""Longest parameters, in bytes, that are searched for in node information of unknown layout."""

MAX_CORES = 4096
"""Most cores that are believed where nothing but a guess at the layout says how many there are."""

HEAD_SIZE = 9
"""Bytes before an event's fields: the timestamp and the discriminator."""

NEWEST_VERSION = 1
"""Newest protocol version known; higher ones are read as this one (JIP-3, node information)."""


@frozen
class Uint:
    """Fixed-width little-endian unsigned integer of ``size`` bytes (1, 2, 4 or 8)."""

    size: int


@frozen
class Hash32:
    """32 bytes, shown as ``0x`` and 64 lowercase hex digits."""


@frozen
class Bool:
    """One byte, 0 or 1."""


@frozen
class Str:
    """Natural length, at most ``limit`` bytes, then UTF-8."""

    limit: int


@frozen
class Opt:
    """One byte 0, or 1 and then ``item``."""

    item: Type


@frozen
class Seq:
    """Natural count, then that many ``item``."""

    item: Type


@frozen
class Pair:
    """``first`` then ``second``; a two-element array in JSON."""

    first: Type
    second: Type


@frozen
class Enum:
    """One byte, an index into ``names``."""

    name: str
    names: tuple[str, ...]


@frozen
class Ipv6:
    """16 bytes; an IPv4-mapped address is shown as plain IPv4."""


@frozen
class CoreBytes:
    """One byte for each of the node's cores; an array of integers in JSON."""


@frozen
class CoreBitfield:
    """One bit for each of the node's cores, in ``ceil(cores / 8)`` bytes."""


@frozen
class ImportSpec:
    """``hash32`` and a ``u16`` whose top bit says what the hash is."""


@frozen
class Struct:
    """``fields`` in order; an object in JSON."""

    name: str
    fields: Fields


Type = (
    Uint
    | Hash32
    | Bool
    | Str
    | Opt
    | Seq
    | Pair
    | Enum
    | Ipv6
    | CoreBytes
    | CoreBitfield
    | ImportSpec
    | Struct
)
Fields = tuple[tuple[str, Type], ...]


def fixed_size(wire: Type) -> int | None:
    """The bytes that a value of type ``wire`` takes, None where they are not always as many."""
    match wire:
        case Uint(size):
            return size
        case Hash32():
            return 32
        case Ipv6():
            return 16
        case Bool() | Enum():
            return 1
        case ImportSpec():
            return 34
        case Struct(_, fields):
            sizes = [fixed_size(member) for _, member in fields]
            return None if None in sizes else sum(filter(None, sizes))
    return None


def leaves(fields: Fields) -> Iterator[tuple[str, Type]]:
    """The fields in order, in place of structs theirs."""
    for name, wire in fields:
        if isinstance(wire, Struct):
            yield from leaves(wire.fields)
        else:
            yield name, wire


def _core_bits(wire: Type) -> int:
    match wire:
        case CoreBytes():
            return 8
        case CoreBitfield():
            return 1
        case Struct(_, fields):
            return max((_core_bits(member) for _, member in fields), default=0)
    return 0


@frozen
class EventType:
    """One of the 115 events: its discriminator (one byte), name, group and fields in order."""

    discriminator: int
    name: str
    group: str
    fields: Fields

    @property
    def has_reason(self) -> bool:
        """Whether the event reports a failure and says why."""
        return any(name == "reason" for name, _ in self.fields)

    def offset_of(self, field: str) -> int | None:
        """Where ``field`` begins in the content, None if there is none or that varies."""
        offset = HEAD_SIZE
        for name, wire in self.fields:
            if name == field:
                return offset
            size = fixed_size(wire)
            if size is None:
                return None
            offset += size
        return None

    @cached_property
    def slot_offset(self) -> int | None:
        """Where in the content the slot is that the node says it is at, if there is one."""
        return self.offset_of("slot")

    @cached_property
    def core_bits(self) -> int:
        """Bits for each core of the one value whose size depends on the core count, 0 if none."""
        return max((_core_bits(wire) for _, wire in self.fields), default=0)

    @cached_property
    def size_without_cores(self) -> int:
        """Bytes of the content of an event with ``core_bits`` beside those."""
        sizes = [0 if _core_bits(wire) else fixed_size(wire) for _, wire in leaves(self.fields)]
        return HEAD_SIZE + sum(size for size in sizes if size is not None)


@frozen
class Table:
    """Every JIP-3 message.

    ``events`` by discriminator, ``version_1_events`` those that protocol version 1 replaces;
    ``parameters`` by layout name (``gp-0.7``, ``gp-0.8``), ``node_information`` the fields that
    follow them in the first message of a node.
    """

    events: Mapping[int, EventType]
    version_1_events: Mapping[int, EventType]
    parameters: Mapping[str, Fields]
    node_information: Fields

    def events_of(self, version: int) -> Mapping[int, EventType]:
        """The events by discriminator as protocol ``version`` lays them out."""
        return {**self.events, **self.version_1_events} if version >= 1 else self.events

    @property
    def groups(self) -> Mapping[str, tuple[int, ...]]:
        """Discriminators by group, both in the table's order."""
        groups: dict[str, tuple[int, ...]] = {}
        for event in self.events.values():
            groups[event.group] = (*groups.get(event.group, ()), event.discriminator)
        return groups


_SIMPLE: Mapping[str, Type] = {
    "u8": Uint(1),
    "u16": Uint(2),
    "u32": Uint(4),
    "u64": Uint(8),
    "hash32": Hash32(),
    "bool": Bool(),
    "ipv6": Ipv6(),
    "core_bytes": CoreBytes(),
    "core_bitfield": CoreBitfield(),
    "import_spec": ImportSpec(),
}


def _read(schema: Mapping[str, Any]) -> Table:
    def wire_type(text: str) -> Type:
        if text in _SIMPLE:
            return _SIMPLE[text]
        if text in schema["structs"]:
            return Struct(text, fields(schema["structs"][text]))
        if text in schema["enums"]:
            return Enum(text, tuple(schema["enums"][text]))
        if match := re.fullmatch(r"str(\d+)", text):
            return Str(int(match[1]))
        if match := re.fullmatch(r"opt<(.+)>", text):
            return Opt(wire_type(match[1]))
        if match := re.fullmatch(r"seq<(.+)>", text):
            return Seq(wire_type(match[1]))
        if match := re.fullmatch(r"pair<([^,]+),(.+)>", text):
            return Pair(wire_type(match[1]), wire_type(match[2]))
        raise ValueError(f"schema.json names an unknown wire type: {text!r}")

    def fields(rows: list[list[str]]) -> Fields:
        return tuple((name, wire_type(text)) for name, text in rows)

    events = {
        row["discriminator"]: EventType(
            row["discriminator"], row["name"], row["group"], fields(row["fields"])
        )
        for row in schema["events"]
    }
    version_1 = {
        int(key): EventType(int(key), events[int(key)].name, events[int(key)].group, fields(rows))
        for key, rows in schema["protocol_version_1"].items()
    }
    return Table(
        events=events,
        version_1_events=version_1,
        parameters={name: fields(rows) for name, rows in schema["parameters"].items()},
        node_information=fields(schema["node_information"][1:]),
    )


TABLE = _read(json.loads(Path(__file__).with_name("schema.json").read_text()))
"""The one table, read from ``schema.json`` when the module is imported."""
