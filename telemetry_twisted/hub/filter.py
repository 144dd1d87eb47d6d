"""What a subscriber wants, and which events of a chunk that is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from functools import cached_property

from attrs import frozen

Spans = bytes
"""Which events of a chunk match: half-open ranges of their numbers, in order, two bytes each.

A chunk has at most :data:`~telemetry_twisted.transport.records.CHUNK_EVENTS`, which fit in a byte.
"""

_MATCHES = re.compile(b"\x01+")
_NODE_BYTES = 120
"""What a node ID takes in a filter, and the channel at the node's shelf."""


@frozen
class Filter:
    """What a subscriber wants: events of these nodes, of these types, and of nodes of this network,
    by its genesis hash; None means any."""

    node_ids: frozenset[str] | None = None
    types: frozenset[int] | None = None
    network: str | None = None

    @cached_property
    def _matching(self) -> bytes:
        assert self.types is not None
        return bytes(discriminator in self.types for discriminator in range(256))

    @property
    def narrows(self) -> bool:
        """Whether it wants less than all events."""
        return self != ALL

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, with its place in an index of channels."""
        nodes = 0 if self.node_ids is None else _NODE_BYTES * len(self.node_ids)
        named = (each for each in (self.types, self.network) if each is not None)
        return nodes + sum(map(sys.getsizeof, named))

    def narrow(self, types: bytes, spans: Spans | None = None) -> Spans | None:
        """Which events of the wanted types are in ``spans`` of a chunk with ``types``.

        None stands for the whole chunk.
        """
        if self.types is None:
            return spans
        marks = types.translate(self._matching)
        if spans is None:
            if 0 not in marks:
                return None
            return _bounds(_MATCHES.finditer(marks))
        return b"".join(
            _bounds(_MATCHES.finditer(marks, begin, end)) for begin, end in each_span(spans)
        )


ALL = Filter()
"""The filter that a new subscriber starts with."""


def _bounds(matches: Iterable[re.Match[bytes]]) -> Spans:
    return bytes(bound for match in matches for bound in match.span())


def each_span(spans: Spans) -> Iterable[tuple[int, int]]:
    """The ranges one by one."""
    return zip(spans[::2], spans[1::2], strict=True)


def width(spans: Spans) -> int:
    """How many events are in ``spans``."""
    return sum(spans[1::2]) - sum(spans[::2])
