"""Which channels a chunk matches, found by what is in the chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from telemetry_twisted.transport.records import Chunk

from .channel import Channel
from .filter import Spans

Shelf = dict[Channel, None]

_SHELF_BYTES = 500
"""What the shelf of a node takes, its ID included."""

Match = tuple[Channel, Spans | None]
"""A channel with a filter, and which events of a chunk match it; None means all."""


class ChannelIndex:
    """Channels on shelves: without a filter, by type, and by node.

    What it costs to find those of a chunk follows the channels that match, never the number of
    events. Adding and removing one follows the nodes and types in its filter alone.
    """

    def __init__(self) -> None:
        self._whole: tuple[Channel, ...] = ()
        self._of_type: dict[int, Shelf] = {}
        self._of_node: dict[str, Shelf] = {}
        self._of_handle: dict[int, Shelf] = {}
        self._handles: dict[str, int] = {}

    @property
    def nodes(self) -> int:
        """Number of nodes that someone has asked for by ID."""
        return len(self._of_node)

    @property
    def bytes(self) -> int:
        """What the shelves of nodes take."""
        return len(self._of_node) * _SHELF_BYTES

    def cost(self, node_ids: Iterable[str]) -> int:
        """What shelves would take that are not there yet."""
        return _SHELF_BYTES * sum(node_id not in self._of_node for node_id in node_ids)

    def add(self, channel: Channel) -> None:
        """Find ``channel`` from now on."""
        for node_id in channel.filter.node_ids or ():
            if node_id in self._handles:
                channel.handles |= 1 << self._handles[node_id]
        if channel.filter.narrows:
            for shelf in self._shelves(channel):
                shelf[channel] = None
        else:
            self._whole = (*self._whole, channel)

    def remove(self, channel: Channel) -> None:
        """Find ``channel`` no more."""
        if not channel.filter.narrows:
            self._whole = tuple([each for each in self._whole if each is not channel])
            return
        for shelf in self._shelves(channel):
            del shelf[channel]
        if channel.filter.node_ids is not None:
            for node_id in channel.filter.node_ids:
                if not self._of_node[node_id]:
                    del self._of_node[node_id]
                    self._of_handle.pop(self._handles.get(node_id, -1), None)
        else:
            for discriminator in channel.filter.types or ():
                if not self._of_type[discriminator]:
                    del self._of_type[discriminator]

    def _shelves(self, channel: Channel) -> Iterator[Shelf]:
        """Where ``channel`` stands, whose filter narrows."""
        filter = channel.filter
        if filter.node_ids is not None:
            for node_id in filter.node_ids:
                shelf = self._of_node.setdefault(node_id, {})
                if node_id in self._handles:
                    self._of_handle[self._handles[node_id]] = shelf
                yield shelf
        else:
            for discriminator in filter.types or ():
                yield self._of_type.setdefault(discriminator, {})

    def node_connected(self, node_id: str, handle: int) -> None:
        """Events of ``node_id`` will come under ``handle``."""
        self._handles[node_id] = handle
        shelf = self._of_node.get(node_id)
        if shelf is not None:
            self._of_handle[handle] = shelf
            for channel in shelf:
                channel.handles |= 1 << handle

    def node_gone(self, node_id: str) -> None:
        """No more events will come under the handle that ``node_id`` had."""
        handle = self._handles.pop(node_id)
        for channel in self._of_handle.pop(handle, ()):
            channel.handles &= ~(1 << handle)

    def matches(self, chunk: Chunk) -> tuple[tuple[Channel, ...], list[Match]]:
        """The channels that ``chunk`` matches: those without a filter, and those with one.

        While nobody filters, that takes no look at the chunk, and makes nothing.
        """
        narrowed: list[Match] = []
        if self._of_type:
            narrowed += self._of_types(chunk)
        if self._of_handle:
            narrowed += self._of_nodes(chunk)
        return self._whole, narrowed

    def _of_types(self, chunk: Chunk) -> Iterator[Match]:
        channels: Shelf = {}
        for discriminator in self._of_type.keys() & set(chunk.types):
            channels.update(self._of_type[discriminator])
        for channel in channels:
            yield channel, channel.filter.narrow(chunk.types)

    def _of_nodes(self, chunk: Chunk) -> Iterator[Match]:
        runs = chunk.runs
        handles = {handle for handle, _ in runs}
        channels: Shelf = {}
        for handle in self._of_handle.keys() & handles:
            channels.update(self._of_handle[handle])
        if not channels:
            return
        wanted = sum(1 << handle for handle in handles)
        parts: dict[Channel, bytearray] = {}
        for channel in channels:
            if channel.handles & wanted != wanted:
                parts[channel] = bytearray()
            elif (spans := channel.filter.narrow(chunk.types)) != b"":
                yield channel, spans
        if parts:
            self._collect(parts, runs)
            for channel, part in parts.items():
                if (spans := channel.filter.narrow(chunk.types, bytes(part))) != b"":
                    yield channel, spans

    def _collect(self, parts: dict[Channel, bytearray], runs: Iterable[tuple[int, int]]) -> None:
        """Fill ``parts`` with the spans of ``runs`` that are of nodes which the channels want."""
        begin = 0
        for handle, count in runs:
            end = begin + count
            for channel in self._of_handle.get(handle, ()):
                part = parts.get(channel)
                if part is None:
                    continue
                if part and part[-1] == begin:
                    part[-1] = end
                else:
                    part.append(begin)
                    part.append(end)
            begin = end
