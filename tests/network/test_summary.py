"""Summaries of networks: what is told of each once a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ujson
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.moment import SLOT
from telemetry_twisted.jip3.observed import NO_CORE, Outcome, OutcomeCount
from telemetry_twisted.network import recent as minutes
from telemetry_twisted.network.networks import network_of
from telemetry_twisted.network.recent import MOST_NETWORKS, PIECE, Recent
from telemetry_twisted.network.summary.laggards import LEAST_LATE
from telemetry_twisted.network.summary.lately import MOST_COUNTED, PIECE_SECONDS, PIECES, Lately
from telemetry_twisted.network.summary.outliers import Work
from telemetry_twisted.network.summary.summaries import MOST_CLOCKS, MOST_TOLD, Summaries
from telemetry_twisted.network.summary.work import STUCK
from tests.network.scene import BEGIN, GENESIS, HASH, SECOND, SLOT_NOW, Scene
from tests.network.test_anchors import ANCHOR, begin
from tests.network.test_journeys import PACKAGE, guarantee, receive, refine
from tests.network.test_slots import OTHER, author, import_

NETWORK = network_of(GENESIS)


class Told:
    """A scene, and what is told of it."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.summaries = Summaries(self.scene.networks)

    def all(self) -> dict[str, dict[str, Any]]:
        nodes = self.scene.nodes.values()
        known = {node.origin.node_id: node.origin.genesis for node in nodes}
        for _ in self.summaries.look(known, self.scene.now):
            pass
        return self.summaries.current

    def of(self) -> dict[str, Any]:
        return self.all()[NETWORK]


def kinds(summary: dict[str, Any]) -> list[str]:
    return [problem["kind"] for problem in summary["problems"]]


def test_a_network_of_which_nothing_is_known_but_its_nodes() -> None:
    told = Told()
    told.scene.node(1)
    summary = told.of()
    assert summary["connected"] == 1
    assert summary["slots"] == []
    assert summary["problems"] == []
    assert "best" not in summary
    assert "fork" not in summary
    assert "stuck" not in summary


def test_slots_with_their_authors_and_how_they_spread() -> None:
    told = Told()
    author(told.scene.node(1), 0)
    for handle in range(2, 12):
        import_(told.scene.node(handle), 100_000 * handle)
    told.scene.nodes[3].say(12, 3 * SECOND, slot=SLOT_NOW, hash=HASH)
    told.scene.pass_on()
    summary = told.of()
    assert summary["best"] == summary["finalized"] == SLOT_NOW
    (slot,) = summary["slots"]
    assert slot["slot"] == SLOT_NOW
    assert not slot["fork"]
    assert slot["blocks"] == [
        {"hash": HASH, "author": told.scene.nodes[1].origin.node_id, "best": 10}
    ]
    assert slot["stages"]["best"] == 10
    assert slot["stages"]["finalized"] == 1
    assert (slot["best_p50_ms"], slot["best_p95_ms"]) == (400, 900)
    assert "fork" not in summary
    assert summary["slots"][0] is told.of()["slots"][0]  # it has not changed
    import_(told.scene.node(12), 2 * SECOND)
    told.scene.pass_on()
    assert told.of()["slots"][0]["stages"]["best"] == 11


def test_a_fork_lasts_as_long_as_nodes_are_on_different_blocks() -> None:
    told = Told()
    for handle in (1, 2, 3):
        told.scene.node(handle)

    def slot(number: int, *hashes: str) -> dict[str, Any]:
        for handle, hash in enumerate(hashes, 1):
            at = told.scene.now - BEGIN
            told.scene.nodes[handle].say(11, at, slot=SLOT_NOW + number, hash=hash)
        told.scene.pass_on(after=SLOT - SECOND)
        return told.of()

    assert "fork" not in slot(0, HASH, HASH, HASH)
    summary = slot(1, HASH, HASH, OTHER)
    assert summary["fork"] == {"slots": 1, "since_slot": SLOT_NOW + 1}
    assert sorted(block["best"] for block in summary["slots"][0]["blocks"]) == [1, 2]
    assert kinds(summary) == ["fork"]
    # The first report of a slot does not say that all agree.
    assert slot(2, HASH)["fork"] == {"slots": 1, "since_slot": SLOT_NOW + 1}
    assert slot(3, HASH, OTHER)["fork"] == {"slots": 1, "since_slot": SLOT_NOW + 3}
    assert slot(4, HASH, OTHER)["fork"] == {"slots": 2, "since_slot": SLOT_NOW + 3}
    slot(5, HASH, HASH, HASH)
    told.scene.pass_on(after=SLOT)
    assert "fork" not in told.of()


def test_packages_are_told_by_how_far_they_come() -> None:
    told = Told()
    node = told.scene.node(1)
    top = receive(node, 0)
    told.scene.pass_on()
    funnel = told.of()["funnel"]
    assert (funnel["packages"], funnel["received"], funnel["under_way"]) == (1, 1, 1)
    refine(node, SECOND, top)
    guarantee(node, SECOND, top)
    failing = node.say(90, SECOND, -1, builder=HASH, bundle=False)
    node.say(92, SECOND, failing, submission_or_share_id=failing, reason="no")
    told.scene.pass_on()
    summary = told.of()
    expected = {"packages": 2, "received": 1, "distributed": 1, "failed": 1, "under_way": 0}
    assert {name: summary["funnel"][name] for name in expected} == expected
    assert "stuck" not in summary
    journeys = told.scene.networks.journeys
    for _ in range(2):  # they are over now, and then written
        told.scene.settle(60)
        journeys.written(journeys.take())
    assert not len(journeys)
    assert told.of()["funnel"] == summary["funnel"]
    told.scene.settle(400)
    assert told.of()["funnel"]["packages"] == 0


def test_packages_that_do_not_move() -> None:
    told = Told()
    receive(told.scene.node(1), 0)
    receive(told.scene.nodes[1], 5 * SECOND, OTHER)
    told.scene.pass_on()
    assert "stuck" not in told.of()
    told.scene.pass_on(after=STUCK)
    summary = told.of()
    assert summary["stuck"]["count"] == 1
    (example,) = summary["stuck"]["examples"]
    assert example["hash"] == PACKAGE
    assert (example["core"], example["stage"]) == (5, "received")
    assert example["since"] == summary["stuck"]["since"]
    assert example["nodes"] == [told.scene.nodes[1].origin.node_id]
    assert kinds(summary) == ["stuck"]


def test_assurances_that_come_too_late() -> None:
    told = Told()
    told.scene.node(1)
    told.scene.node(2)
    anchor = f"0x{ANCHOR.hex()}"
    told.scene.nodes[1].say(11, 0, slot=SLOT_NOW, hash=anchor)
    begin(told.scene, 1, SECOND)
    begin(told.scene, 2, 6 * SLOT)
    told.scene.pass_on(after=6 * SLOT)
    summary = told.of()
    late = {"node_id": told.scene.nodes[2].origin.node_id, "late": 1}
    assert summary["assurances"] == {"heard_of": 2, "late": 1, "who": [late]}
    assert kinds(summary) == ["assurances_late"]


def test_the_clocks_that_are_furthest_off() -> None:
    told = Told()
    for handle in range(1, 100):
        told.scene.node(handle, behind=handle * SECOND // 10)
    told.scene.node(100, behind=-7 * SECOND)
    told.scene.pass_on()
    clocks = told.of()["clocks"]
    assert clocks["off"] == 99 - 60 + 1
    assert clocks["all_ahead_ms"] == -5000
    assert clocks["usual_spread_ms"] == 0  # half a millisecond
    furthest = {each["node_id"]: each["ahead_ms"] for each in clocks["furthest"]}
    assert len(furthest) == MOST_CLOCKS
    assert furthest[told.scene.nodes[99].origin.node_id] == -9900
    assert furthest[told.scene.nodes[100].origin.node_id] == 7000
    assert told.scene.nodes[1].origin.node_id not in furthest


def test_chains_that_come_to_no_end() -> None:
    told = Told()
    told.scene.node(1)
    told.scene.pass_on(
        outcomes=(
            OutcomeCount(1, 43, Outcome.SUCCESS, NO_CORE, 150),
            OutcomeCount(1, 43, Outcome.UNFINISHED, NO_CORE, 40),
            OutcomeCount(1, 120, Outcome.FAILURE, NO_CORE, 10),
            OutcomeCount(7, 120, Outcome.FAILURE, NO_CORE, 10),
        )
    )
    told.scene.pass_on(after=10 * SECOND)
    summary = told.of()
    chains = summary["chains"]
    whole = (chains["ended"], chains["failed"], chains["unfinished"], chains["unfinished_percent"])
    assert whole == (200, 10, 40, 20)
    assert len(chains["by_root"]) == 2
    assert summary["rates"]["chains_ended"] == 20
    assert kinds(summary) == ["unfinished"]


def test_networks_are_told_apart_and_the_largest_are_told() -> None:
    told = Told()
    for number in range(MOST_TOLD + 2):
        genesis = bytes([number]) * 32
        for member in range(2 if number else 1):
            told.scene.node(2 * number + member, genesis)
    author(told.scene.nodes[2], 0)
    told.scene.nodes[2].say(11, 0, slot=SLOT_NOW, hash=HASH)
    told.scene.pass_on(genesis=())
    current = told.all()
    assert len(current) == MOST_TOLD
    assert network_of(bytes(32)) not in current
    assert [network for network, each in current.items() if each["slots"]] == [
        network_of(bytes([1]) * 32)
    ]


def test_a_summary_is_small() -> None:
    told = Told()
    for handle in range(200):
        node = told.scene.node(handle, behind=SECOND + handle)
        for slot in range(20):
            hash = f"0x{handle % 10:064x}"
            node.say(11, slot * SECOND, slot=SLOT_NOW - slot, hash=hash)
    told.scene.pass_on(after=20 * SECOND)
    assert len(ujson.dumps(told.of())) < 24 << 10


def test_counts_of_the_last_minutes() -> None:
    recent: Recent[str] = Recent()
    assert recent.seconds(BEGIN) == 0
    recent.add(NETWORK, "a", 2, BEGIN)
    recent.add(NETWORK, "a", 3, BEGIN + PIECE)
    recent.add(NETWORK, "b", 1, BEGIN + PIECE)
    for number in range(MOST_NETWORKS + 5):
        recent.add(f"{number}", "a", 1, BEGIN)
    assert recent.of(NETWORK) == {"a": 5, "b": 1}
    assert not recent.of(f"{MOST_NETWORKS}")
    assert recent.seconds(BEGIN + 5 * SECOND) == 5
    begun = BEGIN // PIECE * PIECE
    recent.settle(begun + minutes.PIECES * PIECE)
    assert recent.of(NETWORK) == {"a": 5, "b": 1}
    recent.settle(begun + (minutes.PIECES + 1) * PIECE)
    assert recent.of(NETWORK) == {"a": 3, "b": 1}
    recent.settle(BEGIN - PIECE)  # the clock was set back
    assert not recent.of(NETWORK)


def test_nodes_that_have_blocks_late_or_not_at_all() -> None:
    told = Told()
    for handle in range(1, 9):
        told.scene.node(handle)
    # That of node 6 is behind: it says that it has blocks before the others.
    told.scene.node(6, behind=3 * SECOND)
    summary: dict[str, Any] = {}
    for number in range(9):
        at = told.scene.now - BEGIN
        if number == 4:
            told.scene.node(9)  # it has missed nothing of what was before
        for handle, node in told.scene.nodes.items():
            if handle == 7 and 1 <= number <= 5:
                continue
            late = 3 * SECOND if handle == 3 and number % 2 else 0
            node.say(11, at + late, slot=SLOT_NOW + number, hash=HASH)
        told.scene.pass_on(after=SLOT)
        summary = told.of()
    told.scene.pass_on(after=SLOT)
    summary = told.of()
    ids = {handle: node.origin.node_id for handle, node in told.scene.nodes.items()}
    assert summary["late_nodes"] == {
        "count": 2,
        "worst": [
            {"node_id": ids[7], "slots": 9, "late": 5, "missed": 5},
            {"node_id": ids[3], "slots": 9, "late": 4, "missed": 0},
        ],
    }
    assert kinds(summary) == ["late_nodes"]
    assert ids[7] in summary["problems"][0]["message"]
    del told.scene.nodes[7]  # it is gone
    assert [each["node_id"] for each in told.of()["late_nodes"]["worst"]] == [ids[3]]


def test_reports_that_come_after_a_slot_was_looked_at_count() -> None:
    told = Told()
    for handle in range(1, 9):
        told.scene.node(handle)
    told.of()
    for number in range(LEAST_LATE + 1):
        at = told.scene.now - BEGIN
        for handle, node in told.scene.nodes.items():
            if handle < 8 or not number:
                node.say(11, at, slot=SLOT_NOW + number, hash=HASH)
        told.scene.pass_on(after=SLOT)
        told.of()
    told.scene.pass_on(after=SLOT)
    (late,) = told.of()["late_nodes"]["worst"]
    assert (late["late"], late["missed"]) == (LEAST_LATE, LEAST_LATE)
    for number in range(1, LEAST_LATE + 1):  # the server was too busy to take them
        told.scene.nodes[8].say(11, number * SLOT, slot=SLOT_NOW + number, hash=HASH)
    told.scene.pass_on()
    assert told.of()["late_nodes"] == {"count": 0, "worst": []}


def test_a_server_that_reads_late_makes_no_node_late() -> None:
    told = Told()
    for handle in range(1, 9):
        told.scene.node(handle, delay=3 * SECOND if handle == 5 else 0)
    for number in range(LEAST_LATE + 2):
        at = told.scene.now - BEGIN
        for node in told.scene.nodes.values():
            node.say(11, at, slot=SLOT_NOW + number, hash=HASH)
        told.scene.pass_on(after=SLOT)
        assert told.of()["late_nodes"]["count"] == 0


def do(told: Told, works: Mapping[int, Work], faults: Mapping[int, int] = {}) -> dict[str, Any]:
    """What is told once nodes have done so much in each of three half minutes."""
    lately = told.summaries.nodes_lately
    now = told.scene.now / SECOND
    for handle, node in told.scene.nodes.items():
        for piece in range(3):
            at = now - 30 * piece
            lately.add((node.origin.node_id, NETWORK), works.get(handle, works[0]), at)
            lately.add_faults(node.origin.node_id, faults.get(handle, 0), at)
    return told.of()


def test_nodes_that_are_worse_than_others() -> None:
    told = Told()
    for handle in range(1, 9):
        told.scene.node(handle)
    ids = {handle: node.origin.node_id for handle, node in told.scene.nodes.items()}
    usual = Work(served=9, failed=1, refined=2, refining=2 * SECOND)
    worse = {4: usual._replace(refining=10 * SECOND), 5: usual._replace(served=1, failed=9)}
    summary = do(told, {0: usual, **worse}, {6: 5, 7: 1})
    slow = {"node_id": ids[4], "refine_ms": 5000, "median_ms": 1000}
    assert summary["slow_guarantors"] == [slow]
    assert summary["failing_servers"] == [{"node_id": ids[5], "failed": 27, "served": 3}]
    assert summary["broken_encoders"] == [{"node_id": ids[6], "faults": 15}]
    assert kinds(summary) == ["slow_guarantors", "failing_servers", "broken_encoders"]
    assert ids[6] in summary["problems"][2]["message"]
    del told.scene.nodes[5]  # it is gone
    assert kinds(told.of()) == ["slow_guarantors", "broken_encoders"]
    told.scene.pass_on(after=(PIECES + 1) * PIECE_SECONDS * SECOND)
    assert told.of()["problems"] == []


def test_what_a_node_did_a_few_times_says_little() -> None:
    told = Told()
    for handle in range(1, 9):
        told.scene.node(handle)
    usual = Work(served=9, failed=1, refined=5, refining=5 * SECOND)
    few = Work(served=1, failed=1, refined=1, refining=4 * SECOND)
    assert do(told, {0: usual, 4: few})["problems"] == []


def test_where_all_do_badly_none_is_worse() -> None:
    told = Told()
    for handle in range(1, 9):
        told.scene.node(handle)
    bad = Work(served=10, failed=40, refined=5, refining=50 * SECOND)
    summary = do(told, {0: bad}, dict.fromkeys(range(1, 9), 20))
    assert summary["problems"] == []


Counted = tuple[str, int, int, int]


@given(st.lists(st.tuples(st.sampled_from("abc"), *3 * [st.integers(0, 9)])), st.integers(0, 9))
def test_what_was_counted_lately(counted: list[Counted], then: int) -> None:
    """Each time is in pieces of time; what is told is as of the last time."""
    lately: Lately[str] = Lately(2)
    for key, one, two, piece in counted:
        lately.add(key, (one, two), piece * PIECE_SECONDS + 1)
    for _ in lately.settle(then * PIECE_SECONDS + PIECE_SECONDS - 1):
        pass
    expected: dict[str, list[int]] = {}
    for key, one, two, piece in counted:
        if then - PIECES <= piece <= then:
            sums = expected.setdefault(key, [0, 0])
            expected[key] = [sums[0] + one, sums[1] + two]
    found = {key: [*counts] for key, counts in lately.totals.items() if any(counts)}
    assert found == {key: counts for key, counts in expected.items() if any(counts)}


def test_no_more_are_counted_than_there_is_room_for() -> None:
    lately: Lately[int] = Lately(1)
    for number in range(MOST_COUNTED + 5):
        lately.add(number, (1,), 0)
    lately.add(0, (1,), 0)
    assert len(lately.totals) == MOST_COUNTED
    assert lately.totals[0] == [2]
    for _ in lately.settle(10**6):
        pass
    assert not lately.totals
