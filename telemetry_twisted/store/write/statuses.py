"""Reads a ``Status`` in one step: of all that nodes say of themselves it is what comes most."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from telemetry_twisted.jip3.state_types import STATUS
from telemetry_twisted.jip3.table import TABLE, CoreBytes, Uint

_EVENT = TABLE.events[STATUS]
_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}


def _reader() -> Callable[[bytes, int], tuple[int, dict[str, Any]]]:
    """A reader for the layout that the table has."""
    names = [name for name, _ in _EVENT.fields]
    (by_core,) = (at for at, (_, wire) in enumerate(_EVENT.fields) if isinstance(wire, CoreBytes))

    def layout(start: str, fields: Any) -> struct.Struct:
        sizes = [wire.size for _, wire in fields if isinstance(wire, Uint)]
        return struct.Struct(start + "".join(map(_UNSIGNED.__getitem__, sizes)))

    head = layout("<QB", _EVENT.fields[:by_core])
    tail = layout("<", _EVENT.fields[by_core + 1 :])
    assert head.size + tail.size == _EVENT.size_without_cores

    def read(content: bytes, cores: int) -> tuple[int, dict[str, Any]]:
        end = head.size + cores
        timestamp, _, *before = head.unpack_from(content)
        values = (*before, list(content[head.size : end]), *tail.unpack_from(content, end))
        return timestamp, dict(zip(names, values, strict=True))

    return read


_read = _reader()


def read_status(content: bytes, cores: int | None) -> tuple[int, dict[str, Any]] | None:
    """The timestamp of a ``Status`` and its fields, as :func:`.decode_event` has them.

    :param content: the message without its length prefix.
    :param cores: how many the node has.
    :returns: None if it is not as long as it is to be: then that function tells why.
    """
    if cores is None or len(content) != _EVENT.size_without_cores + cores:
        return None
    return _read(content, cores)
