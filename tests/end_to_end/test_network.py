"""A whole network at once: 1,024 validators over four ingestion processes, and nothing is lost."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define

from telemetry_twisted.jip3.encoder import frame
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.jip3.values import decode_event
from telemetry_twisted.simulator import Network, messages
from telemetry_twisted.simulator import Node as SimulatedNode

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Message, Server, StartServer, Subscriber

NODES, EVENTS, PROCESSES = 1024, 200, 4


@define
class Validator:
    """A simulated node: what it sends, and the IDs and types of its events."""

    node_id: str
    information: bytes
    contents: list[bytes]

    @property
    def stream(self) -> bytes:
        return b"".join(map(frame, self.contents))

    def expected(self) -> list[tuple[int, int]]:
        """Event ID and type of each event (JIP-3, Event IDs)."""
        rows = []
        event_id = 0
        for content in self.contents:
            rows.append((event_id, content[8]))
            dropped = content[8] == 0
            event_id += int.from_bytes(content[-8:], "little") if dropped else 1
        return rows


def simulate(network: Network) -> list[Validator]:
    validators = []
    for index in range(network.nodes):
        node = SimulatedNode(network, index)
        information = node.information
        data = b""
        until = node.begins
        while not node.finished:
            until += 1_000_000
            data += node.advance(until)
        validators.append(Validator(network.node_id(index), information, [*messages(data)]))
    return validators


def introduce(server: Server, validator: Validator) -> socket.socket:
    connection = server.connect_socket()
    connection.sendall(validator.information)
    return connection


def check(subscriber: Subscriber, validators: list[Validator]) -> None:
    """The subscriber has all events of ``validators``, each once, in order, with its event ID."""
    rows: dict[str, list[tuple[int, int]]] = {each.node_id: [] for each in validators}
    ids: dict[str, list[int]] = {each.node_id: [] for each in validators}
    for event in subscriber.events:
        data = event["data"]
        rows[data["node_id"]].append((data["event_id"], data["event_type"]))
        ids[data["node_id"]].append(data["id"])
    assert rows == {each.node_id: each.expected() for each in validators}
    assert all(of_node == sorted(of_node) for of_node in ids.values())
    assert len({id for of_node in ids.values() for id in of_node}) == len(subscriber.events)
    assert subscriber.skipped == 0


def events_of(subscriber: Subscriber, node_id: str) -> list[Message]:
    return [
        event["data"]["event"] for event in subscriber.events if event["data"]["node_id"] == node_id
    ]


@pytest.mark.usefixtures("many_files")
def test_every_event_of_a_network_arrives_once_and_in_order(start_server: StartServer) -> None:
    network = Network(nodes=NODES, events=EVENTS, seed=1)
    validators = simulate(network)
    assert all(len(each.contents) == EVENTS for each in validators)
    two = [validators[3], validators[1000]]
    server = start_server(procs=PROCESSES)
    before = server.sockets()
    assert len(before) == PROCESSES
    with ExitStack() as stack:
        everything, star, of_two = (stack.enter_context(server.subscriber()) for _ in range(3))
        connections = [introduce(server, each) for each in validators[: NODES // 2]]
        server.await_nodes(NODES // 2)
        star.subscribe(type="Nodes", node_ids=["*"])
        of_two.subscribe(type="Nodes", node_ids=[each.node_id for each in two])
        connections += [introduce(server, each) for each in validators[NODES // 2 :]]
        server.await_nodes(NODES)
        spread = [now - was for now, was in zip(server.sockets(), before, strict=True)]
        assert sum(spread) == NODES
        assert all(abs(share * PROCESSES / NODES - 1) <= 0.25 for share in spread)
        streams = [each.stream for each in validators]
        for part in range(3):
            for connection, stream in zip(connections, streams, strict=True):
                cut, end = len(stream) * part // 3, len(stream) * (part + 1) // 3
                connection.sendall(stream[cut:end])
        for connection in connections:
            connection.close()
        everything.receive_events(NODES * EVENTS)
        star.receive_events(NODES * EVENTS)
        of_two.receive_events(2 * EVENTS)
        server.await_nodes(0)
        for subscriber in (everything, star, of_two):
            reply = subscriber.ask({"type": "Ping"})
            assert reply["data"]["events_received"] == len(subscriber.events)
        check(everything, validators)
        check(star, validators)
        check(of_two, two)
        for each in two:
            decoded = [decode_event(content, network.cores) for content in each.contents]
            assert events_of(of_two, each.node_id) == [event.as_json() for event in decoded]


def test_what_the_simulator_says_it_sent_is_what_arrives(server: Server) -> None:
    names = {event.discriminator: event.name for event in TABLE.events.values()}
    with server.subscriber() as subscriber:
        command = [sys.executable, "-m", "telemetry_twisted.simulator", "--nodes", "64"]
        place = f"127.0.0.1:{server.ports['telemetry']}"
        done = subprocess.run(
            [*command, "--events", "150", "--profile", "flood", "--seed", "7", "--json", place],
            stdout=subprocess.PIPE,
            timeout=120,
            check=True,
        )
        summary: dict[str, Any] = json.loads(done.stdout)
        assert summary["events"] == 64 * 150
        subscriber.receive_events(64 * 150)
        subscriber.ask({"type": "Ping"})
    received = Counter(names[event["data"]["event_type"]] for event in subscriber.events)
    assert received == summary["counts"]
    by_node = Counter(event["data"]["node_id"] for event in subscriber.events)
    assert by_node == summary["node_events"]
