"""Alerts: when each kind begins, and when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from telemetry_twisted.hub.alerts import AlertBook, Situation, Thresholds
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.timestamps import rfc3339

A, B = "a" * 64, "b" * 64


class NoServer:
    def admit(self, connection: int, handle: int, after_id: int) -> None:
        raise AssertionError

    def dismiss(self, connection: int, kind: str, reason: str) -> None:
        raise AssertionError

    def challenge(self, connection: int) -> None:
        raise AssertionError


def node(node_id: str, **state: Any) -> Node:
    made = Node(node_id, 0, NoServer(), 1, "127.0.0.1:1", 0.0, {})
    for name, value in state.items():
        setattr(made, name, {"slot": value, "hash": "0x"} if name != "synced" else value)
    return made


class Server:
    """Shows a book one second after another of a server's life."""

    def __init__(self, **thresholds: int) -> None:
        never = dict.fromkeys(
            (
                "node_gone",
                "not_synced",
                "behind",
                "finality",
                "decode_errors",
                "lagging",
                "store",
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
            **what,
        }
        self.changed = self.book.look(Situation(now=now, time=rfc3339(now), nodes=nodes, **whole))
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


def test_a_node_that_claims_to_be_far_ahead_does_not_put_the_others_behind() -> None:
    server = Server(behind=5)
    others = [node(f"{number:064}", best=100) for number in range(30)]
    assert server.at(0, node(A, best=4_000_000_000), *others) == []


def test_finality_that_stalls() -> None:
    server = Server(finality=60)
    assert server.at(0) == []
    assert server.at(1000) == []
    assert server.at(1001, node(A, finalized=7)) == []
    assert server.at(1060, node(A, finalized=7)) == []
    assert server.at(1061, node(A, finalized=7)) == [("finality_stalled", None)]
    assert server.at(1062, node(A, finalized=8)) == []


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
