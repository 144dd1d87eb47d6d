"""Which network an answer is about, for nothing is ever added up over two of them."""

from __future__ import annotations

import msgspec
from attrs import frozen

from telemetry_twisted.api.rest.endpoint import Sources
from telemetry_twisted.store.read.known_networks import networks
from telemetry_twisted.store.read.networks import Network
from telemetry_twisted.store.schema.sum_tables import NETWORKS
from telemetry_twisted.store.schema.tables import NODES


class _Info(msgspec.Struct):
    genesis: str = ""


_read_info = msgspec.json.Decoder(_Info).decode


@frozen
class Scope:
    """A network, and the IDs of its nodes by their numbers; ``alone`` if there is no other."""

    network: Network
    nodes: dict[int, str]
    alone: bool

    @property
    def counted(self) -> list[int] | None:
        """The nodes whose events are added up; None if those of all are."""
        return None if self.alone else list(self.nodes)

    def numbers(self, node_ids: tuple[str, ...] | None) -> list[int]:
        """The numbers of those of its nodes that are asked for, of all if None."""
        if node_ids is None:
            return list(self.nodes)
        return [number for number, node_id in self.nodes.items() if node_id in node_ids]


async def scope_of(sources: Sources, genesis: str | None) -> Scope:
    """The network of a genesis hash, or else the one of which most nodes are connected.

    :raises NotFound: if nothing was ever heard of it.
    """
    history = sources.history
    ((known,),) = await history.query(f"SELECT count(*) FROM {NETWORKS.name}")
    alone = known < 2
    if genesis is None and not alone:
        there = (await networks(history, [*sources.connected])).networks
        genesis = max(there, key=lambda each: (each.connected, each.last_seen)).genesis
    network = await sources.network_of(genesis)
    rows = await history.query(NODES.select("node", "node_id", *([] if alone else ["info"])))
    nodes = {
        number: node_id
        async for number, node_id, *info in history.turns.steps(rows)
        if alone or (info[0] and _read_info(info[0]).genesis == network.genesis)
    }
    return Scope(network, nodes, alone)
