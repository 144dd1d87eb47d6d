"""What comes over a link, cut into records.

The compiled reader (:mod:`._reading`) makes chunks of a read in one call; where it was not built,
what is here does the same.
"""

from __future__ import annotations

import os
import struct
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._reading import ChunkData, RecordReader
    from .records import Chunk

__all__ = ["ChunkData", "PythonChunkData", "PythonRecordReader", "RecordReader", "cut"]

_PREFIX = struct.Struct("<IB")  # records.PREFIX
_CHUNK = 0  # records.CHUNK


class PythonChunkData:
    """What a :class:`~.records.Chunk` is made of.

    ``beside`` is its run table, of ``run_count`` runs, its types, and its lengths, joined;
    ``known_bounds`` is kept where the bounds of its events have been asked for.
    """

    __slots__ = (
        "beside",
        "count",
        "events",
        "first_id",
        "known_bounds",
        "read",
        "received",
        "run_count",
    )

    def __init__(
        self,
        first_id: int,
        count: int,
        run_count: int,
        received: int,
        read: int,
        events: bytes,
        beside: bytes,
    ) -> None:
        self.first_id = first_id
        self.count = count
        self.run_count = run_count
        self.received = received
        self.read = read
        self.events = events
        self.beside = beside
        self.known_bounds: array[int] | None = None


class PythonRecordReader:
    """Reads records, which may be split anywhere, into one buffer that it keeps.

    :param size: bytes that are read at once; more only for a record that is longer.
    :param chunk: the class of what ``CHUNK`` records become; without it they are as all others.
    """

    def __init__(self, size: int, chunk: type[Chunk] | None = None) -> None:
        self._buffer = bytearray(size)
        self._held = 0
        self._chunk = chunk

    def read(self, descriptor: int) -> list[Chunk | tuple[int, bytes]] | None:
        """Read once: the records that are whole now, ``(kind, body)`` where they are no chunks.

        A ``CHUNK`` record whose parts are not as long as its head says is ``(kind, body)`` as well.

        :returns: None if there is nothing to be read now.
        :raises EOFError: if nothing will come any more.
        :raises OSError: if the connection is broken.
        """
        view = memoryview(self._buffer)
        try:
            count = os.readv(descriptor, [view[self._held :]])
        except BlockingIOError:
            return None
        if not count:
            raise EOFError("the other end is closed")
        filled = self._held + count
        found, at = cut(view[:filled], self._chunk)
        rest = bytes(view[at:filled])
        self._held = len(rest)
        if self._held >= _PREFIX.size:
            whole = _PREFIX.size - 1 + _PREFIX.unpack_from(rest)[0]
            if whole > len(self._buffer):
                self._buffer = bytearray(whole)
        self._buffer[: self._held] = rest
        return found


def cut(
    data: memoryview, chunk: type[Chunk] | None = None
) -> tuple[list[Chunk | tuple[int, bytes]], int]:
    """The whole records in ``data``, and where one begins that is not whole.

    :param chunk: as for :class:`PythonRecordReader`.
    """
    found: list[Chunk | tuple[int, bytes]] = []
    at = 0
    while len(data) - at >= _PREFIX.size:
        length, kind = _PREFIX.unpack_from(data, at)
        if not length:
            raise ValueError("a record has no kind: its length is 0")
        end = at + _PREFIX.size + length - 1
        if end > len(data):
            break
        body = data[at + _PREFIX.size : end]
        if chunk is None or kind != _CHUNK:
            found.append((kind, bytes(body)))
        else:
            found.append(_chunk_or_record(body, chunk))
        at = end
    return found, at


def _chunk_or_record(body: memoryview, chunk: type[Chunk]) -> Chunk | tuple[int, bytes]:
    try:
        return chunk.decode(body)
    except ValueError:
        return _CHUNK, bytes(body)


if not TYPE_CHECKING:
    try:
        from ._reading import ChunkData, RecordReader
    except ImportError:
        ChunkData, RecordReader = PythonChunkData, PythonRecordReader
