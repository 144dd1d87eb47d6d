"""The reference decoder: the content of a message to Python values, slow and precise.

History reads facts with it, tests compare against it, and a codec asks it what is wrong with a
message. It also fixes the rules that every codec shares; the compiled codec keeps to the same text.

**Reading.** A message's content is read from its first byte to its last in the order of the table:
the timestamp (8 bytes), the discriminator (1 byte), then each field, depth first. Each of the
following is one read: an integer of any width, a hash, an address, a byte of bool, option or enum,
the bytes of a ``core_bytes`` or ``core_bitfield``, a natural. A string or sequence is the read of
its natural count, followed by the bytes or items. An import spec is a hash and a ``u16``.

**Errors.** The first read that fails makes the whole message an error. It is reported alone, with
the offset in the content where that read begins, and no violation is reported beside it:

- ``CUT_SHORT``: the read needs more bytes than are left.
- ``UNKNOWN_DISCRIMINATOR``: at offset 8.
- ``BAD_BOOL``, ``BAD_OPTION``, ``BAD_ENUM``: at the byte.
- ``CORE_COUNT_UNKNOWN``: the node's core count is needed and is not known (:mod:`.cores`); where
  the value begins whose size depends on it.
- ``CORE_COUNT_MISFIT``: bytes are left after the last field of an event with such a value, and the
  node's parameters were of no known layout, so that the core count is no more certain than those
  bytes; at the first of them.
- ``COUNT_TOO_LARGE``: the count of a sequence, or the length of a string, is larger than the number
  of bytes after it; at the first byte of the natural. This comes before anything else is made of
  the count. Where the natural itself is cut short, that is ``CUT_SHORT`` at its first byte.

A message of fewer than 9 bytes has no discriminator (None): it is cut short at 0, or at 8 if it is
8 bytes long. That includes a message of no bytes at all.

**Violations.** What is delivered although it breaks a rule. Each offending value counts once, in
the order of the fields, at the offset where the value begins (the natural, for a string):

- ``STRING_TOO_LONG``: more bytes than the limit. Delivered whole. A string that is also invalid
  UTF-8 is reported as too long only.
- ``INVALID_UTF8``: delivered with U+FFFD exactly where ``bytes.decode("utf-8", "replace")`` puts
  it: one for each maximal subpart of an ill-formed sequence.
- ``TRAILING_BYTES``: after those, at the first byte after the last field.
- ``TIME_OFF_CLOCK``: the timestamp is not near the server's clock (:mod:`.moment`), or
  ``UNIX_TIME``, where it would be if it counted from 1970; at offset 0. Once a minute at most.
- ``SLOT_AHEAD``: the slot that the node says it is at, a field of that name, is too far ahead of
  the server's clock; at the field. Once a minute at most.

Naturals may be longer than they need be; that breaks no rule.

**Event IDs** (JIP-3, Event IDs) count modulo 2^64. A ``Dropped`` that decodes adds its ``num``,
which may be 0; everything else adds 1, also an event that does not decode, ``Dropped`` or not.

**JSON.** Compact, no spaces; fields in the order of the table; integers in decimal. Strings as
``json.encoder.encode_basestring`` writes them: ``\\"``, ``\\\\``, ``\\b``, ``\\f``, ``\\n``,
``\\r``, ``\\t``, other characters below U+0020 as ``\\u00xx`` in lowercase hex, and everything else
as it is, in UTF-8. An address in ``::ffff:0:0/96`` is a dotted quad; any other is eight groups of
lowercase hex without leading zeros, the longest run of two or more zero groups (the first of the
longest) written as ``::``, and never with a dotted quad in it (RFC 5952; Python's ``ipaddress``).
With byte arrays, hashes, addresses (IPv4-mapped or not) and bitfields are arrays of integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address
from typing import Any, NamedTuple, TypeVar

from attrs import frozen

from .cores import CoreCount
from .moment import Moment, is_unix_time
from .natural import decode_natural
from .table import (
    TABLE,
    Bool,
    CoreBitfield,
    CoreBytes,
    Enum,
    Fields,
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

CUT_SHORT = "cut short"
UNKNOWN_DISCRIMINATOR = "unknown discriminator"
BAD_BOOL = "bool is neither 0 nor 1"
BAD_OPTION = "option is neither 0 nor 1"
BAD_ENUM = "enum out of range"
COUNT_TOO_LARGE = "count larger than the bytes left"
CORE_COUNT_UNKNOWN = "core count unknown"
CORE_COUNT_MISFIT = "length does not fit the core count"

STRING_TOO_LONG = "string longer than its limit"
INVALID_UTF8 = "invalid UTF-8"
TRAILING_BYTES = "bytes after the last field"
TIME_OFF_CLOCK = "timestamp more than a day from the server's clock"
UNIX_TIME = (
    "timestamp counts microseconds from 1970 (Unix time); "
    "JIP-3 counts them from 2025-01-01T12:00:00Z (JAM Common Era)"
)
SLOT_AHEAD = "slot more than 10 beyond that of the server's clock"

_T = TypeVar("_T")


class DecodeError(Exception):
    """A message cannot be decoded: the read that begins at ``offset`` fails for ``reason``."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"{reason} at offset {offset}")
        self.offset = offset
        self.reason = reason


class Violation(NamedTuple):
    """The value at ``offset`` was delivered although it breaks a rule, ``reason``."""

    offset: int
    reason: str


@frozen
class Event:
    """A decoded event.

    ``timestamp`` is in microseconds of the JAM Common Era, ``fields`` in the form of the JSON,
    ``violations`` in the order of the fields.
    """

    discriminator: int
    name: str
    timestamp: int
    fields: dict[str, Any]
    violations: tuple[Violation, ...]

    def as_json(self) -> dict[str, Any]:
        """The value of ``event`` in an ``event`` message."""
        return {self.name: {"timestamp": self.timestamp, **self.fields}}


def decode_event(
    content: bytes,
    cores: int | CoreCount | None,
    version: int = 0,
    byte_arrays: bool = False,
    known_layout: bool = True,
) -> Event:
    """The event in ``content``, a message without its length prefix.

    ``cores`` is the core count of the node, or what is known of it, or None to go by the length of
    the message alone. ``version`` is the node's protocol version, ``byte_arrays`` whether hashes,
    addresses and bitfields are lists of integers, ``known_layout`` whether the node's parameters
    were of a known layout. Times are not compared with any clock (:func:`clock_violations`).

    :raises DecodeError: for the first read that fails.
    """
    reader = Reader(content, byte_arrays=byte_arrays)
    timestamp = reader.read(Uint(8))
    discriminator = reader.read(Uint(1))
    event = TABLE.events_of(version).get(discriminator)
    if event is None:
        raise DecodeError(8, UNKNOWN_DISCRIMINATOR)
    count = cores if isinstance(cores, CoreCount) else CoreCount(cores)
    reader.cores = count.of(event, len(content))
    fields = reader.read_fields(event.fields)
    if event.core_bits and not known_layout and reader.offset < len(content):
        raise DecodeError(reader.offset, CORE_COUNT_MISFIT)
    reader.finish()
    return Event(discriminator, event.name, timestamp, fields, tuple(reader.violations))


def clock_violations(event: Event, moment: Moment) -> Iterator[Violation]:
    """What ``event``, read at ``moment``, says of the time that cannot be so."""
    if not moment.earliest <= event.timestamp <= moment.latest:
        unix = is_unix_time(event.timestamp, moment.earliest, moment.latest)
        yield Violation(0, UNIX_TIME if unix else TIME_OFF_CLOCK)
    at = TABLE.events[event.discriminator].slot_offset
    if at is not None and event.fields["slot"] > moment.newest_slot:
        yield Violation(at, SLOT_AHEAD)


def address_text(raw: bytes) -> str:
    """The 16 bytes of an IPv6 address as text; an IPv4-mapped one as plain IPv4."""
    address = IPv6Address(raw)
    return str(address.ipv4_mapped or address)


class Reader:
    """Reads values of the table's types from ``content``, from ``offset`` on.

    ``cores`` is the node's core count, to be set where it is needed; ``violations`` holds what was
    found so far.
    """

    def __init__(self, content: bytes, offset: int = 0, *, byte_arrays: bool = False) -> None:
        self.content = content
        self.offset = offset
        self.cores: int | None = None
        self.byte_arrays = byte_arrays
        self.violations: list[Violation] = []

    def read_fields(self, fields: Fields) -> dict[str, Any]:
        """The values of ``fields`` by name.

        :raises DecodeError: for the first read that fails.
        """
        return {name: self.read(wire) for name, wire in fields}

    def read(self, wire: Type) -> Any:
        """The next value, of type ``wire``, in the form of the JSON.

        :raises DecodeError: for the first read that fails.
        """
        match wire:
            case Uint(size):
                return int.from_bytes(self._take(size), "little")
            case Hash32():
                return self._bytes(32)
            case Bool():
                return self._choice((False, True), BAD_BOOL)
            case Enum(_, names):
                return self._choice(names, BAD_ENUM)
            case Str(limit):
                return self._string(limit)
            case Opt(item):
                return self.read(item) if self._choice((False, True), BAD_OPTION) else None
            case Seq(item):
                return [self.read(item) for _ in range(self._count())]
            case Pair(first, second):
                return [self.read(first), self.read(second)]
            case Ipv6():
                raw = self._take(16)
                return list(raw) if self.byte_arrays else address_text(raw)
            case CoreBytes():
                return list(self._take(self._core_count()))
            case CoreBitfield():
                return self._bytes((self._core_count() + 7) // 8)
            case ImportSpec():
                return self._import_spec()
            case Struct(_, fields):
                return self.read_fields(fields)

    def finish(self) -> None:
        """Note the violation of bytes after the last field, if there are any."""
        if self.offset < len(self.content):
            self.violations.append(Violation(self.offset, TRAILING_BYTES))

    def _take(self, size: int) -> bytes:
        raw = self.content[self.offset : self.offset + size]
        if len(raw) < size:
            raise DecodeError(self.offset, CUT_SHORT)
        self.offset += size
        return raw

    def _bytes(self, size: int) -> str | list[int]:
        raw = self._take(size)
        return list(raw) if self.byte_arrays else f"0x{raw.hex()}"

    def _choice(self, choices: Sequence[_T], reason: str) -> _T:
        at = self.offset
        (index,) = self._take(1)
        if index >= len(choices):
            raise DecodeError(at, reason)
        return choices[index]

    def _core_count(self) -> int:
        if self.cores is None:
            raise DecodeError(self.offset, CORE_COUNT_UNKNOWN)
        return self.cores

    def _count(self) -> int:
        at = self.offset
        try:
            count, self.offset = decode_natural(self.content, at, len(self.content))
        except ValueError:
            raise DecodeError(at, CUT_SHORT) from None
        if count > len(self.content) - self.offset:
            raise DecodeError(at, COUNT_TOO_LARGE)
        return count

    def _string(self, limit: int) -> str:
        at = self.offset
        raw = self._take(self._count())
        if len(raw) > limit:
            self.violations.append(Violation(at, STRING_TOO_LONG))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            if len(raw) <= limit:
                self.violations.append(Violation(at, INVALID_UTF8))
            return raw.decode("utf-8", "replace")

    def _import_spec(self) -> dict[str, Any]:
        root = self._bytes(32)
        index = self.read(Uint(2))
        kind = "WorkPackageHash" if index & 0x8000 else "SegmentsRoot"
        return {"root_identifier": {kind: root}, "export_index": index & 0x7FFF}
