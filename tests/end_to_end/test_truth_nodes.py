"""One node that floods, lies or drops spoils nothing of the others' history."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from typing import Any

from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import COMMON_ERA
from tests.end_to_end.account import differences, querying
from tests.end_to_end.conftest import Node, await_true, best_block
from tests.end_to_end.truth import EVENTS, PATIENCE, Scene, scene

FLOOD = 3_000_000
LIE = 2**32 - 1


def slot_now() -> int:
    """The slot that it is."""
    return int(time.time() - COMMON_ERA / 1_000_000) // 6


def identity(number: int) -> str:
    """The ID of a node of a test's own."""
    return f"{number:064x}"


def best_of(at: Scene, nodes: Iterable[Node]) -> list[Any]:
    """The best slot that history holds of each node."""
    told = (at.get(f"/api/nodes/{node.node_id}")["best"] for node in nodes)
    return [best and best["slot"] for best in told]


def events_of(at: Scene, node: Node) -> int:
    """How many events of a node can be browsed."""
    return sum(1 for _ in at.pages(f"/api/nodes/{node.node_id}/events?limit=500", "events"))


def test_flood_of_one_node_leaves_the_others_fresh(database_url: str, tmp_path: Path) -> None:
    with scene(tmp_path / "server", database_url) as at:
        await_true(lambda: at.stored() == 0, "history can be asked", PATIENCE)
        quiet = [at.server.connect_node(identity(number)) for number in range(1, 9)]
        flooding = at.server.connect_node(identity(99))
        at.server.await_nodes(len(quiet) + 1)
        # A flood of one slot, then one of the next, and so on, with quiet reports in between.
        now = slot_now() - 10
        rounds = 10
        block = best_block(now) * 1_000

        def flood() -> None:
            for _ in range(FLOOD // rounds // 1_000):
                flooding.send(block)

        for number in range(rounds):
            sending = Thread(target=flood)
            sending.start()
            for node in quiet:
                node.report_best([now + number])
            sending.join()
        # All that the others said is known by the time that the flood is.
        total = FLOOD + rounds * len(quiet)
        await_true(lambda: at.stored() == total, "the flood is counted", PATIENCE)
        assert best_of(at, quiet) == [now + rounds - 1] * len(quiet)
        assert [events_of(at, node) for node in quiet] == [rounds] * len(quiet)
        assert not at.lost()
        for node in [*quiet, flooding]:
            node.close()
        at.server.await_nodes(0)
        at.server.stop(seconds=PATIENCE)
    spreads = querying(database_url)("SELECT slot, nodes FROM slots WHERE type = 11 ORDER BY slot")
    assert spreads == [(now, len(quiet) + 1)] + [
        (slot, len(quiet)) for slot in range(now + 1, now + rounds)
    ]


def test_node_that_lies_about_the_slot(database_url: str, tmp_path: Path) -> None:
    with scene(tmp_path / "server", database_url) as at:
        await_true(lambda: at.stored() == 0, "history can be asked", PATIENCE)
        honest = [at.server.connect_node(identity(number)) for number in range(1, 5)]
        liar = at.server.connect_node(identity(99))
        now = slot_now()
        for node in [*honest, liar]:
            node.report("SyncStatusChanged", synced=True)
        liar.report_best([LIE])
        for node in honest:
            node.report_best([now])
        await_true(lambda: at.stored() == 2 * len(honest) + 2, "all is counted", PATIENCE)
        await_true(lambda: best_of(at, honest) == [now] * len(honest), "states are told")
        assert at.get("/api/network")["best"]["slot"] == now
        assert not [problem for problem in at.get("/api/health/detailed")["problems"]
                    if "behind" in problem]  # fmt: skip
        assert best_of(at, [liar]) == [LIE]

        def faults() -> list[Any]:
            return list(at.pages("/api/protocol-errors?kind=violation", "protocol_errors"))

        await_true(faults, "the lie is a violation")
        assert {fault["node_id"] for fault in faults()} == {liar.node_id}


def dropped(last: int, number: int) -> bytes:
    """A ``Dropped`` of ``number`` events up to ``last``, a time of the Common Era."""
    fields = {"last_timestamp": last, "num": number}
    return frame(encode_event("Dropped", last - 1_000, fields, cores=2))


def test_what_nodes_dropped_and_what_was_limited(database_url: str, tmp_path: Path) -> None:
    with scene(tmp_path / "server", database_url, "--rate-limit=50") as at:
        dropping = at.server.connect_node(identity(1))
        now = int(time.time() * 1_000_000) - COMMON_ERA
        dropping.send(dropped(now - 5_000_000, 7), dropped(now, 2**40))
        sent = at.simulate("--profile=flood", "--mistakes=0", rate=200).sent()
        await_true(lambda: at.get("/api/metrics/live")["nodes"] == 1, "all nodes left", PATIENCE)
        await_true(lambda: at.stored() == at.events(), "all is counted", PATIENCE)
        held = "raw events are held"
        await_true(lambda: at.sampled() == (at.events(), at.raw_events()), held, PATIENCE)
        browsed = at.browsed()
        assert sum(browsed.values()) == at.raw_events()
        dropping.close()
        at.server.await_nodes(0)
        at.server.stop(seconds=PATIENCE)
    query = querying(database_url)
    counted: Counter[str] = Counter(
        dict(query("SELECT node_id, CAST(sum(events) AS BIGINT) FROM counts_1h c JOIN nodes n "
                   "ON n.node = c.node GROUP BY node_id"))
    )  # fmt: skip
    told = query(
        "SELECT node_id, dropped, spans, first, last, rate_limited FROM losses_1h l "
        "JOIN nodes n ON n.node = l.node"
    )
    limited: Counter[str] = Counter()
    said: list[tuple[int, ...]] = []
    for node_id, *losses, beyond in told:
        limited[node_id] += beyond
        if node_id == dropping.node_id:
            said.append(tuple(losses))
    assert sum(limited.values()) > 0
    # What a node sent is either counted or said to have been too much.
    assert not differences(
        "counted and limited",
        {**dict.fromkeys(sent.connections, EVENTS), dropping.node_id: 2},
        counted + limited,
    )
    assert [sum(part) for part in list(zip(*said, strict=True))[:2]] == [7 + 2**40, 2]
    assert min(row[2] for row in said) == COMMON_ERA + now - 5_001_000
    assert max(row[3] for row in said) == COMMON_ERA + now
