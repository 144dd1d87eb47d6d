"""What can be wrong with some of the nodes, by name, so that it can be found.

Which nodes it is follows from the seed, and is told in the account.
"""

from __future__ import annotations

from .blockchain import SECOND, digest, has_share
from .schedule import Exchange

SLOW_GUARANTOR = "slow-guarantor"
"""One node takes ten times as long for its work packages."""

PARTITIONED_GROUP = "partitioned-group"
"""A quarter of the nodes get no blocks for five slots of every ten, from the third on."""

LAGGING_IMPORTER = "lagging-importer"
"""One node hears of blocks seconds after the others."""

FAILING_SHARDS = "failing-shards"
"""One node fails to serve what it is asked for, as a rule."""

BROKEN_ENCODER = "broken-encoder"
"""One node sends messages that are wrong beside those that are right."""

TROUBLES = (BROKEN_ENCODER, FAILING_SHARDS, LAGGING_IMPORTER, PARTITIONED_GROUP, SLOW_GUARANTOR)
"""All names."""

LAG = 3 * SECOND
"""Microseconds by which a lagging importer is late."""

BROKEN_RATE = 2.0
"""Wrong messages per second of a broken encoder, on average."""

_SLOWNESS = 10
_PARTITIONED = 0.25
_PARTITION_SLOTS, _WHOLE_SLOTS = 5, 2


def troubled(name: str, seed: int, nodes: int) -> frozenset[int]:
    """The indices of those of ``nodes`` that have the trouble ``name``: at least one."""
    one = int.from_bytes(digest(seed, name)[:8], "little") % nodes
    if name != PARTITIONED_GROUP:
        return frozenset((one,))
    group = (i for i in range(nodes) if has_share(_PARTITIONED, seed, name, i))
    return frozenset((one, *group))


def is_cut_off(slot: int, first: int) -> bool:
    """Whether a partitioned group gets no block of ``slot``; ``first`` is the network's first."""
    return (slot - first - _WHOLE_SLOTS) // _PARTITION_SLOTS % 2 == 0


def slowed(exchange: Exchange) -> Exchange:
    """``exchange``, as it is when all of it takes longer."""
    event = next(exchange, None)
    first = event.time if event else 0
    while event is not None:
        later = first + _SLOWNESS * (event.time - first)
        event_id = yield event._replace(time=later)
        try:
            event = exchange.send(event_id)
        except StopIteration:
            return
