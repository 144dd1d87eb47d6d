"""Channels by the nodes that their filters name, and which of them a chunk matches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from telemetry_twisted.transport.records import Chunk

from .channel import Channel
from .filter import Spans

Shelf = dict[Channel, None]

Run = tuple[int, int]
"""The handle of a node, and how many events of a chunk in a row are its."""

Match = tuple[Channel, Spans | None]
"""A channel with a filter, and which events of a chunk match it; None means all."""

SHELF_BYTES = 500
"""What the shelf of a node takes, its ID included."""


class NodeShelves:
    """A shelf for each node that a filter names, with the channels of those filters.

    ``of_handle`` are the shelves of the nodes among them that are connected.

    What it costs to find those of a chunk follows the channels that match, never the number of
    events. Adding and removing one follows the nodes in its filter alone.
    """

    def __init__(self) -> None:
        self._of_node: dict[str, Shelf] = {}
        self.of_handle: dict[int, Shelf] = {}
        self._handles: dict[str, int] = {}

    def __len__(self) -> int:
        """Number of nodes that filters name."""
        return len(self._of_node)

    @property
    def connected(self) -> Mapping[str, int]:
        """The nodes that are connected, and the handles under which their events come."""
        return self._handles

    def missing(self, node_ids: Iterable[str]) -> int:
        """How many of ``node_ids`` have no shelf yet."""
        return sum(node_id not in self._of_node for node_id in node_ids)

    def add(self, channel: Channel, node_ids: Iterable[str]) -> None:
        """Find ``channel``, whose filter names ``node_ids``, from now on."""
        for node_id in node_ids:
            shelf = self._of_node.setdefault(node_id, {})
            shelf[channel] = None
            handle = self._handles.get(node_id)
            if handle is not None:
                self.of_handle[handle] = shelf
                channel.handles |= 1 << handle

    def remove(self, channel: Channel, node_ids: Iterable[str]) -> None:
        """Find ``channel`` no more."""
        for node_id in node_ids:
            shelf = self._of_node[node_id]
            del shelf[channel]
            if not shelf:
                del self._of_node[node_id]
                self.of_handle.pop(self._handles.get(node_id, -1), None)

    def node_connected(self, node_id: str, handle: int) -> None:
        """Events of ``node_id`` will come under ``handle``."""
        self._handles[node_id] = handle
        shelf = self._of_node.get(node_id)
        if shelf is not None:
            self.of_handle[handle] = shelf
            for channel in shelf:
                channel.handles |= 1 << handle

    def node_gone(self, node_id: str) -> int:
        """No more events will come under the handle that ``node_id`` had, which is returned."""
        handle = self._handles.pop(node_id)
        for channel in self.of_handle.pop(handle, ()):
            channel.handles &= ~(1 << handle)
        return handle

    def matches(self, chunk: Chunk, runs: Sequence[Run], handles: Set[int]) -> Iterator[Match]:
        """The channels that ``chunk`` matches.

        :param runs: those of the chunk, in order.
        :param handles: those in ``runs``.
        """
        channels: Shelf = {}
        for handle in self.of_handle.keys() & handles:
            channels.update(self.of_handle[handle])
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

    def _collect(self, parts: dict[Channel, bytearray], runs: Sequence[Run]) -> None:
        """Fill ``parts`` with the spans of ``runs`` that are of nodes which the channels want."""
        begin = 0
        for handle, count in runs:
            end = begin + count
            for channel in self.of_handle.get(handle, ()):
                part = parts.get(channel)
                if part is None:
                    continue
                if part and part[-1] == begin:
                    part[-1] = end
                else:
                    part.append(begin)
                    part.append(end)
            begin = end
