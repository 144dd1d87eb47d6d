"""Picks a few fields out of a message, where the table says that they are."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.table import (
    HEAD_SIZE,
    TABLE,
    Bool,
    Enum,
    Hash32,
    Uint,
    fixed_size,
    leaves,
)

TYPE = HEAD_SIZE - 1
"""Where in a message's content its discriminator is, a byte."""

LATEST = 2**62
"""The latest time that is told apart, in microseconds: a node may claim any."""

_UINTS = {1: "B", 2: "H", 4: "I", 8: "Q"}

Pick = Callable[[bytes], tuple[Any, ...]]
"""Gives of a message's content its timestamp, and then the fields."""


def picker(discriminator: int, *names: str) -> Pick:
    """Picks fields of messages of a type, before which all fields have the same size in all.

    What it returns raises :class:`struct.error` for a content that is too short. Hashes are 32
    bytes, enums their index.

    :raises KeyError: if a field does not exist, or has no such place.
    """
    layout = f"<Q{HEAD_SIZE - 8}x"
    left = list(names)
    for name, wire in leaves(TABLE.events[discriminator].fields):
        size = fixed_size(wire)
        if size is None or not left:
            break
        if name != left[0]:
            layout += f"{size}x"
            continue
        left.pop(0)
        match wire:
            case Uint(size):
                layout += _UINTS[size]
            case Bool() | Enum():
                layout += "B"
            case Hash32():
                layout += "32s"
            case _:
                raise KeyError(name)
    if left:
        raise KeyError(left[0])
    return struct.Struct(layout).unpack_from


def unix_time(timestamp: int) -> int:
    """A timestamp of a message, in microseconds of Unix time."""
    return min(COMMON_ERA + timestamp, LATEST)


_TIMESTAMP = struct.Struct("<Q")


def time_of(content: bytes) -> int:
    """When a message says that it happened, in microseconds of Unix time."""
    return unix_time(_TIMESTAMP.unpack_from(content)[0])
