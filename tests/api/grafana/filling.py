"""A little of everything that there is an answer about."""

from __future__ import annotations

from telemetry_twisted.jip3.bins import bin_of
from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.observed import (
    LEAVES,
    NO_CORE,
    CoreCount,
    Cost,
    LatencyCount,
    OutcomeCount,
    Phase,
)
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.transport import records
from tests.network.scene import CORES, HASH
from tests.store.conftest import NOW, Feed, genesis
from tests.store.observed import FIRST_SLOT, REPORT, tell

CORE = 5


def _fact(feed: Feed, handle: int, event: str, at: float, **fields: object) -> None:
    micros = round(at * 1_000_000)
    content = frame(encode_event(event, micros - COMMON_ERA, fields, cores=CORES))
    body = records.Facts(micros, ((handle, content),)).encode()
    feed.take(records.FACTS, body[records.PREFIX.size :])


def fill(feed: Feed) -> None:
    """Four nodes of a network, of which the higher are slower, and one of another."""
    tell(feed)
    counts = {handle: dict.fromkeys(TABLE.events, handle) for handle in (1, 2, 3)}
    feed.counts(counts, at=NOW + 5)
    outline = {"work_report_hash": REPORT, "slot": FIRST_SLOT, "guarantors": [1, 2]}
    _fact(feed, 1, "GuaranteeDiscarded", NOW + 6, outline=outline, reason="TooManyGuarantees")
    for handle in (1, 2, 3):
        _fact(
            feed, handle, "Status", NOW + 7, num_peers=handle, num_val_peers=1, num_sync_peers=1,
            num_guarantees=[0, 1, *(14 * [0])], num_shards=1, shards_size=1, num_preimages=1,
            preimages_size=1,
        )  # fmt: skip
        _fact(feed, handle, "BestBlockChanged", NOW + 7, slot=FIRST_SLOT, hash=HASH)
    feed.observed(
        NOW + 8,
        networks=(bytes.fromhex(genesis(0)[2:]),),
        latencies=tuple(
            LatencyCount(handle, number, CORE, bin_of(handle * 9000), 1, handle * 9000)
            for handle in (1, 2, 3)
            for number in range(len(CHAINS.latencies))
        ),
        outcomes=tuple(
            OutcomeCount(handle, root, outcome, CORE if root == 90 else NO_CORE, 1)
            for handle in (1, 2, 3)
            for root in CHAINS.roots
            for outcome in (0, 1)
        ),
        cores=tuple(
            CoreCount(handle, kind, CORE, 2)
            for handle in (1, 2)
            for kind in (92, 94, 95, 101, 102, 105, 108, 109)
        ),
        costs=tuple(
            Cost(0, phase, 7, CORE, 2, tuple(range(10, 10 + len(LEAVES[phase])))) for phase in Phase
        ),
    )
    feed.chunk((1, 10), (2, 11), (1, 92), at=NOW + 9)
