"""Generates, from the table, the function that writes one type of event as JSON.

The functions read what well-behaved nodes send and nothing else: the fields of fixed width that lie
together are read by one ``struct`` call, and the whole message is one f-string. Whatever is
unusual makes them raise, and the reference decoder (:mod:`.values`) has the last word.

The source of one is, with the f-string broken for reading::

    def write(data, at, end, id, event_id, node, received):
        v0, v1, v2, = unpack(data, at)
        at += 45
        if at != end: raise Unusual
        return f'{{"type":"event","data":{{"id":{id},"node_id":"{node}","event_id":{event_id},
            "event_type":11,"event":{{"BestBlockChanged":{{"timestamp":{v0},"slot":{v1},
            "hash":"0x{v2.hex()}"}}}}}},"timestamp":"{received}"}}'
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from itertools import count as counter
from json.encoder import encode_basestring
from typing import Any

import ujson

from .natural import decode_natural
from .table import (
    TABLE,
    Bool,
    CoreBitfield,
    CoreBytes,
    Enum,
    EventType,
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
from .values import address_text

Writer = Callable[[bytes, int, int, int, int, str, str, int, int, int], str]
"""``(data, at, end, id, event_id, node, received, earliest, latest, newest_slot)`` to the ``event``
message of the content that lies in ``data`` from ``at`` to ``end``, or one of :data:`UNUSUAL`. The
last three are the bounds of a :class:`~.moment.Moment`."""


class Unusual(ValueError):
    """What is read is not what a writer expects."""


UNUSUAL = (struct.error, LookupError, ValueError)
"""What a writer raises when it leaves a message to the reference decoder."""


class Writers(dict[int, Writer]):
    """The writers of one node's events by discriminator, made when they are first needed.

    Nodes share the writers themselves, also those that differ in core count as far as they can.
    Where that is needed and ``cores`` is None, there is none.
    """

    def __init__(self, cores: int | None, version: int, byte_arrays: bool) -> None:
        super().__init__()
        self.cores = cores
        self._events = TABLE.events_of(version)
        self._byte_arrays = byte_arrays

    def __missing__(self, discriminator: int) -> Writer:
        event = self._events[discriminator]
        cores = self.cores if event.core_bits else 0
        if cores is None:
            raise Unusual
        self[discriminator] = writer = _writer(event, cores, self._byte_arrays)
        return writer


@lru_cache(maxsize=1024)
def _writer(event: EventType, cores: int, byte_arrays: bool) -> Writer:
    source = _Source(cores, byte_arrays, _Names())
    timestamp = source.reads("Q")
    source.codes.append("x")
    shown = {name: source.shows(wire) for name, wire in event.fields}
    fields = ",".join(f'"{name}":{text}' for name, text in shown.items())
    source.flush()
    checks = [f"    if not earliest <= {timestamp} <= latest: raise Unusual"]
    if event.slot_offset is not None:
        # An integer is shown by its variable alone.
        checks.append(f"    if {shown['slot'].strip('{}')} > newest_slot: raise Unusual")
    message = (
        '{{"type":"event","data":{{"id":{id},"node_id":"{node}","event_id":{event_id},'
        f'"event_type":{event.discriminator},"event":{{{{"{event.name}":'
        f'{{{{"timestamp":{{{timestamp}}},{fields}}}}}}}}}}}}},"timestamp":"{{received}}"}}}}'
    )
    lines = [
        "def write(data, at, end, id, event_id, node, received, earliest, latest, newest_slot):",
        *_indent(source.lines),
        *checks,
        "    if at != end: raise Unusual",
        f"    return f'{message}'",
    ]
    namespace = source.names.namespace
    exec(compile("\n".join(lines), f"<writer of {event.name}>", "exec"), namespace)
    writer: Writer = namespace["write"]
    return writer


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


class _Names:
    """The names in a generated function: its variables and what it refers to."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {
            "Unusual": Unusual,
            "address": address_text,
            "array": _array,
            "count": _count,
            "false_true": ("false", "true"),
            "join": ",".join,
            "string": _string,
        }
        self._variables = counter()

    def variable(self) -> str:
        return f"v{next(self._variables)}"

    def constant(self, prefix: str, value: Any) -> str:
        name = f"{prefix}{len(self.namespace)}"
        self.namespace[name] = value
        return name


class _Source:
    """Statements that read values, and the pieces of an f-string that show them.

    ``codes`` and ``variables`` are the values of fixed width that the next ``struct`` call reads.
    """

    def __init__(self, cores: int, byte_arrays: bool, names: _Names) -> None:
        self.cores = cores
        self.byte_arrays = byte_arrays
        self.names = names
        self.lines: list[str] = []
        self.codes: list[str] = []
        self.variables: list[str] = []

    def reads(self, code: str) -> str:
        """The variable that the next ``struct`` call reads with the format ``code``."""
        self.codes.append(code)
        self.variables.append(self.names.variable())
        return self.variables[-1]

    def flush(self) -> None:
        """Emit the ``struct`` call for what there is to read."""
        if self.codes:
            run = struct.Struct("<" + "".join(self.codes))
            unpack = self.names.constant("unpack", run.unpack_from)
            self.lines += [
                f"{', '.join(self.variables)}, = {unpack}(data, at)",
                f"at += {run.size}",
            ]
            self.codes, self.variables = [], []

    def members(self, fields: tuple[tuple[str, Type], ...]) -> str:
        """What shows ``fields`` in an object."""
        return ",".join(f'"{name}":{self.shows(wire)}' for name, wire in fields)

    def shows(self, wire: Type) -> str:
        """Read a value of type ``wire``; returns what shows it in an f-string."""
        match wire:
            case Uint(size):
                return f"{{{self.reads({1: 'B', 2: 'H', 4: 'I', 8: 'Q'}[size])}}}"
            case Bool():
                return f"{{false_true[{self.reads('B')}]}}"
            case Enum(name, names):
                texts = self.names.constant(name, tuple(f'"{name}"' for name in names))
                return f"{{{texts}[{self.reads('B')}]}}"
            case Hash32():
                return self._shows_bytes(32)
            case CoreBitfield():
                return self._shows_bytes((self.cores + 7) // 8)
            case CoreBytes():
                return f"{{array({self.reads(f'{self.cores}s')})}}"
            case Ipv6():
                raw = self.reads("16s")
                return f"{{array({raw})}}" if self.byte_arrays else f'"{{address({raw})}}"'
            case ImportSpec():
                return self._shows_import_spec()
            case Pair(first, second):
                return f"[{self.shows(first)},{self.shows(second)}]"
            case Struct(_, fields):
                return f"{{{{{self.members(fields)}}}}}"
            case Str(limit):
                self.flush()
                text = self.names.variable()
                self.lines.append(f"{text}, at = string(data, at, end, {limit})")
                return f"{{{text}}}"
            case Opt(item):
                return self._shows_option(item)
            case Seq(item):
                return self._shows_sequence(item)

    def _shows_bytes(self, size: int) -> str:
        raw = self.reads(f"{size}s")
        return f"{{array({raw})}}" if self.byte_arrays else f'"0x{{{raw}.hex()}}"'

    def _shows_import_spec(self) -> str:
        root, index = self._shows_bytes(32), self.reads("H")
        kinds = self.names.constant("kinds", ("SegmentsRoot", "WorkPackageHash"))
        kind = f"{{{kinds}[{index} >> 15]}}"
        return (
            f'{{{{"root_identifier":{{{{"{kind}":{root}}}}},"export_index":{{{index} & 32767}}}}}}'
        )

    def _shows_option(self, item: Type) -> str:
        tag, text = self.reads("B"), self.names.variable()
        self.flush()
        some, piece = self._nested(item)
        some.flush()
        self.lines += [
            f"if not {tag}: {text} = 'null'",
            f"elif {tag} > 1: raise Unusual",
            "else:",
            *_indent(some.lines),
            f"    {text} = f'{piece}'",
        ]
        return f"{{{text}}}"

    def _shows_sequence(self, item: Type) -> str:
        self.flush()
        number, texts = self.names.variable(), self.names.variable()
        self.lines.append(f"{number}, at = count(data, at, end)")
        each, piece = self._nested(item)
        if not each.lines:
            rows = struct.Struct("<" + "".join(each.codes))
            unpack = self.names.constant("unpack", rows.iter_unpack)
            self.lines += [
                f"stop = at + {number} * {rows.size}",
                "if stop > end: raise Unusual",
                f"rows = {unpack}(data[at:stop])",
                f"{texts} = [f'{piece}' for {', '.join(each.variables)}, in rows]",
                "at = stop",
            ]
        else:
            each.flush()
            self.lines += [
                f"{texts} = []",
                f"for _ in range({number}):",
                *_indent(each.lines),
                f"    {texts}.append(f'{piece}')",
            ]
        return f"[{{join({texts})}}]"

    def _nested(self, item: Type) -> tuple[_Source, str]:
        nested = _Source(self.cores, self.byte_arrays, self.names)
        return nested, nested.shows(item)


def _array(raw: bytes) -> str:
    return ujson.dumps(list(raw))


def _count(data: bytes, at: int, end: int) -> tuple[int, int]:
    number = data[at]
    at += 1
    if number > 0x7F:
        number, at = decode_natural(data, at - 1, end)
    if number > end - at:
        raise Unusual
    return number, at


def _string(data: bytes, at: int, end: int, limit: int) -> tuple[str, int]:
    length, at = _count(data, at, end)
    if length > limit:
        raise Unusual
    stop = at + length
    return encode_basestring(data[at:stop].decode()), stop
