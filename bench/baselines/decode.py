"""JIP-3 events to dicts: the decoders that a Python developer would write by hand.

One function per event: neighbouring fields of fixed width are read by one ``struct`` call, and
the dict is one literal. For ``AssuranceReceived`` that is::

    def decode(data, at, cores):
        timestamp, sender, anchor = unpack_131(data, at)
        return {
            "AssuranceReceived": {
                "timestamp": timestamp,
                "sender": "0x" + sender.hex(),
                "anchor": "0x" + anchor.hex(),
            }
        }, at + 73

The functions are written out from the table so that all 115 events are there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

from telemetry_twisted.jip3.table import (
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

Decode = Callable[[bytes, int, int], tuple[dict[str, Any], int]]
"""(data, offset of the content, core count) to (event, offset after its last field)."""

_UINT = {1: "B", 2: "H", 4: "I", 8: "Q"}
_MAPPED = bytes(10) + b"\xff\xff"


class DecodeError(ValueError):
    """A message that is not what JIP-3 says."""


def decoders() -> Mapping[int, Decode]:
    """A decoder for each event of protocol version 0, by discriminator.

    They raise DecodeError, IndexError or struct.error at what they cannot read.
    """
    return {number: _Writer().write(event) for number, event in TABLE.events.items()}


class _Writer:
    """Writes the source of one decoder and compiles it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.indent = "    "
        self.codes = ""
        self.names: list[str] = []
        self.count = 0
        self.scope: dict[str, Any] = {"address": _address, "import_spec": _import_spec}
        self.scope |= {"natural": _natural, "DecodeError": DecodeError}

    def write(self, event: EventType) -> Decode:
        self.codes, self.names = "Qx", ["timestamp"]
        fields = self.members(event.fields)
        self.flush()
        event_dict = f"{{{event.name!r}: {{'timestamp': timestamp, {fields}}}}}"
        body = "\n".join([*self.lines, f"    return {event_dict}, at"])
        exec(f"def decode(data, at, cores):\n{body}", self.scope)
        decode: Decode = self.scope["decode"]
        return decode

    def members(self, fields: tuple[tuple[str, Type], ...]) -> str:
        return ", ".join([f"{name!r}: {self.value(kind)}" for name, kind in fields])

    def value(self, kind: Type) -> str:
        """Write what reads a value of ``kind``; return the expression that holds it after."""
        match kind:
            case Struct(_, fields):
                return f"{{{self.members(fields)}}}"
            case Pair(first, second):
                return f"[{self.value(first)}, {self.value(second)}]"
            case Uint(size):
                return self.fixed(_UINT[size])
            case Hash32():
                return f"'0x' + {self.fixed('32s')}.hex()"
            case Bool():
                return f"{self.constant((False, True))}[{self.fixed('B')}]"
            case Enum(_, names):
                return f"{self.constant(names)}[{self.fixed('B')}]"
            case Ipv6():
                return f"address({self.fixed('16s')})"
            case ImportSpec():
                return f"import_spec({self.fixed('32s')}, {self.fixed('H')})"
            case CoreBytes():
                return f"list({self.slice('cores')})"
            case CoreBitfield():
                return f"'0x' + {self.slice('(cores + 7) // 8')}.hex()"
            case Str():
                return f"{self.slice(self.natural())}.decode('utf-8', 'replace')"
            case Opt(item):
                return self.option(item)
            case Seq(item):
                return self.sequence(item)

    def fixed(self, code: str) -> str:
        self.codes += code
        self.names.append(self.name())
        return self.names[-1]

    def slice(self, size: str) -> str:
        self.flush()
        name = self.name()
        self.line(f"end = at + {size}")
        self.line(f"{name} = data[at:end]")
        self.line("at = end")
        return name

    def natural(self) -> str:
        self.flush()
        name = self.name()
        self.line(f"{name} = data[at]")
        self.line("at += 1")
        self.line(f"if {name} >= 128: {name}, at = natural(data, at - 1)")
        return name

    def option(self, item: Type) -> str:
        flag, name = self.fixed("B"), self.name()
        self.flush()
        self.line(f"{name} = None")
        self.line(f"if {flag} == 1:")
        self.block(lambda: self.line(f"{name} = {self.read(item)}"))
        self.line(f"elif {flag}: raise DecodeError('an option byte is 0 or 1')")
        return name

    def sequence(self, item: Type) -> str:
        count, name = self.natural(), self.name()
        self.line(f"if {count} > len(data) - at: raise DecodeError('count beyond the message')")
        reader = _Writer()
        reader.scope, reader.count = self.scope, self.count
        expression = reader.value(item)
        if reader.lines:
            self.line(f"{name} = []")
            self.line(f"for _ in range({count}):")
            self.block(lambda: self.line(f"{name}.append({self.read(item)})"))
        else:
            each = struct.Struct("<" + reader.codes)
            items = f"{self.constant(each.iter_unpack)}(data[at:end])"
            self.line(f"end = at + {count} * {each.size}")
            self.line(f"{name} = [{expression} for {', '.join(reader.names)}, in {items}]")
            self.line("at = end")
            self.count = reader.count
        return name

    def read(self, item: Type) -> str:
        expression = self.value(item)
        self.flush()
        return expression

    def block(self, write: Callable[[], None]) -> None:
        self.indent += "    "
        write()
        self.indent = self.indent[4:]

    def flush(self) -> None:
        if self.codes:
            run = struct.Struct("<" + self.codes)
            self.line(f"{', '.join(self.names)}, = {self.constant(run.unpack_from)}(data, at)")
            self.line(f"at += {run.size}")
            self.codes, self.names = "", []

    def constant(self, value: object) -> str:
        name = f"constant_{len(self.scope)}"
        self.scope[name] = value
        return name

    def name(self) -> str:
        self.count += 1
        return f"value_{self.count}"

    def line(self, text: str) -> None:
        self.lines.append(self.indent + text)


def _natural(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    more = 8 - (first ^ 0xFF).bit_length()
    low = int.from_bytes(data[at + 1 : at + 1 + more], "little")
    high = 0 if more == 8 else first - (256 - (1 << (8 - more)))
    return (high << (8 * more)) + low, at + 1 + more


def _address(raw: bytes) -> str:
    return inet_ntop(AF_INET, raw[12:]) if raw.startswith(_MAPPED) else inet_ntop(AF_INET6, raw)


def _import_spec(root: bytes, index: int) -> dict[str, Any]:
    kind = "WorkPackageHash" if index & 0x8000 else "SegmentsRoot"
    return {"root_identifier": {kind: "0x" + root.hex()}, "export_index": index & 0x7FFF}
