"""Alerts: when each kind begins, and when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from telemetry_twisted.api.websocket.frames import encode
from telemetry_twisted.hub.alerts import AlertBook
from telemetry_twisted.hub.missed import MOST_MISSED
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.hub.situation import Situation, Thresholds
from telemetry_twisted.jip3.moment import ANY_SLOT
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.turns import PIECE

A, B = "a" * 64, "b" * 64


class NoServer:
    def admit(self, connection: int, handle: int, after_id: int) -> None:
        raise AssertionError

    def dismiss(self, connection: int, kind: str, reason: str) -> None:
        raise AssertionError

    def challenge(self, connection: int) -> None:
        raise AssertionError


def node(node_id: str, **state: Any) -> Node:
    made = Node(node_id, 0, NoServer(), 1, "127.0.0.1:1", 0.0, {"genesis": "0x7"})
    for name, value in state.items():
        is_block = name in ("best", "finalized")
        setattr(made, name, {"slot": value, "hash": "0x"} if is_block else value)
    return made


class Server:
    """Shows a book one second after another of a server's life.

    ``ahead`` is how many seconds its wall clock is set forward.
    """

    ahead = 0

    def __init__(self, **thresholds: int) -> None:
        never = dict.fromkeys(
            (
                "node_gone",
                "not_synced",
                "behind",
                "finality",
                "no_block",
                "decode_errors",
                "lagging",
                "store",
                "fork",
                "stuck",
                "assurances_late",
                "clock",
                "silent",
                "unfinished",
                "late_blocks",
                "slow_guarantor",
                "failing_server",
                "broken_encoder",
            ),
            0,
        )
        self.book = AlertBook(Thresholds(**{**never, **thresholds}))

    def at(self, now: float, *nodes: Node, **what: Any) -> list[tuple[str, str | None]]:
        """What holds at ``now``."""
        whole: dict[str, Any] = {
            "decode_errors": 0,
            "lagged": {},
            "store_trouble": 0.0,
            "store_state": "ok",
            "newest_slot": 10_000,
            **what,
        }
        situation = Situation(now=now, time=rfc3339(now + self.ahead), nodes=nodes, **whole)
        self.steps = list(self.book.look(situation))
        self.changed = self.book.changed
        return [(alert["kind"], alert["subject"]) for alert in self.book.current]


def test_a_node_that_is_gone_is_missed_until_it_is_back() -> None:
    server = Server(node_gone=30)
    assert server.at(0, node(A), node(B)) == []
    assert server.at(1, node(B)) == []
    assert server.at(30, node(B)) == []
    assert server.at(31, node(B)) == [("node_gone", A)]
    assert server.changed
    assert server.book.current[0]["started"] == "1970-01-01T00:00:31.000000Z"
    assert server.book.current[0]["ended"] is None
    assert server.at(32, node(B)) == [("node_gone", A)]
    assert not server.changed
    assert server.book.current[0]["value"] == 31
    assert server.at(33, node(A), node(B)) == []
    assert server.changed
    assert [(alert["kind"], alert["ended"]) for alert in server.book.ended] == [
        ("node_gone", "1970-01-01T00:00:33.000000Z")
    ]
    assert server.at(34, node(A), node(B)) == []
    assert not server.changed
    assert server.book.ended == []


def test_a_node_that_is_gone_for_a_day_is_missed_no_more() -> None:
    server = Server(node_gone=30)
    server.at(0, node(A))
    assert server.at(86_400) == []
    server.at(86_401)
    assert server.at(86_401 + 86_000) == [("node_gone", A)]
    assert server.at(86_401 + 86_402) == []


def test_a_node_out_of_sync() -> None:
    server = Server(not_synced=60)
    assert server.at(0, node(A, synced=False), node(B, synced=None)) == []
    assert server.at(60, node(A, synced=False), node(B, synced=None)) == [("not_synced", A)]
    assert server.at(61, node(A, synced=True)) == []
    assert server.at(62, node(A, synced=False)) == []


def test_a_node_behind_the_network() -> None:
    server = Server(behind=5)
    others = [node(f"{number:064}", best=100) for number in range(30)]
    assert server.at(0, node(A, best=95), *others) == []
    assert server.at(1, node(A, best=94), *others) == [("behind", A)]
    assert server.book.current[0]["value"] == 6


def test_a_node_is_behind_its_own_network_alone() -> None:
    server = Server(behind=5)
    one = [node(f"{number:064}", best=100, info={"genesis": "0x1"}) for number in range(30)]
    others = [node(f"{number:064}", best=50, info={"genesis": "0x2"}) for number in range(40, 44)]
    assert server.at(0, *one, *others) == []
    assert server.at(1, *one, *others, node(A, best=40, info={"genesis": "0x2"})) == [("behind", A)]


def test_a_node_ahead_of_the_clock_is_told_of_and_puts_no_other_behind() -> None:
    server = Server(behind=5)
    liar, honest = node(A, best=ANY_SLOT), node(B, best=9_990)
    assert server.at(0, liar, honest) == [("ahead", A)]
    message = "reports a block 4294957305 slots ahead of the clock"
    assert server.book.current[0]["message"] == f"node {A} {message}"
    assert server.at(1, node(A, finalized=10_001), honest) == [("ahead", A)]
    assert server.at(2, node(A, best=10_000), honest, node("c", best=9_990)) == []


def test_what_a_node_ahead_of_the_clock_says_to_be_finalized_is_not() -> None:
    server = Server(finality=60)
    liar = node(A, finalized=ANY_SLOT)
    server.at(0, liar, node(B, finalized=7))
    assert server.at(60, liar, node(B, finalized=7)) == [("finality_stalled", "0x7")]
    assert "after slot 7 " in server.book.current[0]["message"]


def test_what_most_nodes_have_reached_is_the_best_block() -> None:
    server = Server(behind=5)
    fast = [node(f"fast {number}", best=9_000) for number in range(49)]
    slow = [node(f"slow {number}", best=100) for number in range(51)]
    assert server.at(0, *fast, *slow) == []
    assert server.at(1, *fast, *slow[:48]) == [("behind", None)]
    assert server.book.current[0]["count"] == 48


def test_many_of_a_kind_are_one_alert_that_names_a_few() -> None:
    server = Server(node_gone=30, not_synced=60, behind=5)
    honest = [node(f"honest {number}", best=500) for number in range(1025)]
    stuck = [node(f"{number:064x}", best=1, synced=False) for number in range(1024)]
    server.at(0, *honest, *stuck)
    assert server.at(60, *honest, *stuck) == [("not_synced", None), ("behind", None)]
    unsynced, behind = server.book.current
    assert unsynced["count"] == behind["count"] == 1024
    assert unsynced["examples"] == [f"{number:064x}" for number in range(3)]
    assert behind["message"] == (
        "1024 nodes are up to 499 slots behind the network's best block: "
        f"{', '.join(unsynced['examples'])} and 1021 more"
    )
    server.at(61, *honest)
    assert [alert["count"] for alert in server.book.ended] == [1024, 1024]
    assert server.at(91, *honest) == [("node_gone", None)]
    assert server.book.current[0]["count"] == 1024
    assert server.book.current[0]["value"] == 30


def test_alerts_of_a_hundred_thousand_nodes_are_short() -> None:
    server = Server(node_gone=30, not_synced=60)
    stuck = [node(f"{number:064x}", synced=False) for number in range(100_000)]
    server.at(0, *stuck)
    assert server.at(60, *stuck) == [("not_synced", None)]
    server.at(61)
    told = [*server.book.current, *server.book.begun, *server.book.ended]
    assert server.at(91) == [("node_gone", None)]
    assert server.book.current[0]["count"] == MOST_MISSED
    assert len(encode(told + server.book.current)) < 4096


def test_a_look_at_many_is_made_of_many_steps() -> None:
    server = Server(node_gone=30, not_synced=60, behind=5)
    few = [node(f"few {number}", best=500, synced=False) for number in range(10)]
    server.at(0, *few)
    some = len(server.steps)
    server.at(1, *few, *(node(f"{number:064x}", best=1) for number in range(100 * PIECE)))
    assert len(server.steps) >= some + 100


def test_another_of_a_kind_is_a_change() -> None:
    server = Server(not_synced=60)
    first, second = node(A, synced=False), node(B, synced=False)
    server.at(0, first)
    assert server.at(60, first, second) == [("not_synced", A)]
    assert server.at(119, first, second) == [("not_synced", A)]
    assert not server.changed
    assert server.at(120, first, second) == [("not_synced", None)]
    assert server.changed
    assert [alert["subject"] for alert in server.book.begun] == [B]
    assert server.book.current[0]["started"] == "1970-01-01T00:01:00.000000Z"
    assert server.at(121, node(A, synced=True), second) == [("not_synced", B)]
    assert [alert["subject"] for alert in server.book.ended] == [A]
    assert server.book.current[0]["started"] == "1970-01-01T00:02:00.000000Z"


def test_slots_that_go_by_without_a_block() -> None:
    server = Server(no_block=5)
    assert server.at(0) == []
    assert server.at(1000, node(A)) == []
    assert server.at(1001, node(A, best=93), node(B, best=92), node("c", best=93)) == []
    assert server.at(1036, node(A, best=93), node(B, best=99), node("c", best=93)) == []
    assert server.at(1037, node(A, best=93), node(B, best=99), node("c", best=93)) == [
        ("no_block", "0x7")
    ]
    assert server.book.current[0]["message"] == (
        "no block after slot 93 has been the best of network 0x7 for 6 slots"
    )
    assert server.at(1038, node(A, best=93), node(B, best=99), node("c", best=94)) == []


def test_finality_that_stalls() -> None:
    server = Server(finality=60)
    assert server.at(0) == []
    assert server.at(1000) == []
    assert server.at(1001, node(A, finalized=7)) == []
    assert server.at(1060, node(A, finalized=7)) == []
    assert server.at(1061, node(A, finalized=7)) == [("finality_stalled", "0x7")]
    assert server.at(1062, node(A, finalized=8)) == []


def test_each_network_goes_on_or_stalls_by_itself() -> None:
    server = Server(finality=60, no_block=5)
    other = {"genesis": "0x8"}
    goes_on = [node(f"{number}", best=9000, finalized=9000) for number in range(9)]
    stalls = [node(each, best=7, finalized=5, info=other) for each in (A, B)]
    assert server.at(0, *goes_on, *stalls) == []
    further = [node(f"{number}", best=9010, finalized=9010) for number in range(9)]
    assert server.at(60, *further, *stalls) == [("finality_stalled", "0x8"), ("no_block", "0x8")]
    stalled, _ = server.book.current
    assert stalled["message"] == (
        "no block of network 0x8 after slot 5 has been finalized for 60 s"
    )
    assert server.at(120, *further, *stalls) == [("finality_stalled", None), ("no_block", None)]
    assert server.book.current[0]["examples"] == ["0x7", "0x8"]
    assert server.at(121, *further) == [("finality_stalled", "0x7"), ("no_block", "0x7")]
    assert server.at(122) == []


@pytest.mark.parametrize(
    ("option", "kind", "subject", "figure"),
    [
        ("decode_errors", "decode_errors", None, lambda total: {"decode_errors": total}),
        ("lagging", "subscriber_lagging", "peer", lambda total: {"lagged": {"peer": total}}),
    ],
)
def test_what_rises_within_a_minute(
    option: str, kind: str, subject: str | None, figure: Any
) -> None:
    server = Server(**{option: 10})
    assert server.at(0, **figure(5)) == []
    assert server.at(30, **figure(14)) == []
    assert server.at(40, **figure(15)) == [(kind, subject)]
    assert server.at(60, **figure(15)) == [(kind, subject)]
    assert server.at(91, **figure(15)) == []


def test_a_store_in_trouble() -> None:
    server = Server(store=30)
    assert server.at(0, store_trouble=29.0, store_state="unavailable") == []
    assert server.at(1, store_trouble=30.0, store_state="unavailable") == [("store_behind", None)]
    assert "unavailable" in server.book.current[0]["message"]
    assert server.at(2) == []


def test_a_threshold_of_nothing_never_alerts() -> None:
    server = Server()
    server.at(0, node(A, synced=False, finalized=1, best=1))
    worst = {
        "decode_errors": 999,
        "lagged": {"peer": 999},
        "store_trouble": 9999.0,
        "store_state": "full",
    }
    assert server.at(999, node(B, synced=False, finalized=1, best=999), **worst) == []


CLOCKS = {"off": 0, "all_ahead_ms": 0, "usual_spread_ms": 0}


def summary(**told: Any) -> dict[str, Any]:
    """What is told of a network with which all is well, but for what is ``told``."""
    chains = {"ended": 1000, "failed": 5, "unfinished": 0, "unfinished_percent": 0.0}
    return {
        "assurances": {"heard_of": 100, "late": 0, "who": []},
        "clocks": {**CLOCKS, "furthest": []},
        "chains": {**chains, "by_root": {"Importing": {"unfinished": 0}}},
        "late_nodes": {"count": 0, "worst": []},
        "slow_guarantors": [],
        "failing_servers": [],
        "broken_encoders": [],
        **told,
    }


def networks(**told: Any) -> dict[str, Any]:
    return {"networks": {"0x7": summary(**told), "0x8": summary()}}


def test_a_fork_that_lasts() -> None:
    server = Server(fork=3)
    assert server.at(0, **networks(fork={"slots": 3, "since_slot": 5})) == []
    assert server.at(1, **networks(fork={"slots": 4, "since_slot": 5})) == [("fork", "0x7")]
    (alert,) = server.book.begun
    assert "for 4 slots in a row, since slot 5" in alert["message"]
    assert server.at(2, **networks()) == []
    assert [ended["kind"] for ended in server.book.ended] == ["fork"]


def test_work_packages_that_are_stuck() -> None:
    server = Server(stuck=60)
    example = {"hash": "0xab", "stage": "refined"}
    stuck = {"count": 12, "since": rfc3339(100), "examples": [example]}
    for seconds in (159, 160, 169):
        assert server.at(seconds, **networks(stuck=stuck)) == []
    assert server.at(170, **networks(stuck=stuck)) == [("work_packages_stuck", "0x7")]
    (alert,) = server.book.current
    assert alert["value"] == 70
    assert "12 do not move, 0xab is refined" in alert["message"]
    assert server.at(171, **networks()) == []


def test_packages_are_not_stuck_where_the_servers_clock_was_set() -> None:
    """Until it is heard of them again, nothing came for as long as that is."""
    server = Server(stuck=60)
    stuck = {"count": 1, "since": rfc3339(0), "examples": [{"hash": "0xab", "stage": "refined"}]}
    server.ahead = 3600
    for seconds in (10, 18):
        assert server.at(seconds, **networks(stuck=stuck)) == []
    assert server.at(20, **networks()) == []
    assert server.at(21, **networks(stuck=stuck)) == []


def test_assurances_that_come_too_late() -> None:
    server = Server(assurances_late=10)
    who = [{"node_id": A, "late": 8}, {"node_id": B, "late": 2}]
    few = {"heard_of": 100, "late": 9, "who": who[:1]}
    many = {"heard_of": 100, "late": 10, "who": who}
    assert server.at(0, **networks(assurances=few)) == []
    assert server.at(1, **networks(assurances=many)) == [("assurances_late", None)]
    (alert,) = server.book.current
    assert (alert["count"], alert["examples"], alert["value"]) == (2, [A, B], 8)
    assert server.at(2, **networks(assurances=few)) == []


def test_a_clock_that_is_off() -> None:
    server = Server(clock=3000)

    def clocks(ahead: int, spread: int = 0) -> dict[str, Any]:
        furthest = [{"node_id": A, "ahead_ms": ahead}]
        known = {"off": 0, "all_ahead_ms": 0, "usual_spread_ms": spread}
        return networks(clocks={**known, "furthest": furthest})

    assert server.at(0, **clocks(3000)) == []
    assert server.at(1, **clocks(-3001)) == []
    assert server.at(10, **clocks(-3001)) == []
    assert server.at(11, **clocks(-3001)) == [("clock_off", A)]
    assert f"the clock of node {A} is off by 3001 ms" in server.book.current[0]["message"]
    assert server.at(12, **clocks(-3001, spread=3001)) == []
    assert server.at(13, **clocks(-3001)) == []
    assert server.at(22, **clocks(-3001)) == []


def test_a_clock_of_the_server_that_is_off_is_no_node_s_fault() -> None:
    server = Server(clock=3000)
    off = [{"node_id": A, "ahead_ms": 3_600_000}, {"node_id": B, "ahead_ms": 3_596_999}]
    clocks = {"off": 2, "all_ahead_ms": 3_600_000, "usual_spread_ms": 9, "furthest": off}
    assert server.at(0, **networks(clocks=clocks)) == []
    assert server.at(60, **networks(clocks=clocks)) == [("clock_off", B)]


def test_a_node_that_is_connected_and_says_nothing() -> None:
    server = Server(silent=30)
    assert server.at(0, node(A), silent={A: 29}) == []
    assert server.at(1, node(A), silent={A: 30}) == [("node_silent", A)]
    assert server.at(2, node(A), silent={}) == []


def test_chains_that_come_to_no_end() -> None:
    server = Server(unfinished=20)

    def chains(ended: int, percent: float) -> dict[str, Any]:
        roots = {"Importing": {"unfinished": 1}, "Authoring": {"unfinished": 9}}
        told = {"ended": ended, "unfinished_percent": percent, "by_root": roots}
        return networks(chains=told)

    assert server.at(0, **chains(100, 20.0)) == []
    assert server.at(1, **chains(99, 50.0)) == []
    assert server.at(2, **chains(100, 20.5)) == [("chains_unfinished", "0x7")]
    assert "most of them of Authoring" in server.book.current[0]["message"]
    assert server.at(3, **chains(100, 10.0)) == []


LATE = {"late_nodes": {"count": 1, "worst": [{"node_id": A, "slots": 9, "late": 5, "missed": 2}]}}
SLOW = {"slow_guarantors": [{"node_id": A, "refine_ms": 310.0, "median_ms": 100.0}]}
FAILING = {"failing_servers": [{"node_id": A, "failed": 6, "served": 5}]}
BROKEN = {"broken_encoders": [{"node_id": A, "faults": 20}]}


@pytest.mark.parametrize(
    ("threshold", "too_few", "told", "kind", "words"),
    [
        ("late_blocks", 6, LATE, "late_node", "had 5 of the last twenty blocks late"),
        ("slow_guarantor", 4, SLOW, "slow_guarantor", "takes 310 ms to refine"),
        ("failing_server", 55, FAILING, "failing_server", "fails 55 % of the requests"),
        ("broken_encoder", 21, BROKEN, "broken_encoder", "sent 20 messages that are wrong"),
    ],
)
def test_a_node_that_is_worse_than_others_for_a_while(
    threshold: str, too_few: int, told: dict[str, Any], kind: str, words: str
) -> None:
    server = Server(**{threshold: too_few - 1})
    assert server.at(0, **networks(**told)) == []
    assert server.at(9, **networks(**told)) == []
    assert server.at(10, **networks(**told)) == [(kind, A)]
    (alert,) = server.book.begun
    assert words in alert["message"]
    assert server.at(11, **networks()) == []
    assert [(ended["kind"], ended["subject"]) for ended in server.book.ended] == [(kind, A)]
    assert server.at(12, **networks(**told)) == []  # it has to last anew
    server = Server(**{threshold: too_few})
    assert server.at(0, **networks(**told)) == server.at(60, **networks(**told)) == []


def test_what_is_not_told_any_more_does_not_hold() -> None:
    server = Server(fork=1)
    assert server.at(0, **networks(fork={"slots": 4, "since_slot": 5})) == [("fork", "0x7")]
    assert server.at(1, networks={}) == []


def test_nobody_is_told_what_nobody_asked_for() -> None:
    server = Server()
    stuck = {"count": 1, "since": rfc3339(0), "examples": [{"hash": None, "stage": "submitted"}]}
    told = networks(
        fork={"slots": 100, "since_slot": 5},
        stuck=stuck,
        assurances={"heard_of": 100, "late": 100, "who": [{"node_id": A, "late": 100}]},
        clocks={
            "off": 1,
            "all_ahead_ms": 0,
            "usual_spread_ms": 0,
            "furthest": [{"node_id": A, "ahead_ms": 10**9}],
        },
        chains={"ended": 1000, "unfinished_percent": 100.0, "by_root": {"a": {"unfinished": 1}}},
        **{**LATE, **SLOW, **FAILING, **BROKEN},
    )
    assert server.at(10**6, silent={A: 10**6}, **told) == []
    assert server.at(10**6 + 60, silent={A: 10**6}, **told) == []
