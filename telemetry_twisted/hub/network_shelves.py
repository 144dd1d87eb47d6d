"""Channels of one network, and which of them a chunk matches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from telemetry_twisted.transport.records import Chunk

from .channel import Channel
from .filter import Spans
from .node_shelves import Match, NodeShelves, Run, Shelf

NETWORK_BYTES = 2000
"""What the shelves of a network take before anything is on them, its genesis hash included."""


class NetworkShelves:
    """The channels of filters that name one network: for all of its nodes, and for some of them.

    Only nodes of that network are connected here. Which events of a chunk are theirs is found
    once, however many channels want them. ``handles`` are those under which their events come,
    ``channels`` is how many there are.
    """

    def __init__(self) -> None:
        self._every: Shelf = {}
        self.handles: set[int] = set()
        self.channels = 0
        self._nodes = NodeShelves()

    @property
    def nodes(self) -> int:
        """Number of nodes that filters name."""
        return len(self._nodes)

    def missing(self, node_ids: Set[str]) -> int:
        """How many of ``node_ids`` have no shelf yet."""
        return self._nodes.missing(node_ids)

    def add(self, channel: Channel) -> None:
        """Find ``channel`` from now on."""
        self.channels += 1
        if channel.filter.node_ids is None:
            self._every[channel] = None
        else:
            self._nodes.add(channel, channel.filter.node_ids)

    def remove(self, channel: Channel) -> None:
        """Find ``channel`` no more."""
        self.channels -= 1
        if channel.filter.node_ids is None:
            del self._every[channel]
        else:
            self._nodes.remove(channel, channel.filter.node_ids)

    def node_connected(self, node_id: str, handle: int) -> None:
        """Events of ``node_id``, which is of this network, will come under ``handle``."""
        self.handles.add(handle)
        self._nodes.node_connected(node_id, handle)

    def node_gone(self, node_id: str) -> None:
        """No more events will come under the handle that ``node_id`` had."""
        self.handles.discard(self._nodes.node_gone(node_id))

    def matches(self, chunk: Chunk, runs: Sequence[Run], handles: Set[int]) -> Iterator[Match]:
        """The channels that ``chunk`` matches.

        :param runs: those of the chunk, in order.
        :param handles: those in ``runs``.
        """
        if self._every:
            spans = None if handles <= self.handles else self._spans(runs)
            for channel in self._every:
                if (narrowed := channel.filter.narrow(chunk.types, spans)) != b"":
                    yield channel, narrowed
        if not handles.isdisjoint(self._nodes.of_handle.keys()):
            yield from self._nodes.matches(chunk, runs, handles)

    def _spans(self, runs: Sequence[Run]) -> Spans:
        """Which events of a chunk are of nodes of this network."""
        spans = bytearray()
        begin = 0
        for handle, count in runs:
            end = begin + count
            if handle in self.handles:
                if spans and spans[-1] == begin:
                    spans[-1] = end
                else:
                    spans += bytes((begin, end))
            begin = end
        return bytes(spans)
