"""A node connection as both baselines read it: bytes to ``event`` messages as dicts."""

from __future__ import annotations

import struct
from datetime import datetime, timezone
from itertools import count
from typing import Any

from .decode import DecodeError, decoders

MAX_MESSAGE_SIZE = 1 << 20

_LENGTH = struct.Struct("<I").unpack_from
_CORES = struct.Struct("<H").unpack_from
_DECODERS = decoders()
_PARAMETER_SIZES = (134, 122)
_GENESIS, _ADDRESS, _FLAGS = 32, 18, 4


def now() -> str:
    """The time as the protocol writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z"


class NodeReader:
    """What is known of one node; ``ids`` gives the ids of the events of all nodes."""

    def __init__(self, ids: count[int]) -> None:
        self.node_id = ""
        self.skipped = 0
        self._ids = ids
        self._cores = 0
        self._event_id = 0
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The ``event`` messages that ``data`` completes.

        :raises DecodeError: if the node is to be disconnected.
        """
        data = self._rest + data if self._rest else data
        begin = 0 if self.node_id else self._read_information(data)
        node_id, cores, event_id, ids, received = (
            self.node_id,
            self._cores,
            self._event_id,
            self._ids,
            now(),
        )
        messages: list[dict[str, Any]] = []
        last = len(data) - 4
        while node_id and begin <= last:
            (length,) = _LENGTH(data, begin)
            end = begin + 4 + length
            if length > MAX_MESSAGE_SIZE:
                raise DecodeError(f"a message of {length} bytes")
            if end > len(data):
                break
            try:
                event_type = data[begin + 12]
                event, at = _DECODERS[event_type](data, begin + 4, cores)
                if at > end:
                    raise DecodeError("a message that is cut short")
            except (DecodeError, LookupError, struct.error):
                self.skipped += 1
                event_id += 1
            else:
                messages.append(
                    {
                        "type": "event",
                        "data": {
                            "id": next(ids),
                            "node_id": node_id,
                            "event_id": event_id,
                            "event_type": event_type,
                            "event": event,
                        },
                        "timestamp": received,
                    }
                )
                event_id += event["Dropped"]["num"] if event_type == 0 else 1
            begin = end
        self._event_id = event_id
        self._rest = data[begin:]
        return messages

    def _read_information(self, data: bytes) -> int:
        """Read the first message if it is whole; return where the events begin."""
        if len(data) < 4 or len(data) < 4 + _LENGTH(data)[0]:
            return 0
        content = data[4 : 4 + _LENGTH(data)[0]]
        for size in _PARAMETER_SIZES:
            peer = 1 + size + _GENESIS
            at = peer + 32 + _ADDRESS + _FLAGS
            for _ in range(4):
                at += 1 + sum(content[at : at + 1])
            if at == len(content):
                self.node_id = content[peer : peer + 32].hex()
                (self._cores,) = _CORES(content, 25)
                return 4 + len(content)
        raise DecodeError("node information that fits no known layout")
