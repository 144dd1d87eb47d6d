"""Which network a question is about."""

from __future__ import annotations

from attrs import frozen

from telemetry_twisted.store.schema.sum_tables import NETWORKS

from .history import History

PRESENT_SECONDS = 60
"""How much later than another a network was heard of that is there while the other is not."""


@frozen
class Network:
    """A network: its number in the database, and its genesis hash. Of none at all nothing is known:
    its number is 0, and it has no hash."""

    number: int = 0
    genesis: str | None = None


async def find_network(history: History, genesis: str | None) -> Network | None:
    """The network of a genesis hash, None if there is none.

    Where no hash is given it is the one that was known first of those that are there.
    """
    if genesis is not None:
        found = await history.query(
            f"{NETWORKS.select('network', 'genesis')} WHERE genesis = ?", (genesis,)
        )
        return Network(*found[0]) if found else None
    found = await history.query(
        f"{NETWORKS.select('network', 'genesis')} WHERE last_seen >= "
        "(SELECT max(last_seen) FROM networks) - ? ORDER BY network LIMIT 1",
        (PRESENT_SECONDS * 1_000_000,),
    )
    return Network(*found[0]) if found else Network()
