"""Nodes whose encoders are nearly right: served as far as what they mean is certain, and told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import COMMON_ERA
from tests.end_to_end.conftest import NOW, Node, await_true, information

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, StartServer, Subscriber

CORES = 341
ZERO_HASH = "0x" + "00" * 32
UNKNOWN = "core count unknown"
PREFIXED = "parameters are length-prefixed"
SLOT = NOW // 6_000_000

Parameters = Callable[[bytes], bytes]

ENCODERS: dict[str, tuple[str, Parameters, str | None]] = {
    "right": ("gp-0.7", lambda right: right, None),
    "80 86": ("gp-0.7", lambda right: b"\x80\x86" + right, PREFIXED),
    "7a": ("gp-0.8", lambda right: b"\x7a" + right, PREFIXED),
    "none": ("gp-0.7", lambda _: b"", "parameters of 0 bytes are of no known layout"),
    "one": ("gp-0.7", lambda _: b"\0", "parameters of 1 bytes are of no known layout"),
    "u32": (
        "gp-0.7",
        lambda right: b"\x86\0\0\0" + right,
        "parameters of 138 bytes are of no known layout",
    ),
    "longer": (
        "gp-0.7",
        lambda right: right + bytes(16),
        "parameters of 150 bytes are of no known layout",
    ),
}
"""By name: the layout, what the encoder makes of the right parameters, and what it is told."""


def introduce(server: Server, node_id: str, encoder: str, version: int) -> Node:
    """A node with an encoder of :data:`ENCODERS`."""
    layout, change, _ = ENCODERS[encoder]
    right = information(node_id, layout=layout, version=version, cores=CORES, name=encoder)[4:]
    end = 1 + {"gp-0.7": 134, "gp-0.8": 122}[layout]
    node = Node(node_id, server.connect_socket(), version)
    node.send(frame(right[:1] + change(right[1:end]) + right[end:]))
    return node


def status(time: int = NOW) -> bytes:
    fields = dict.fromkeys(("num_peers", "num_val_peers", "num_sync_peers"), 5) | {
        "num_guarantees": [core % 256 for core in range(CORES)],
        **dict.fromkeys(("num_shards", "shards_size", "num_preimages", "preimages_size"), 11),
    }
    return frame(encode_event("Status", time, fields, cores=CORES))


def assurance() -> bytes:
    statement = {"anchor": ZERO_HASH, "bitfield": "0x" + 43 * "a5"}
    return frame(encode_event("DistributingAssurance", NOW, {"statement": statement}, cores=CORES))


def best(slot: int = SLOT, time: int = NOW) -> bytes:
    fields = {"slot": slot, "hash": ZERO_HASH}
    return frame(encode_event("BestBlockChanged", time, fields, cores=CORES))


def protocol_errors(server: Server) -> dict[str, dict[str, int]]:
    """What each node is told to have got wrong, and how often."""
    status, answer, _ = server.get("/api/protocol-errors?limit=500")
    if status == 503:
        return {}  # The database is not open yet.
    assert status == 200, answer
    found: dict[str, dict[str, int]] = {}
    for error in answer["protocol_errors"]:
        found.setdefault(error["node_id"], {})[error["reason"]] = error["count"]
    return found


def event(subscriber: Subscriber, node_id: str, number: int) -> dict[str, Any]:
    (body,) = subscriber.by_node[node_id][number]["data"]["event"].values()
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize("codec", ["compiled", "python"])
def test_parameters_that_are_not_as_they_should_be(start_server: StartServer, codec: str) -> None:
    """Two nodes of each kind, one of each protocol version."""
    server = start_server("--codec", codec, history=True)
    kinds = {
        f"{number:064x}": (kind, number % 2)
        for number, kind in enumerate([kind for kind in ENCODERS for _ in range(2)], 1)
    }
    with server.subscriber() as subscriber:
        nodes = [introduce(server, node_id, *kind) for node_id, kind in kinds.items()]
        server.await_nodes(len(nodes))
        for node in nodes:
            node.send(best(), assurance(), status(), assurance())
        subscriber.receive_events(4 * len(nodes))
        for node in nodes:
            shown = event(subscriber, node.node_id, 2)
            assert shown["num_guarantees"] == [core % 256 for core in range(CORES)]
            assert (shown["num_peers"], shown["num_shards"], shown["preimages_size"]) == (5, 11, 11)
            for number in (1, 3):
                statement = event(subscriber, node.node_id, number)["statement"]
                assert statement["bitfield"] == "0x" + 43 * "a5"
        right = {
            node_id: {reason: 1}
            for node_id, (kind, _) in kinds.items()
            if (reason := ENCODERS[kind][2]) is not None
        }
        await_true(lambda: protocol_errors(server) == right, "all is told, and nothing else")

        def cores() -> dict[str, int | None]:
            rows = server.get("/api/nodes?limit=100")[1]["nodes"]
            return {row["node_id"]: row["cores"] for row in rows}

        await_true(lambda: cores() == dict.fromkeys(kinds, CORES), "all core counts are known")
        for node_id, (kind, version) in kinds.items():
            node_information = server.get(f"/api/nodes/{node_id}")[1]["info"]
            assert node_information["version"] == version
            if kind in ("right", "80 86", "7a"):
                assert node_information["layout"] == ENCODERS[kind][0]
                assert node_information["params"]["core_count"] == CORES
            elif kind in ("none", "one"):
                raw = {"none": "0x", "one": "0x00"}[kind]
                assert node_information["layout"] is None
                assert node_information["params"] == {"core_count": None, "raw": raw}
            else:
                assert node_information["layout"] is None
        health = server.get("/api/health/detailed")[1]["metrics"]
        assert health["violations"] == len(right)
        assert health["decode_errors"] == 0
    server.await_log("1 x violation in its node information: parameters ")


def test_events_are_errors_until_the_core_count_is_known(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server(history=True)
    with server.subscriber() as subscriber:
        nodes = [introduce(server, node_id, "none", 0) for node_id in node_ids[:2]]
        impossible = frame(status()[4:-CORES])
        for node in nodes:
            node.send(impossible, best(), impossible, status(), best())
        subscriber.receive_events(6)
        for node in nodes:
            events = subscriber.by_node[node.node_id]
            assert [event["data"]["event_type"] for event in events] == [11, 10, 11]
            assert [event["data"]["event_id"] for event in events] == [1, 3, 4]
        nothing = "parameters of 0 bytes are of no known layout"
        right = {node.node_id: {UNKNOWN: 2, nothing: 1} for node in nodes}
        await_true(lambda: protocol_errors(server) == right, "all is told, and nothing else")


@pytest.mark.parametrize("codec", ["compiled", "python"])
def test_times_and_slots_that_cannot_be(start_server: StartServer, codec: str) -> None:
    """Delivered as they are and told once a minute, and in none of the network's figures."""
    server = start_server("--codec", codec, history=True)
    ahead, unix, past, right = ([f"{kind}{number:063x}" for number in (1, 2)] for kind in "abcd")
    everyone = [*ahead, *unix, *past, *right]
    now = int(time.time() * 1_000_000) - COMMON_ERA
    since_1970 = now + COMMON_ERA
    with server.subscriber() as subscriber:
        nodes = {node_id: server.connect_node(node_id) for node_id in everyone}
        server.await_nodes(len(nodes))
        for node_id, node in nodes.items():
            slot = SLOT + 1_000 * (node_id in ahead)
            said = since_1970 if node_id in unix else 0 if node_id in past else now
            node.send(*(best(slot, said) for _ in range(50)))
        subscriber.receive_events(50 * len(nodes))
        for node_id in everyone:
            shown = event(subscriber, node_id, 49)
            assert shown["slot"] == SLOT + 1_000 * (node_id in ahead)
            assert shown["timestamp"] == (
                since_1970 if node_id in unix else 0 if node_id in past else now
            )

        def told() -> bool:
            errors = protocol_errors(server)
            assert not errors.keys() & set(right)
            words = [
                (ahead, "slot more than 10 beyond that of the server's clock"),
                (unix, "timestamp counts microseconds from 1970 (Unix time); JIP-3 counts them "),
                (past, "timestamp more than a day from the server's clock"),
            ]
            for node_ids, reason in words:
                for node_id in node_ids:
                    ((said, count),) = errors.get(node_id, {"": 0}).items()
                    if not said.startswith(reason):
                        return False
                    # Once in a minute, and the minute may have ended meanwhile.
                    assert count in (1, 2)
            return True

        await_true(told, "each is told what it got wrong")

        def figures() -> bool:
            network = server.get("/api/network")[1]
            return bool(network["best"]) and network["best"]["nodes"] == 6

        await_true(figures, "the network's figures are those of six nodes")
        assert server.get("/api/network")[1]["best"]["slot"] == SLOT
        assert server.get(f"/api/slots/{SLOT + 1_000}")[0] == 404
        spread = server.get(f"/api/slots/{SLOT}")[1]["best"]
        assert (spread["nodes"], spread["off_clock"]) == (6, 4)
        shown = server.get(f"/api/nodes/{ahead[0]}")[1]
        assert shown["best"]["slot"] == SLOT + 1_000
        assert server.get(f"/api/nodes/{unix[0]}")[1]["best"]["at"] > "2070"

        def problems() -> list[str]:
            return list(server.get("/api/health/detailed")[1]["problems"])

        await_true(lambda: "ahead of the clock" in str(problems()), "it is told who is ahead")
        assert not [problem for problem in problems() if "behind" in problem]


def test_a_node_id_of_zeros_is_refused(start_server: StartServer, node_ids: list[str]) -> None:
    server = start_server(history=True)
    with server.subscriber() as subscriber:
        node = server.connect_node(node_ids[0])
        strangers = [introduce(server, "00" * 32, kind, 0) for kind in ("right", "80 86", "none")]
        for stranger in strangers:
            stranger.await_closed()
        node.report_best([1])
        subscriber.receive_events(1)
    server.await_log("a connection was closed: node information with an all-zero node ID", 3)
    ended = server.get("/api/health/detailed")[1]["metrics"]["connections_ended"]
    assert ended["bad_information"] == 3


def test_a_flood_of_bad_frames_is_counted_exactly(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server(history=True)
    with server.subscriber() as subscriber:
        nodes = [server.connect_node(node_id) for node_id in node_ids[:2]]
        for node in nodes:
            node.send(frame(b"") * 100_000, frame(bytes(8) + b"\xff") * 50_000)
            node.report_best([1])
        subscriber.receive_events(2)
        assert {event["data"]["event_id"] for event in subscriber.events} == {150_000}
        right = {
            node.node_id: {"cut short": 100_000, "unknown discriminator": 50_000} for node in nodes
        }
        await_true(lambda: protocol_errors(server) == right, "all are counted")
