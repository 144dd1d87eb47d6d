"""The table as a program for the compiled kernel.

An event is a row of ops. Each op is JSON text to copy and then one value to read and to show.
Structs and pairs are text alone, so a program is flat but for the bodies of sequences and options.
``_kernel.pyx`` is the machine that runs it.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from functools import lru_cache

from attrs import evolve, frozen

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

OP = struct.Struct("=IHBBII")
"""A packed op: where its text begins in the program's texts, the size of the text, the code, how
many bytes it reads, the argument, and the most bytes that text and value take in JSON."""

TRAIT = struct.Struct("=BBH")
"""A packed trait of an event: where in its content its slot is (0: it has none), the bits for each
core of a value whose size depends on the core count (0: it has none), and the bytes of the content
beside those."""

PADDING = 32
"""Bytes after the last text that the kernel may read, and does not show."""


_WIDEST = len("1111:2222:3333:4444:5555:6666:7777:8888")


class Code(IntEnum):
    """What an op does after its text. The kernel has the same list.

    - ``UNKNOWN``: fail, there is no such discriminator.
    - ``EVENT``: show the timestamp, pass over the discriminator, go to op ``argument``.
    - ``END``: the event or the body ends here.
    - ``U8`` to ``U64``: an unsigned integer.
    - ``BOOL``, ``ENUM``: one byte, which picks the text of one of the ``argument`` ops that follow.
    - ``OPTION``: one byte, then perhaps the body, which is the ``argument`` ops that follow.
    - ``SEQUENCE``: a natural, then that often the body, which is the ``argument`` ops that follow.
      The body ends with a comma, the last of which does not count.
    - ``STRING``: a natural and that many bytes, which should not be more than ``argument``.
    - ``HASH``: 32 bytes in hex.
    - ``ARRAY``: ``argument`` bytes as integers with commas between them.
    - ``CORES_HEX``, ``CORES_ARRAY``: ``argument`` bits for each core, in whole bytes, in hex or as
      integers with commas between them.
    - ``ADDRESS``: 16 bytes, as an IP address.
    - ``ROOT_KIND``: the top bit of the import spec that begins here picks the text of one of the
      two ops that follow, what the hash is; the import spec itself is still to be read.
    - ``EXPORT_INDEX``: a u16 without its top bit.
    """

    UNKNOWN = 0
    EVENT = 1
    END = 2
    U8 = 3
    U16 = 4
    U32 = 5
    U64 = 6
    BOOL = 7
    ENUM = 8
    OPTION = 9
    SEQUENCE = 10
    STRING = 11
    HASH = 12
    ARRAY = 13
    CORES_HEX = 14
    CORES_ARRAY = 15
    ADDRESS = 16
    ROOT_KIND = 17
    EXPORT_INDEX = 18


_READS = {
    Code.EVENT: 9,
    Code.U8: 1,
    Code.U16: 2,
    Code.U32: 4,
    Code.U64: 8,
    Code.BOOL: 1,
    Code.ENUM: 1,
    Code.OPTION: 1,
    Code.HASH: 32,
    Code.ADDRESS: 16,
    Code.EXPORT_INDEX: 2,
}


@frozen
class Op:
    """Copy ``text``, then do as ``code`` says with ``argument``.

    ``width`` is the most bytes that the value takes in JSON, without those that depend on the
    message or the node: strings, bodies, cores.
    """

    text: bytes
    code: Code
    argument: int = 0
    width: int = _WIDEST

    @property
    def reads(self) -> int:
        """How many bytes must be there, and are passed over, whatever they are.

        The other codes read nothing, or see to it themselves.
        """
        return self.argument if self.code is Code.ARRAY else _READS.get(self.code, 0)


@frozen
class Program:
    """All events, packed for the kernel.

    ``ops`` holds :data:`OP` records; the one at an index below 256 starts the event with that
    discriminator. ``texts`` holds their texts and :data:`PADDING` bytes more, because the kernel
    copies in blocks. ``traits`` holds a :data:`TRAIT` for each discriminator.
    """

    ops: bytes
    texts: bytes
    traits: bytes = bytes(256 * TRAIT.size)


@lru_cache
def program_of(version: int, byte_arrays: bool) -> Program:
    """The program for nodes of protocol ``version`` in the one or the other JSON form."""
    starts = [Op(b"", Code.UNKNOWN)] * 256
    rest: list[Op] = []
    traits = [TRAIT.pack(0, 0, 0)] * 256
    for discriminator, event in TABLE.events_of(version).items():
        beside_cores = event.size_without_cores if event.core_bits else 0
        traits[discriminator] = TRAIT.pack(event.slot_offset or 0, event.core_bits, beside_cores)
        text = f',"event_type":{discriminator},"event":{{"{event.name}":{{"timestamp":'
        starts[discriminator] = Op(text.encode(), Code.EVENT, len(starts) + len(rest))
        rest += ops_of(event, byte_arrays)
    return evolve(pack([*starts, *rest]), traits=b"".join(traits))


def ops_of(event: EventType, byte_arrays: bool) -> list[Op]:
    """The ops of ``event`` from its first field up to the text before the time of its receipt."""
    writer = _Writer(byte_arrays)
    for name, wire in event.fields:
        writer.text(f',"{name}":')
        writer.value(wire)
    writer.text('}}},"timestamp":"')
    writer.op(Code.END)
    return writer.ops


def pack(ops: list[Op]) -> Program:
    """``ops`` as the kernel reads them."""
    packed = bytearray()
    texts = bytearray()
    for op in ops:
        room = len(op.text) + op.width
        packed += OP.pack(len(texts), len(op.text), op.code, op.reads, op.argument, room)
        texts += op.text
    return Program(bytes(packed), bytes(texts) + bytes(PADDING))


class _Writer:
    """Appends to ``ops``; text waits until there is an op that it can precede."""

    def __init__(self, byte_arrays: bool) -> None:
        self.ops: list[Op] = []
        self._byte_arrays = byte_arrays
        self._text = ""

    def text(self, text: str) -> None:
        self._text += text

    def op(self, code: Code, argument: int = 0, width: int = _WIDEST) -> None:
        self.ops.append(Op(self._text.encode(), code, argument, width))
        self._text = ""

    def value(self, wire: Type) -> None:
        match wire:
            case Uint(size):
                self.op({1: Code.U8, 2: Code.U16, 4: Code.U32, 8: Code.U64}[size])
            case Hash32():
                self._bytes(Code.HASH, Code.ARRAY, 32)
            case Bool():
                self._choice(Code.BOOL, ("false", "true"))
            case Str(limit):
                self._between('"', Code.STRING, limit, '"')
            case Enum(_, names):
                self.text('"')
                self._choice(Code.ENUM, names)
                self.text('"')
            case Opt(item):
                self._with_body(Code.OPTION, item, "")
            case Seq(item):
                self.text("[")
                self._with_body(Code.SEQUENCE, item, ",")
                self.text("]")
            case Pair(first, second):
                self.text("[")
                self.value(first)
                self.text(",")
                self.value(second)
                self.text("]")
            case Ipv6() if self._byte_arrays:
                self._bytes(Code.ARRAY, Code.ARRAY, 16)
            case Ipv6():
                self._between('"', Code.ADDRESS, 0, '"')
            case CoreBytes():
                self._between("[", Code.CORES_ARRAY, 8, "]")
            case CoreBitfield():
                self._bytes(Code.CORES_HEX, Code.CORES_ARRAY, 1)
            case ImportSpec():
                self.text('{"root_identifier":{"')
                self._choice(Code.ROOT_KIND, ("SegmentsRoot", "WorkPackageHash"))
                self.text('":')
                self.value(Hash32())
                self.text('},"export_index":')
                self.op(Code.EXPORT_INDEX)
                self.text("}")
            case Struct(_, fields):
                self.text("{")
                for at, (name, field) in enumerate(fields):
                    self.text(f'{"," if at else ""}"{name}":')
                    self.value(field)
                self.text("}")

    def _bytes(self, in_hex: Code, as_array: Code, argument: int) -> None:
        if self._byte_arrays:
            self._between("[", as_array, argument, "]", len("255,") * argument)
        else:
            self._between('"0x', in_hex, argument, '"', len("ff") * argument)

    def _between(
        self, before: str, code: Code, argument: int, after: str, width: int = _WIDEST
    ) -> None:
        self.text(before)
        self.op(code, argument, width)
        self.text(after)

    def _choice(self, code: Code, texts: tuple[str, ...]) -> None:
        self.op(code, len(texts), max(map(len, texts)))
        self.ops += (Op(text.encode(), Code.END) for text in texts)

    def _with_body(self, code: Code, item: Type, after_each: str) -> None:
        at = len(self.ops)
        self.op(code)
        self.value(item)
        self.text(after_each)
        self.op(Code.END)
        self.ops[at] = Op(self.ops[at].text, code, len(self.ops) - at - 1)
