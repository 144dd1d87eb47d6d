"""JIP-3 frames that lie one after another: a u32 length each, and a message's content."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

_LENGTH = struct.Struct("<I")


def encode_frames(contents: Iterable[bytes]) -> bytes:
    """Frames of ``contents``."""
    return b"".join(_LENGTH.pack(len(content)) + content for content in contents)


def each_frame(frames: bytes) -> Iterator[bytes]:
    """The contents of whole frames."""
    at = 0
    while at < len(frames):
        (length,) = _LENGTH.unpack_from(frames, at)
        at += _LENGTH.size
        yield frames[at : at + length]
        at += length
