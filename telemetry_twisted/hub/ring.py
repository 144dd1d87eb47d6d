"""The last events, bounded in number and bytes, and the channels cut from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from telemetry_twisted.transport.records import Chunk

from .channel import CHANNEL_BYTES, Channel
from .filter import Filter
from .index import ChannelIndex
from .memo import FrameMemo, Render
from .window import Window

Message = bytes
"""An event as subscribers get it."""

MEMO_BYTES = 8 << 20
"""What remembered frames may take, unless the ring is small."""

_MEMO_SHARE = 16
_FILTERS_SHARE = 4


class FiltersTooLarge(Exception):
    """All filters together would take more than ``most`` bytes."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most


class Ring:
    """Holds the newest chunks and keeps every open channel in step with them.

    ``events`` and ``total`` are the numbers of events that it holds and that it was given, ``memo``
    remembers frames.

    :param max_events: most events held.
    :param max_bytes: most bytes held, those included that filters and channels take; whichever
        bound comes first. A sixteenth may be remembered frames, a quarter filters.
    :param render: makes a frame of messages, see :class:`~.channel.Channel`.
    :param batch: most events in a frame.
    """

    def __init__(self, max_events: int, max_bytes: int, render: Render, batch: int) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.batch = batch
        self.events = 0
        self.total = 0
        self._render = render
        self._chunks: Window[Chunk] = Window()
        self._matched: Window[tuple[Channel, ...]] = Window()
        self._chunk_bytes = 0
        self._filter_bytes = 0
        self._channels: dict[Filter, Channel] = {}
        self._index = ChannelIndex()
        self.memo = FrameMemo(min(MEMO_BYTES, max_bytes // _MEMO_SHARE))
        self._touched: dict[Channel, None] = {}
        self._share_out()
        self._tell_audience: Callable[[bool], object] = lambda _: None

    def tell_audience(self, told: Callable[[bool], object]) -> None:
        """Have ``told`` called, now and when that changes, with whether there is any reader."""
        self._tell_audience = told
        told(bool(self._channels))

    @property
    def bytes(self) -> int:
        """Bytes held: chunks, what channels keep of them, filters, and remembered frames."""
        return self._chunk_bytes + self._filter_bytes + self._index.bytes + self.memo.bytes

    @property
    def node_channels(self) -> int:
        """Number of nodes that someone has asked for by ID, those of each network apart."""
        return self._index.nodes

    def _share_out(self) -> None:
        """Leave to chunks, and what channels keep of them, what nothing else may take."""
        others = self.memo.max_bytes + self._filter_bytes + self._index.bytes
        self._most_chunk_bytes = self.max_bytes - others

    def open(self, filter: Filter) -> Channel:
        """The channel of ``filter`` for one more reader.

        :raises FiltersTooLarge: if there is no room for another filter that narrows.
        """
        channel = self._channels.get(filter)
        if channel is None:
            size = filter.size + CHANNEL_BYTES
            most = self.max_bytes // _FILTERS_SHARE
            more = size + self._index.cost(filter)
            if self._filter_bytes + self._index.bytes + more > most and filter.narrows:
                raise FiltersTooLarge(most)
            channel = Channel(filter, self._chunks, self._render, self.batch, self.memo)
            self._channels[filter] = channel
            self._filter_bytes += size
            self._index.add(channel)
            self._share_out()
            if len(self._channels) == 1:
                self._tell_audience(True)
        channel.readers += 1
        return channel

    def close(self, channel: Channel) -> None:
        """One reader less; the last one takes the channel with it."""
        channel.readers -= 1
        if channel.readers:
            return
        del self._channels[channel.filter]
        self._index.remove(channel)
        self._touched.pop(channel, None)
        self._filter_bytes -= channel.filter.size + CHANNEL_BYTES
        self._share_out()
        self._chunk_bytes -= channel.clear()
        if not self._channels:
            self._tell_audience(False)

    def node_connected(self, node_id: str, handle: int, network: str) -> None:
        """Events of ``node_id``, which is of ``network``, will come under ``handle``."""
        self._index.node_connected(node_id, handle, network)

    def node_gone(self, node_id: str) -> None:
        """No more events will come under the handle that ``node_id`` had."""
        self._index.node_gone(node_id)

    def publish(self, chunk: Chunk) -> None:
        """Add ``chunk`` to the ring and to every channel that it matches."""
        matched, narrowed = self._index.matches(chunk)
        index, count = self._chunks.end, chunk.count
        size = chunk.size
        for channel in matched:
            size += channel.append(index, count)
        if narrowed:
            matched = (*matched, *[channel for channel, _ in narrowed])
            for channel, spans in narrowed:
                size += channel.append(index, count, spans)
        self._chunks.append(chunk)
        self._matched.append(matched)
        self._touched.update(dict.fromkeys(matched))
        self._chunk_bytes += size
        self.events += count
        self.total += count
        while len(self._chunks) and (
            self.events > self.max_events or self._chunk_bytes > self._most_chunk_bytes
        ):
            self._evict()

    def _evict(self) -> None:
        chunk = self._chunks.popleft()
        self.events -= chunk.count
        self._chunk_bytes -= chunk.size
        for channel in self._matched.popleft():
            self._chunk_bytes -= channel.evict()

    def wake(self) -> None:
        """Wake the readers of the channels that have grown since the last call."""
        touched, self._touched = self._touched, {}
        for channel in touched:
            channel.wake()

    def newest(self, limit: int) -> Iterator[Message]:
        """The newest ``limit`` events, or as many as there are, oldest first.

        They are those of now, and cut from their chunks one by one, whenever that is.
        """
        chunks: list[Chunk] = []
        count = 0
        index = self._chunks.end
        while count < limit and index > self._chunks.start:
            index -= 1
            chunk = self._chunks[index]
            chunks.append(chunk)
            count += chunk.count
        events = (event for chunk in reversed(chunks) for event in chunk.each())
        return islice(events, max(0, count - limit), None)
