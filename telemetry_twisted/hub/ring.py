"""The last events, bounded in number and bytes, and the channels cut from them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from telemetry_twisted.transport.records import Chunk

from .channel import Channel, Filter, Render
from .window import Window


class Ring:
    """Holds the newest chunks and keeps every open channel in step with them.

    What a chunk costs here follows the channels that it matches, never the number of its events:
    unfiltered channels take it whole, channels of nodes are found by the slots it carries, channels
    of types by the types it carries.

    :param max_events: most events held.
    :param max_bytes: most bytes held; whichever bound comes first.
    :param render: makes a frame of messages, see :class:`~.channel.Channel`.
    :param batch: most events in a frame.
    """

    def __init__(self, max_events: int, max_bytes: int, render: Render, batch: int) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.batch = batch
        self.events = 0
        self.bytes = 0
        self.total = 0
        self._render = render
        self._chunks: Window[tuple[Chunk, tuple[Channel, ...]]] = Window()
        self._channels: dict[Filter, Channel] = {}
        self._whole: list[Channel] = []
        self._of_type: dict[int, list[Channel]] = {}
        self._of_node: dict[str, list[Channel]] = {}
        self._of_slot: dict[int, list[Channel]] = {}
        self._slots: dict[str, int] = {}
        self._touched: dict[Channel, None] = {}

    def open(self, filter: Filter) -> Channel:
        """The channel of ``filter`` for one more reader."""
        channel = self._channels.get(filter)
        if channel is None:
            channel = self._channels[filter] = Channel(filter, self._render, self.batch)
            for shelf in self._shelves(filter):
                shelf.append(channel)
        channel.readers += 1
        return channel

    def close(self, channel: Channel) -> None:
        """One reader less; the last one takes the channel with it."""
        channel.readers -= 1
        if channel.readers:
            return
        del self._channels[channel.filter]
        for shelf in self._shelves(channel.filter):
            shelf.remove(channel)
        self._touched.pop(channel, None)
        for node_id in channel.filter.node_ids or ():
            if not self._of_node[node_id]:
                del self._of_node[node_id]
                self._of_slot.pop(self._slots.get(node_id, -1), None)
        for discriminator in channel.filter.types or ():
            if channel.filter.node_ids is None and not self._of_type[discriminator]:
                del self._of_type[discriminator]

    def _shelves(self, filter: Filter) -> Iterable[list[Channel]]:
        """The lists in which a channel of ``filter`` is looked up."""
        if filter.node_ids is not None:
            for node_id in filter.node_ids:
                shelf = self._of_node.setdefault(node_id, [])
                if node_id in self._slots:
                    self._of_slot[self._slots[node_id]] = shelf
                yield shelf
        elif filter.types is not None:
            for discriminator in filter.types:
                yield self._of_type.setdefault(discriminator, [])
        else:
            yield self._whole

    @property
    def node_channels(self) -> int:
        """Number of nodes that someone has asked for by ID."""
        return len(self._of_node)

    def node_connected(self, node_id: str, slot: int) -> None:
        """Events of ``node_id`` will come under ``slot``."""
        self._slots[node_id] = slot
        if node_id in self._of_node:
            self._of_slot[slot] = self._of_node[node_id]

    def node_gone(self, node_id: str) -> None:
        """No more events will come under the slot that ``node_id`` had."""
        self._of_slot.pop(self._slots.pop(node_id), None)

    def publish(self, chunk: Chunk) -> None:
        """Add ``chunk`` to the ring and to every channel that it matches."""
        matched = self._whole[:]
        for channel in matched:
            channel.append(chunk, chunk.count)
        if self._of_type:
            matched += self._publish_types(chunk)
        if self._of_slot:
            matched += self._publish_nodes(chunk)
        self._touched.update(dict.fromkeys(matched))
        self._chunks.append((chunk, tuple(matched)))
        self.events += chunk.count
        self.bytes += chunk.size
        self.total += chunk.count
        while self.events > self.max_events or self.bytes > self.max_bytes:
            self._evict()

    def _publish_types(self, chunk: Chunk) -> Iterable[Channel]:
        wanted = self._of_type.keys() & set(chunk.types)
        matched = dict.fromkeys(
            channel for discriminator in wanted for channel in self._of_type[discriminator]
        )
        for channel in matched:
            spans = channel.filter.spans(chunk.types)
            channel.append(chunk, _width(spans), spans)
        return matched

    def _publish_nodes(self, chunk: Chunk) -> Iterable[Channel]:
        runs = chunk.runs
        if self._of_slot.keys().isdisjoint([slot for slot, _ in runs]):
            return ()
        matched: dict[Channel, list[tuple[int, int]]] = {}
        begin = 0
        for slot, count in runs:
            for channel in self._of_slot.get(slot, ()):
                spans = channel.filter.spans(chunk.types[begin : begin + count], begin)
                matched.setdefault(channel, []).extend(spans)
            begin += count
        matched = {channel: spans for channel, spans in matched.items() if spans}
        for channel, spans in matched.items():
            channel.append(chunk, _width(spans), spans)
        return matched

    def _evict(self) -> None:
        chunk, matched = self._chunks.popleft()
        self.events -= chunk.count
        self.bytes -= chunk.size
        for channel in matched:
            channel.evict()

    def wake(self) -> None:
        """Wake the readers of the channels that have grown since the last call."""
        touched, self._touched = self._touched, {}
        for channel in touched:
            channel.wake()

    def newest(self, limit: int) -> list[bytes]:
        """The newest ``limit`` events, or as many as there are, oldest first."""
        chunks: list[Chunk] = []
        count = 0
        index = self._chunks.end
        while count < limit and index > self._chunks.start:
            index -= 1
            chunk, _ = self._chunks[index]
            chunks.append(chunk)
            count += chunk.count
        events = (event for chunk in reversed(chunks) for event in chunk.each())
        return list(islice(events, max(0, count - limit), None))


def _width(spans: Iterable[tuple[int, int]]) -> int:
    return sum(end - begin for begin, end in spans)
