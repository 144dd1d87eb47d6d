"""What a node reports of itself, whatever others do: peers, status, tickets, assurances, gaps."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .blockchain import EPOCH_SLOTS, SECOND, SLOT, digest
from .context import peer_address
from .network import Network
from .requests import delay
from .schedule import Event, Exchange

OPENING = 120_000
"""Microseconds that a node takes to connect to its first peers; then it takes part."""

_STATUS_PERIOD = 2 * SECOND
_MILLISECOND = 1_000
_FEW = bytes(value % 4 for value in range(256))

Choose = Callable[[], int]
"""Chooses a peer: the index of some other validator."""


def open_up(network: Network, time: int, choose: Choose) -> Exchange:
    """Connect to the first peers from ``time`` on."""
    begins = time
    yield Event(time, "SyncStatusChanged", {"synced": False})
    step = OPENING // 20
    for _ in range(3):
        index = choose()
        peer_id = network.peer_ids[index]
        details = {"peer_id": peer_id, "peer_address": peer_address(index)}
        time += step
        connecting_id = yield Event(time, "ConnectingOut", {"to": details})
        time += step
        yield Event(time, "ConnectedOut", {"connecting_id": connecting_id})
        time += step
        opened = {"peer": peer_id, "opener": "Local"}
        yield Event(time, "BlockAnnouncementStreamOpened", opened)
    yield Event(begins + OPENING, "SyncStatusChanged", {"synced": True})


def report_status(random: Random, network: Network, time: int) -> Exchange:
    """Report the status every two seconds."""
    time += random.randrange(OPENING)
    shards = random.randrange(10_000, 50_000)
    while True:
        peers = network.validators - 1 - random.randrange(1 + network.validators // 50)
        preimages = random.randrange(20)
        yield Event(
            time,
            "Status",
            {
                "num_peers": peers,
                "num_val_peers": peers,
                "num_sync_peers": peers - random.randrange(1 + peers // 50),
                "num_guarantees": random.randbytes(network.cores).translate(_FEW),
                "num_shards": shards,
                "shards_size": shards * 4_104,
                "num_preimages": preimages,
                "preimages_size": preimages * 1_500,
            },
        )
        time += _STATUS_PERIOD + random.randrange(-_MILLISECOND, _MILLISECOND)
        shards += random.randrange(-500, 600)


def generate_tickets(
    random: Random, network: Network, index: int, time: int, choose: Choose
) -> Exchange:
    """Node ``index`` generates tickets for the epoch after ``time`` and sends them out."""
    epoch = time // SLOT // EPOCH_SLOTS + 1
    time += random.randrange(OPENING)
    generating = {"generating_id": (yield Event(time, "GeneratingTickets", {"epoch": epoch}))}
    time += delay(random, 50 * _MILLISECOND)
    if random.random() < 0.05:
        failure = {**generating, "reason": "ring proof failed"}
        yield Event(time, "TicketGenerationFailed", failure)
        return
    ids = [digest(network.seed, "ticket", index, epoch, n) for n in range(2)]
    yield Event(time, "TicketsGenerated", {**generating, "ids": ids})
    for attempt, ticket in enumerate(ids):
        time += delay(random, SECOND)
        to = {"peer": network.peer_ids[choose()], "sender": "Local", "from_proxy": False}
        what = {"epoch": epoch, "attempt": attempt, "id": ticket}
        yield Event(time, "TicketTransferred", {**to, **what})


def distribute_assurances(
    random: Random, network: Network, time: int, distributing: Callable[[int], None]
) -> Exchange:
    """Distribute an assurance in every slot; ``distributing`` is told the ID of each."""
    time += OPENING
    while True:
        slot = time // SLOT
        statement = {
            "anchor": network.blockchain.head(slot - 1).hash,
            "bitfield": random.randbytes((network.cores + 7) // 8),
        }
        assurance_id = yield Event(time, "DistributingAssurance", {"statement": statement})
        distributing(assurance_id)
        time = (slot + 1) * SLOT + random.randrange(200 * _MILLISECOND, 2 * SECOND)
        distributed = {"distributing_id": assurance_id}
        yield Event(time - _MILLISECOND, "AssuranceDistributed", distributed)


def lose_sync(random: Random, time: int) -> Exchange:
    """Fall behind at ``time``, and catch up."""
    yield Event(time, "SyncStatusChanged", {"synced": False})
    time += delay(random, SECOND)
    yield Event(time, "SyncStatusChanged", {"synced": True})


def drop(random: Random, time: int) -> Exchange:
    """Say that events were dropped."""
    dropped = {"last_timestamp": time + 500, "num": random.randrange(1, 100)}
    yield Event(time, "Dropped", dropped)
