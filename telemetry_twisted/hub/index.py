"""Which channels a chunk matches, found by what is in the chunk."""

from __future__ import annotations

from collections.abc import Iterator

from telemetry_twisted.transport.records import Chunk

from .channel import Channel
from .filter import Filter
from .network_shelves import NETWORK_BYTES, NetworkShelves
from .node_shelves import SHELF_BYTES, Match, NodeShelves, Shelf


class ChannelIndex:
    """Channels on shelves: without a filter, by network, by node, and by type.

    What it costs to find those of a chunk follows the channels that match, never the number of
    events. Adding and removing one follows the nodes and types in its filter alone, but for the
    first that names a network, which looks at all nodes that are connected.
    """

    def __init__(self) -> None:
        self._whole: tuple[Channel, ...] = ()
        self._of_type: dict[int, Shelf] = {}
        self._nodes = NodeShelves()
        self._of_network: dict[str, NetworkShelves] = {}
        self._network_at: dict[int, NetworkShelves] = {}
        self._networks: dict[str, str] = {}
        self._nodes_in_networks = 0

    @property
    def nodes(self) -> int:
        """Number of nodes that someone has asked for by ID, those of each network apart."""
        return len(self._nodes) + self._nodes_in_networks

    @property
    def bytes(self) -> int:
        """What the shelves of nodes and networks take."""
        return self.nodes * SHELF_BYTES + len(self._of_network) * NETWORK_BYTES

    def cost(self, filter: Filter) -> int:
        """What shelves for ``filter`` would take that are not there yet."""
        node_ids = filter.node_ids or frozenset()
        if filter.network is None:
            return SHELF_BYTES * self._nodes.missing(node_ids)
        shelves = self._of_network.get(filter.network)
        if shelves is None:
            return SHELF_BYTES * len(node_ids) + NETWORK_BYTES
        return SHELF_BYTES * shelves.missing(node_ids)

    def add(self, channel: Channel) -> None:
        """Find ``channel`` from now on."""
        filter = channel.filter
        if filter.network is not None:
            self._add_of_network(channel, filter.network)
        elif filter.node_ids is not None:
            self._nodes.add(channel, filter.node_ids)
        elif filter.types is not None:
            for discriminator in filter.types:
                self._of_type.setdefault(discriminator, {})[channel] = None
        else:
            self._whole = (*self._whole, channel)

    def _add_of_network(self, channel: Channel, network: str) -> None:
        shelves = self._of_network.get(network)
        if shelves is None:
            shelves = self._make(network)
        self._nodes_in_networks -= shelves.nodes
        shelves.add(channel)
        self._nodes_in_networks += shelves.nodes

    def _make(self, network: str) -> NetworkShelves:
        """Shelves for ``network``, which nobody has asked for so far."""
        shelves = self._of_network[network] = NetworkShelves()
        for node_id, handle in self._nodes.connected.items():
            if self._networks[node_id] == network:
                self._network_at[handle] = shelves
                shelves.node_connected(node_id, handle)
        return shelves

    def remove(self, channel: Channel) -> None:
        """Find ``channel`` no more."""
        filter = channel.filter
        if filter.network is not None:
            self._remove_of_network(channel, filter.network)
        elif filter.node_ids is not None:
            self._nodes.remove(channel, filter.node_ids)
        elif filter.types is not None:
            for discriminator in filter.types:
                shelf = self._of_type[discriminator]
                del shelf[channel]
                if not shelf:
                    del self._of_type[discriminator]
        else:
            self._whole = tuple([each for each in self._whole if each is not channel])

    def _remove_of_network(self, channel: Channel, network: str) -> None:
        shelves = self._of_network[network]
        self._nodes_in_networks -= shelves.nodes
        shelves.remove(channel)
        self._nodes_in_networks += shelves.nodes
        if not shelves.channels:
            del self._of_network[network]
            for handle in shelves.handles:
                del self._network_at[handle]

    def node_connected(self, node_id: str, handle: int, network: str) -> None:
        """Events of ``node_id``, which is of ``network``, will come under ``handle``."""
        self._networks[node_id] = network
        self._nodes.node_connected(node_id, handle)
        shelves = self._of_network.get(network)
        if shelves is not None:
            self._network_at[handle] = shelves
            shelves.node_connected(node_id, handle)

    def node_gone(self, node_id: str) -> None:
        """No more events will come under the handle that ``node_id`` had."""
        handle = self._nodes.node_gone(node_id)
        del self._networks[node_id]
        shelves = self._network_at.pop(handle, None)
        if shelves is not None:
            shelves.node_gone(node_id)

    def matches(self, chunk: Chunk) -> tuple[tuple[Channel, ...], list[Match]]:
        """The channels that ``chunk`` matches: those without a filter, and those with one.

        While nobody filters, that takes no look at the chunk, and makes nothing.
        """
        narrowed: list[Match] = []
        if self._of_type:
            narrowed += self._of_types(chunk)
        if self._nodes.of_handle or self._network_at:
            narrowed += self._of_senders(chunk)
        return self._whole, narrowed

    def _of_types(self, chunk: Chunk) -> Iterator[Match]:
        channels: Shelf = {}
        for discriminator in self._of_type.keys() & set(chunk.types):
            channels.update(self._of_type[discriminator])
        for channel in channels:
            yield channel, channel.filter.narrow(chunk.types)

    def _of_senders(self, chunk: Chunk) -> Iterator[Match]:
        """Of the channels whose filters name nodes or networks."""
        runs = chunk.runs
        handles = {handle for handle, _ in runs}
        yield from self._nodes.matches(chunk, runs, handles)
        if self._network_at:
            heard = self._network_at.keys() & handles
            for shelves in {self._network_at[handle]: None for handle in heard}:
                yield from shelves.matches(chunk, runs, handles)
