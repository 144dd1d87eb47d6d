"""What is understood of a network is what its nodes meant, whatever happens to the store process.

The simulator knows what it meant by each event; its account is held to the database, to the event
and to the microsecond. Clocks are off, slots have two blocks, and some work packages get stuck.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import ujson

from telemetry_twisted.jip3.bins import bin_of
from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.network.journey import EVENT
from telemetry_twisted.network.reporters import OFF
from telemetry_twisted.network.slot import STAGES
from telemetry_twisted.network.spread import Spread, ranks
from telemetry_twisted.simulator.account import Account
from telemetry_twisted.store.detail import unpack_detail
from tests.end_to_end.account import Query, querying
from tests.end_to_end.conftest import await_true
from tests.end_to_end.truth import PATIENCE, scene

NAMES = {kind: event.name for kind, event in TABLE.events.items()}
NODES = 32
SKEW_MS = 800
LATEST_MS = 10_000
"""What the fastest of a node's messages may take on a machine that is busy."""


def test_networks_are_understood(database_url: str, tmp_path: Path) -> None:
    told = tmp_path / "account.json"
    with scene(tmp_path / "server", database_url) as at:
        await_true(lambda: at.stored() == 0, "the store is there", PATIENCE)
        simulation = at.simulate(
            *(
                f"--nodes={NODES}",
                "--mistakes=0",
                "--events=1000000",
                "--duration=30",
                "--forks=0.4",
            ),
            *(f"--clock-skew={SKEW_MS}", "--stuck=0.2", f"--account={told}"),
        )
        for events in (5000, 15_000):
            at.await_events(events)
            at.kill(at.await_pid("store"))
        simulation.result()
        await_true(lambda: at.get("/api/metrics/live")["nodes"] == 0, "all left", PATIENCE)
        await_true(lambda: at.stored() == at.events(), "all is counted", PATIENCE)
        assert not at.lost()
        at.server.stop(seconds=PATIENCE)
    account, query = Account.load(told), querying(database_url)
    ids: dict[int, str] = dict(query("SELECT node, node_id FROM nodes"))
    assert journeys(query, ids) == {
        journey.package: sorted(
            (event.time, account.node_id(event.node), event.event_id, event.name)
            for event in journey.events
        )
        for journey in account.journeys().values()
    }
    check_blocks(query, ids, account)
    check_guarantees(query, account)
    check_assurances(query, account)
    assert fetches(query) == {key: tuple(each) for key, each in account.fetches().items()}


def journeys(query: Query, ids: dict[int, str]) -> dict[str, Any]:
    """The events of each work package whose hash is known: time, node, ID and name."""
    found: dict[str, Any] = {}
    for hash, outcome, closed, detail in query(
        "SELECT hash, outcome, closed, detail FROM journeys"
    ):
        assert closed is not None
        if len(hash) == 32 and outcome != "named":
            numbers, (_, events, *_) = unpack_detail(bytes(detail))
            key = f"0x{bytes(hash).hex()}"
            assert key not in found
            found[key] = sorted(
                (time - COMMON_ERA, ids[numbers[node]], event, NAMES[kind])
                for node, kind, _, time, _, event in EVENT.iter_unpack(events)
            )
    return found


def check_blocks(query: Query, ids: dict[int, str], account: Account) -> None:
    """Authors, contents, and when each node first reported each stage of a slot."""
    blocks = account.blocks()
    expected: dict[tuple[int, str], dict[str, int]] = {}
    for block in blocks.values():
        for stage in STAGES:
            times = block.stages.get(stage, {})
            first = expected.setdefault((block.slot, stage), {})
            for node, time in times.items():
                key = account.node_id(node)
                first[key] = min(time, first.get(key, time))
    ahead = {account.node_id(node): account.clock_offset(node) for node in range(NODES)}
    found: dict[tuple[int, str], dict[str, int]] = {}
    for slot, told, detail in query("SELECT slot, blocks, detail FROM network_slots"):
        for hash, author, authored, _, _, outline, _ in ujson.loads(told):
            known = blocks.get(f"0x{hash}")
            if known is not None and author is not None:
                assert author == account.node_id(known.author)
                assert outline[0] == known.outline["size_bytes"]
                assert authored - COMMON_ERA == known.stages["authored"][known.author]
        numbers, (dumped, _) = unpack_detail(bytes(detail))
        for stage, packed in zip(STAGES, dumped[1], strict=True):
            reports = Spread.load(packed, {number: number for number in numbers})
            for node, time, offset in zip(
                reports.nodes, reports.times, reports.offsets, strict=True
            ):
                name = ids[numbers[node]]
                found.setdefault((slot, stage), {})[name] = time - COMMON_ERA
                assert offset != OFF
                assert 0 <= offset + ahead[name] <= LATEST_MS * 1000
    assert {key: found.get(key, {}) for key in expected} == expected


def check_guarantees(query: Query, account: Account) -> None:
    """Who built each, how often it was received and thrown away, and its spread as reported."""
    expected = {}
    for report, told in account.guarantees().items():
        first: dict[int, int] = {}
        for node, time in told.received:
            first[node] = min(time, first.get(node, time))
        spread = ranks(first.values())
        expected[report] = (
            {account.node_id(node): time for node, time in sorted(told.built, reverse=True)},
            len(told.received),
            Counter(reason for _, reason, _ in told.discarded),
            len(first),
            None if spread is None else [spread.first + COMMON_ERA, *spread[1:]],
        )
    found = {}
    for report, built, receptions, spread, discards in query(
        "SELECT report, built, receptions, spread, discards FROM guarantees"
    ):
        nodes, off_clock, reported, _ = ujson.loads(spread)
        assert not off_clock
        found[f"0x{bytes(report).hex()}"] = (
            {node: time - COMMON_ERA for node, (time, _) in ujson.loads(built).items()},
            receptions,
            Counter(ujson.loads(discards)),
            nodes,
            reported,
        )
    assert found == expected


def check_assurances(query: Query, account: Account) -> None:
    """When each began, how often it was received, and after how long, as reported."""
    found = {}
    for anchor, detail in query("SELECT anchor, detail FROM anchors"):
        _, (senders, _) = unpack_detail(bytes(detail))
        for sender, began, _, _, _, _, receptions, off_clock, reported, _, waiting in senders:
            assert not off_clock
            assert began is None or not waiting
            key = f"0x{bytes(anchor).hex()}", bytes(sender).hex()
            assert key not in found
            found[key] = began, receptions, reported if began is not None else None
    expected: dict[tuple[str, str], Any] = {}
    for (anchor, node), told in account.assurances().items():
        began = told.begun[-1] if told.begun else None
        bins = None
        if began is not None:
            bins = dict(Counter(bin_of(max(time - began, 0)) for _, time in told.received))
        key = anchor, account.node_id(node)
        expected[key] = (
            None if began is None else began + COMMON_ERA,
            len(told.received),
            bins,
        )
    assert found == expected


def fetches(query: Query) -> dict[tuple[str, str], tuple[int, ...]]:
    """Requests by the root of their chains and erasure root."""
    return {
        (NAMES[int(kind)], f"0x{bytes(root).hex()}"): (succeeded, failed, total, greatest)
        for root, kinds in query("SELECT erasure_root, kinds FROM fetches")
        for kind, (succeeded, failed, _, _, total, greatest) in ujson.loads(kinds).items()
    }
