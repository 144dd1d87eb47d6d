"""What a node reports of itself, whatever others do: peers, status, tickets, assurances."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .blockchain import ASSURED, EPOCH_SLOTS, SECOND, SLOT, digest
from .chains import FAILURE, SUCCESS, Chain
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
        chain = Chain("ConnectingOut")
        connecting_id = yield Event(time, "ConnectingOut", {"to": details}, chain)
        time += step
        connected = {"connecting_id": connecting_id}
        yield Event(time, "ConnectedOut", connected, chain, SUCCESS)
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
    chain = Chain("GeneratingTickets")
    generating_id = yield Event(time, "GeneratingTickets", {"epoch": epoch}, chain)
    generating = {"generating_id": generating_id}
    time += delay(random, 50 * _MILLISECOND)
    if random.random() < 0.05:
        failure = {**generating, "reason": "ring proof failed"}
        yield Event(time, "TicketGenerationFailed", failure, chain, FAILURE)
        return
    ids = [digest(network.seed, "ticket", index, epoch, n) for n in range(2)]
    yield Event(time, "TicketsGenerated", {**generating, "ids": ids}, chain, SUCCESS)
    for attempt, ticket in enumerate(ids):
        time += delay(random, SECOND)
        to = {"peer": network.peer_ids[choose()], "sender": "Local", "from_proxy": False}
        what = {"epoch": epoch, "attempt": attempt, "id": ticket}
        yield Event(time, "TicketTransferred", {**to, **what})


def distribute_assurances(
    random: Random, network: Network, time: int, distributing: Callable[[int | None], None]
) -> Exchange:
    """Distribute an assurance once for each block; ``distributing`` is told the ID of the one that
    goes on, None when it ends."""
    time += OPENING
    slot = time // SLOT
    while True:
        anchor = network.blockchain.head(slot - 1)
        chain = Chain("DistributingAssurance")
        bitfield = random.randbytes((network.cores + 7) // 8)
        statement = {"anchor": anchor.hash, "bitfield": bitfield}
        begins = Event(time, "DistributingAssurance", {"statement": statement}, chain)
        assurance_id = yield begins
        distributing(assurance_id)
        slot += 1
        while network.blockchain.head(slot - 1) is anchor:
            slot += 1
        time = slot * SLOT + random.randrange(200 * _MILLISECOND, ASSURED)
        distributed = {"distributing_id": assurance_id}
        yield Event(time - _MILLISECOND, "AssuranceDistributed", distributed, chain, SUCCESS)
        distributing(None)


def lose_sync(random: Random, time: int) -> Exchange:
    """Fall behind at ``time``, and catch up."""
    yield Event(time, "SyncStatusChanged", {"synced": False})
    time += delay(random, SECOND)
    yield Event(time, "SyncStatusChanged", {"synced": True})
