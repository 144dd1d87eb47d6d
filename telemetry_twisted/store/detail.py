"""The column ``detail`` of what is understood of networks: packed, and its nodes by their numbers.

A byte says whether what comes after the numbers is compressed, which it is once it is final; then
come how many nodes there are (u32), the number of each in what follows (u16 each), and in the
database (u32 each). What follows is MessagePack.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from attrs import field, frozen

from .packed import little

_HEAD = struct.Struct("<BI")
_LEVEL = 1


@frozen
class Detail:
    """What is known of a thing: ``content``, as MessagePack, with its ``nodes``, whose IDs are told
    by the numbers that they have there."""

    nodes: Mapping[int, str]
    content: bytes = field(eq=False, repr=False)
    final: bool = False

    @classmethod
    def of(cls, nodes: Mapping[int, str], content: Any, final: bool = False) -> Detail:
        """What is known now: ``content``, anything that MessagePack has, may change afterwards."""
        return cls(nodes, msgspec.msgpack.encode(content), final)

    @property
    def node_ids(self) -> Iterable[str]:
        """The IDs of the nodes."""
        return self.nodes.values()

    def pack(self, numbers: Mapping[str, int]) -> bytes:
        """The column, the nodes having ``numbers`` in the database."""
        body = zlib.compress(self.content, _LEVEL) if self.final else self.content
        here = little("H", self.nodes)
        there = little("I", [numbers[node] for node in self.nodes.values()])
        return _HEAD.pack(self.final, len(self.nodes)) + here + there + body


def unpack_detail(packed: bytes) -> tuple[dict[int, int], Any]:
    """What is in the column: the number in the database of each node that has one in the content,
    and the content."""
    final, count = _HEAD.unpack_from(packed)
    begin = _HEAD.size
    here = array("H", packed[begin : begin + 2 * count])
    begin += 2 * count
    there = array("I", packed[begin : begin + 4 * count])
    body = packed[begin + 4 * count :]
    content = msgspec.msgpack.decode(zlib.decompress(body) if final else body)
    return dict(zip(_native(here), _native(there), strict=True)), content


def _native(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values.byteswap()
    return values
