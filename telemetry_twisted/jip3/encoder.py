"""The encoder: values in the form of the JSON to the bytes a node sends.

Each wire type of the table becomes one function from value to bytes, made when it is first needed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, ip_address
from typing import Any

from .natural import encode_natural
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

Encode = Callable[[Any], bytes]

_DISCRIMINATORS = {event.name: event.discriminator for event in TABLE.events.values()}
_PACK: Mapping[int, Encode] = {
    size: struct.Struct(code).pack for size, code in ((1, "<B"), (2, "<H"), (4, "<I"), (8, "<Q"))
}
_HEAD = struct.Struct("<QB").pack
_LENGTH = struct.Struct("<I").pack
_MISFITS = (struct.error, AttributeError, LookupError, TypeError, ValueError)


class EncodeError(ValueError):
    """A value that its wire type cannot hold, or a field that is missing."""


def frame(content: bytes) -> bytes:
    """``content`` with the length in front of it: a message as it is sent."""
    return _LENGTH(len(content)) + content


def encode_event(
    event: int | str, timestamp: int, fields: Mapping[str, Any], *, cores: int, version: int = 0
) -> bytes:
    """The content of an event message, without the length in front of it.

    ``event`` is a discriminator or a name, ``timestamp`` in microseconds of the JAM Common Era.
    ``fields`` are values by name in either form of the JSON; hashes, addresses and bitfields may
    also be raw bytes. ``cores`` is the node's core count, ``version`` its protocol version.

    :raises EncodeError: if there is no such event, a field is missing, or a value does not fit.
    """
    try:
        discriminator = _DISCRIMINATORS[event] if isinstance(event, str) else event
        encode = _event_encoder(discriminator, cores, version >= 1)
    except KeyError:
        raise EncodeError(f"JIP-3 has no event {event!r}") from None
    try:
        return _HEAD(timestamp, discriminator) + encode(fields)
    except _MISFITS as error:
        name = TABLE.events[discriminator].name
        raise EncodeError(f"{name} cannot be encoded: {error!r}") from error


def encode_node_information(
    information: Mapping[str, Any], *, layout: str | None = "gp-0.8", version: int = 0
) -> bytes:
    """The content of the first message of a node, without the length in front of it.

    ``information`` is in the form of the JSON. ``layout`` names how its ``params`` are laid out;
    with None they are the bytes of ``params["raw"]``, as they are.

    :raises EncodeError: if there is no such layout, a field is missing, or a value does not fit.
    """
    try:
        if layout is None:
            parameters = _raw(information["params"]["raw"])
        else:
            parameters = _fields_encoder(TABLE.parameters[layout], 0)(information["params"])
        rest = _fields_encoder(TABLE.node_information, 0)(information)
        return _PACK[1](version) + parameters + rest
    except _MISFITS as error:
        raise EncodeError(f"node information cannot be encoded: {error!r}") from error


@lru_cache(maxsize=4096)
def _event_encoder(discriminator: int, cores: int, version_1: bool) -> Encode:
    return _fields_encoder(TABLE.events_of(int(version_1))[discriminator].fields, cores)


def _fields_encoder(fields: Fields, cores: int) -> Encode:
    encoders = [(name, _encoder(wire, cores)) for name, wire in fields]
    if len(encoders) == 1:
        ((name, encode),) = encoders
        return lambda value: encode(value[name])
    return lambda value: b"".join([encode(value[name]) for name, encode in encoders])


def _encoder(wire: Type, cores: int) -> Encode:
    match wire:
        case Uint(size):
            return _PACK[size]
        case Hash32():
            return lambda value: _raw(value, 32)
        case Bool():
            return {False: b"\0", True: b"\1"}.__getitem__
        case Enum(_, names):
            return {name: bytes([index]) for index, name in enumerate(names)}.__getitem__
        case Str(limit):
            return lambda value: _string(value, limit)
        case Opt(item):
            some = _encoder(item, cores)
            return lambda value: b"\0" if value is None else b"\1" + some(value)
        case Seq(item):
            each = _encoder(item, cores)
            return lambda values: encode_natural(len(values)) + b"".join(map(each, values))
        case Pair(first, second):
            left, right = _encoder(first, cores), _encoder(second, cores)
            return lambda value: left(value[0]) + right(value[1])
        case Ipv6():
            return _address
        case CoreBytes():
            return lambda value: _raw(value, cores)
        case CoreBitfield():
            return lambda value: _raw(value, (cores + 7) // 8)
        case ImportSpec():
            return _import_spec
        case Struct(_, fields):
            return _fields_encoder(fields, cores)


def _raw(value: Any, size: int | None = None) -> bytes:
    if isinstance(value, str):
        if not value.startswith("0x"):
            raise ValueError(f"hex begins with 0x, not as {value!r} does")
        value = bytes.fromhex(value[2:])
    raw = value if isinstance(value, bytes) else bytes(value)
    if size is not None and len(raw) != size:
        raise ValueError(f"{len(raw)} bytes where {size} are expected")
    return raw


def _string(value: str, limit: int) -> bytes:
    raw = value.encode()
    if len(raw) > limit:
        raise ValueError(f"a string of {len(raw)} bytes where at most {limit} are allowed")
    return encode_natural(len(raw)) + raw


def _address(value: Any) -> bytes:
    return _address_of_text(value) if isinstance(value, str) else _raw(value, 16)


@lru_cache(maxsize=4096)
def _address_of_text(text: str) -> bytes:
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return bytes(10) + b"\xff\xff" + address.packed
    return address.packed


def _import_spec(value: Mapping[str, Any]) -> bytes:
    ((kind, root),) = value["root_identifier"].items()
    index = value["export_index"]
    if not 0 <= index < 0x8000:
        raise ValueError(f"an export index is below 32768, not {index}")
    flag = {"SegmentsRoot": 0, "WorkPackageHash": 0x8000}[kind]
    return _raw(root, 32) + _PACK[2](flag | index)
