"""What the options of the server change in the stream, and that every vector passes through it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from telemetry_twisted.jip3.codec import CodecUnavailable, load_codec
from telemetry_twisted.jip3.encoder import frame
from tests.end_to_end.conftest import NOW

if TYPE_CHECKING:
    from tests.end_to_end.conftest import StartServer

ZERO_HASH = "0x" + "00" * 32
VECTORS = Path(__file__).parent.parent / "jip3" / "vectors.jsonl"


def codecs() -> Iterator[str]:
    """The names of the codecs that can run here."""
    for name in ("compiled", "python"):
        try:
            load_codec(name)
        except CodecUnavailable:
            continue
        yield name


@pytest.fixture(scope="module")
def vectors() -> list[dict[str, Any]]:
    text = VECTORS.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.rstrip("\n").split("\n")]


@pytest.mark.parametrize("codec", list(codecs()))
@pytest.mark.parametrize(
    ("options", "form"), [([], "json"), (["--byte-arrays"], "json_arrays")], ids=["text", "arrays"]
)
def test_every_vector_passes_through_the_server(
    start_server: StartServer,
    vectors: list[dict[str, Any]],
    node_id: str,
    codec: str,
    options: list[str],
    form: str,
) -> None:
    server = start_server("--codec", codec, *options, procs=1)
    server.await_log(f"the {codec} codec decodes")
    with server.subscriber() as subscriber:
        for cores in (2, 341):
            events = [each for each in vectors if each.get("cores") == cores]
            assert len(events) > 100
            node = server.connect_node(node_id, cores=cores)
            node.send(*(frame(bytes.fromhex(each["hex"])) for each in events))
            received = subscriber.receive_events(len(events))
            for event, each in zip(received, events, strict=True):
                assert event["data"]["event_type"] == each["discriminator"]
                assert event["data"]["event"] == each[form]


def test_every_layout_of_node_information(
    start_server: StartServer, vectors: list[dict[str, Any]]
) -> None:
    server = start_server(procs=1)
    informations = [each for each in vectors if each["kind"] == "node_information"]
    assert {each["layout"] for each in informations} == {"gp-0.7", "gp-0.8"}
    with server.subscriber() as subscriber:
        for each in informations:
            node = server.connect_stranger()
            node.send(frame(bytes.fromhex(each["hex"])))
            node.report_best([1])
            (event,) = subscriber.receive_events(1)
            assert f"0x{event['data']['node_id']}" == each["json"]["details"]["peer_id"]
            node.close()
            server.await_nodes(0)


@pytest.mark.parametrize("layout", ["gp-0.7", "gp-0.8"])
@pytest.mark.parametrize(
    ("version", "first"), [(0, {"peer": "0x" + "ab" * 32}), (1, {"opened_id": 5})]
)
def test_both_versions_of_the_protocol_in_both_layouts(
    start_server: StartServer, node_id: str, layout: str, version: int, first: dict[str, Any]
) -> None:
    server = start_server(procs=1)
    node = server.connect_node(node_id, layout=layout, version=version)
    with server.subscriber() as subscriber:
        node.report("BlockAnnouncementStreamClosed", **first, closer="Remote", reason="done")
        (event,) = subscriber.receive_events(1)
    assert event["data"]["event_type"] == 61
    assert event["data"]["event"]["BlockAnnouncementStreamClosed"] == {
        "timestamp": NOW,
        **first,
        "closer": "Remote",
        "reason": "done",
    }


def test_byte_arrays(start_server: StartServer, node_id: str) -> None:
    server = start_server("--byte-arrays", procs=1)
    node = server.connect_node(node_id)
    with server.subscriber() as subscriber:
        subscriber.subscribe(type="Nodes", node_ids=[node_id])
        node.report("BestBlockChanged", slot=1, hash="0x" + "07" * 32)
        node.report("ConnectionRefused", **{"from": {"ipv6": "10.0.0.7", "port": 3}})
        best, refused = subscriber.receive_events(2)
    assert best["data"]["node_id"] == node_id
    assert best["data"]["event"]["BestBlockChanged"]["hash"] == [7] * 32
    address = refused["data"]["event"]["ConnectionRefused"]["from"]
    assert address == {"ipv6": [0] * 10 + [255, 255, 10, 0, 0, 7], "port": 3}


@pytest.mark.parametrize("batch", [1, 7, 250])
def test_frames_hold_as_many_events_as_asked_for(
    start_server: StartServer, node_id: str, batch: int
) -> None:
    server = start_server("--ws-batch", str(batch), procs=1)
    node = server.connect_node(node_id)
    with server.subscriber() as subscriber:
        node.report_best(range(3_000))
        subscriber.receive_events(3_000)
        assert max(subscriber.widths) <= batch
        assert max(subscriber.widths) > batch // 2
        assert subscriber.slots() == list(range(3_000))


def test_above_the_rate_limit_events_are_dropped_and_counted(
    start_server: StartServer, node_ids: list[str]
) -> None:
    """What is received and what is dropped make up what was sent, and event IDs go on counting."""
    server = start_server("--rate-limit", "100", procs=1)
    with server.subscriber() as subscriber:
        fast, slow = (server.connect_node(node_id) for node_id in node_ids[:2])
        fast.report_best(range(10_000))
        slow.report_best(range(100))
        subscriber.receive_until(lambda: len(subscriber.by_node[slow.node_id]) == 100)
        passed = 0

        def dropped() -> int:
            nonlocal passed
            subscriber.ask({"type": "Ping"})
            passed = len(subscriber.by_node[fast.node_id])
            return 10_000 - passed

        server.await_dropped(dropped)
        assert 120 <= passed < 5_000
        assert subscriber.slots(fast.node_id)[:120] == list(range(120))
        fast.report_best([10_000])
        subscriber.receive_until(lambda: len(subscriber.by_node[fast.node_id]) == passed + 1)
        for event in subscriber.by_node[fast.node_id]:
            assert event["data"]["event_id"] == event["data"]["event"]["BestBlockChanged"]["slot"]
        assert subscriber.slots(slow.node_id) == list(range(100))
