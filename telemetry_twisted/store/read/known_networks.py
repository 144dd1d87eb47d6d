"""The networks that were heard of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from telemetry_twisted.store.schema.network_tables import NETWORK_SLOTS
from telemetry_twisted.store.schema.sum_tables import NETWORKS
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import NODES

from .history import History
from .shapes import Answer, Hash, Time, micros


class KnownNetwork(Answer):
    """A network: the nodes that share a genesis hash."""

    genesis: Hash
    first_seen: Time
    last_seen: Annotated[Time, Meta(description="When something was written of it last.")]
    connected: Annotated[
        int, Meta(description="Nodes of it that are connected now, by what each said of itself.")
    ]
    newest_slot: Annotated[
        int | None,
        Meta(description="The newest slot of which any node reported anything, null if none."),
    ]


class Networks(Answer):
    """The networks, the one heard of first at the beginning."""

    networks: list[KnownNetwork]


class _Info(msgspec.Struct):
    genesis: str = ""


_read_info = msgspec.json.Decoder(_Info).decode


async def networks(history: History, present: Sequence[str]) -> Networks:
    """The networks; ``present`` are the IDs of the nodes that are connected."""
    # Of each network by the key of its slots: together, all slots would be looked at.
    newest = f"SELECT max(s.slot) FROM {NETWORK_SLOTS.name} s WHERE s.network = n.network"
    rows = await history.query(
        f"SELECT genesis, first_seen, last_seen, ({newest}) FROM {NETWORKS.name} n ORDER BY network"
    )
    connected: dict[str, int] = {}
    if present:
        infos = await history.query(
            f"{NODES.select('info')} WHERE node_id IN ({marks(present)})", (*present,)
        )
        async for (info,) in history.turns.steps(infos):
            genesis = _read_info(info).genesis if info else ""
            connected[genesis] = connected.get(genesis, 0) + 1
    return Networks(
        networks=[
            KnownNetwork(
                genesis=genesis,
                first_seen=micros(first),
                last_seen=micros(last),
                connected=connected.get(genesis, 0),
                newest_slot=slot,
            )
            for genesis, first, last, slot in rows
        ]
    )
