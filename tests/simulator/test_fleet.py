"""Nodes on connections: paced by the clock, held back by the server, lost and refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock

from telemetry_twisted.simulator import Fleet, Network, Node, Summary
from telemetry_twisted.simulator.blockchain import SECOND
from telemetry_twisted.simulator.connection import BURST
from telemetry_twisted.simulator.fleet import DRAIN_TIMEOUT, INTERVAL, RECONNECT_DELAY

MakeServer = Callable[..., Any]

FOREVER = 1 << 62
SPAN = 20_000


def make_network(**settings: Any) -> Network:
    return Network(**{"nodes": 3, "cores": 20, "rate": 200, "connect_rate": 10, **settings})


def start(fleet: Fleet) -> Deferred[Summary]:
    return Deferred.fromCoroutine(fleet.run())


def pass_time(clock: Clock, seconds: float) -> None:
    clock.pump([0.01] * round(seconds / 0.01))


def outcome(running: Deferred[Summary]) -> Summary:
    results: list[Summary] = []
    running.addCallback(results.append)
    assert results, "the fleet is still running"
    return results[0]


def everything(network: Network, index: int) -> bytes:
    node = Node(network, index)
    return node.information + node.advance(FOREVER)


def test_nodes_connect_in_turn_and_send_what_is_due(memory_server: MakeServer) -> None:
    clock, server, network = Clock(), memory_server(), make_network()
    start(Fleet(clock, server, network))
    assert not server.transports
    pass_time(clock, 0.05)
    assert len(server.transports) == 1
    pass_time(clock, 0.1)
    assert len(server.transports) == 2
    pass_time(clock, 2.85)
    assert len(server.transports) == 3
    now = network.start + 3 * SECOND
    for index, received in enumerate(server.received):
        times = [event.timestamp for event in received.events]
        assert received.information.node_id == network.node_id(index)
        assert times[0] == network.start + index * SECOND // 10
        assert max(times) < now + SPAN
        due = Node(network, index).advance(now - int(INTERVAL * SECOND) - 10_000)
        assert received.data.startswith(Node(network, index).information + due)


def test_each_node_ends_after_the_duration(memory_server: MakeServer) -> None:
    clock, server, network = Clock(), memory_server(), make_network(duration=2)
    running = start(Fleet(clock, server, network))
    pass_time(clock, 2.4)
    assert outcome(running).connected == 3
    assert [received.data for received in server.received] == [
        everything(network, index) for index in range(3)
    ]


def test_a_held_node_waits_and_catches_up(memory_server: MakeServer) -> None:
    clock, server, network = Clock(), memory_server(), make_network(duration=4)
    fleet = Fleet(clock, server, network)
    running = start(fleet)
    pass_time(clock, 1)
    held = server.transports[1]
    held.producer.pauseProducing()
    assert fleet.held == 1
    size = len(held.value())
    pass_time(clock, 2)
    assert len(held.value()) == size
    held.producer.resumeProducing()
    assert fleet.held == 0
    assert len(held.value()) > size
    pass_time(clock, 2)
    assert outcome(running).lost == 0
    assert [received.data for received in server.received] == [
        everything(network, index) for index in range(3)
    ]


def test_a_flood_does_not_wait_for_the_clock(memory_server: MakeServer) -> None:
    clock, server, network = Clock(), memory_server(), make_network(duration=60)
    running = start(Fleet(clock, server, network, flood=True))
    clock.advance(0.2)
    assert outcome(running).events == sum(len(received.events) for received in server.received)
    assert [received.data for received in server.received] == [
        everything(network, index) for index in range(3)
    ]


def test_a_flood_stops_while_it_is_held(memory_server: MakeServer) -> None:
    clock, server = Clock(), memory_server(room=100_000)
    network = make_network(nodes=1)
    fleet = Fleet(clock, server, network, flood=True)
    start(fleet)
    clock.advance(0)
    (transport,) = server.transports
    size = len(transport.value())
    assert 100_000 < size < 100_000 + 2 * BURST
    clock.advance(5)
    assert len(transport.value()) == size
    transport.room = 300_000
    transport.producer.resumeProducing()
    assert 300_000 < len(transport.value()) < 300_000 + 2 * BURST


def test_a_refused_first_connection_ends_the_run(memory_server: MakeServer) -> None:
    clock, server = Clock(), memory_server(refusals=1_000)
    fleet = Fleet(clock, server, make_network(nodes=50))
    running = start(fleet)
    clock.advance(0)
    clock.advance(0)
    summary = outcome(running)
    assert (summary.connected, summary.refused) == (0, 1)
    assert fleet.trouble
    assert "refused" in fleet.trouble


def test_a_lost_connection_is_counted_and_the_others_go_on(memory_server: MakeServer) -> None:
    clock, server, network = Clock(), memory_server(), make_network(duration=2)
    running = start(Fleet(clock, server, network))
    pass_time(clock, 1)
    server.transports[0].close(ConnectionLost())
    pass_time(clock, 2)
    summary = outcome(running)
    assert (summary.connected, summary.lost) == (3, 1)
    assert server.received[1].data == everything(network, 1)


def test_a_server_that_closes_first_loses_the_node(memory_server: MakeServer) -> None:
    clock, server, network = Clock(), memory_server(), make_network(nodes=1, duration=2)
    running = start(Fleet(clock, server, network))
    pass_time(clock, 1)
    server.transports[0].close(ConnectionDone())
    assert outcome(running).lost == 1


def test_a_node_reconnects_and_begins_anew(memory_server: MakeServer) -> None:
    clock, server = Clock(), memory_server(refusals=1)
    network = make_network(nodes=1, duration=6)
    fleet = Fleet(clock, server, network, reconnect=True)
    running = start(fleet)
    pass_time(clock, RECONNECT_DELAY + 1)
    server.transports[0].close(ConnectionLost())
    pass_time(clock, RECONNECT_DELAY + 5)
    summary = outcome(running)
    assert (summary.connected, summary.refused, summary.lost) == (2, 1, 1)
    first, second = server.received
    assert first.information == second.information
    for received in (first, second):
        assert received.events[0].name == "SyncStatusChanged"
    assert second.events[0].timestamp > first.events[-1].timestamp
    assert summary.as_json()["node_events"] == {
        network.node_id(0): len(first.events) + len(second.events)
    }


def test_a_node_connects_so_many_times(memory_server: MakeServer) -> None:
    clock, server = Clock(), memory_server()
    network = make_network(nodes=2, events=50)
    running = start(Fleet(clock, server, network, times=3))
    pass_time(clock, 2 * RECONNECT_DELAY + 4)
    summary = outcome(running)
    assert (summary.connected, summary.lost) == (6, 0)
    assert [len(received.events) for received in server.received] == [50] * 6
    sent = summary.as_json()["sent"]
    assert [each["whole"] for each in sent] == [True] * 6
    assert [sum(each["counts"].values()) for each in sent] == [50] * 6
    begin, end = network.start, network.start + SECOND * int(clock.seconds())
    assert all(begin < each["ended"] <= end for each in sent)


def test_connections_are_cut_and_nodes_come_again(memory_server: MakeServer) -> None:
    clock, server = Clock(), memory_server()
    network = make_network(nodes=4, events=150, drops=1)
    running = start(Fleet(clock, server, network, reconnect=True, cut_after=0.5))
    while not running.called:
        pass_time(clock, 1)
    summary = outcome(running)
    assert summary.connected == 4 + summary.lost
    assert summary.lost > 2
    for (index, tally), received in zip(summary.tallies, server.received, strict=True):
        assert tally.is_whole is (tally.events == 150)
        # What it had sent by then can be told again.
        again = Node(network, index, tally.began, tally.events)
        sent = again.advance(FOREVER) if tally.events else b""
        assert received.data == again.information + sent
    assert not clock.getDelayedCalls()


def test_what_the_server_has_not_read_is_not_whole(memory_server: MakeServer) -> None:
    clock, server, network = Clock(), memory_server(), make_network(nodes=1, duration=2)
    running = start(Fleet(clock, server, network))
    pass_time(clock, 1)
    server.transports[0].close(ConnectionLost())
    (sent,) = outcome(running).as_json()["sent"]
    assert not sent["whole"]


def test_stopping_sends_what_is_held_and_ends(memory_server: MakeServer) -> None:
    clock, server = Clock(), memory_server()
    fleet = Fleet(clock, server, make_network(nodes=30))
    running = start(fleet)
    pass_time(clock, 1)
    fleet.stop()
    summary = outcome(running)
    assert 0 < summary.connected < 30
    assert summary.lost == 0
    assert summary.events == sum(len(received.events) for received in server.received)
    assert not clock.getDelayedCalls()


def test_connections_that_do_not_drain_are_cut(memory_server: MakeServer) -> None:
    clock, server = Clock(), memory_server(stuck=True)
    fleet = Fleet(clock, server, make_network())
    running = start(fleet)
    pass_time(clock, 1)
    fleet.stop()
    clock.advance(DRAIN_TIMEOUT - 0.1)
    assert not running.called
    clock.advance(0.2)
    assert outcome(running).lost == 3
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize("flood", [False, True])
@ensureDeferred
async def test_the_summary_is_what_arrived(sink: Any, flood: bool) -> None:
    network = Network(nodes=40, events=300, cores=20, rate=1_000, seed=9)
    host, _, port = sink.address.partition(":")
    fleet = Fleet(reactor, HostnameEndpoint(reactor, host, int(port)), network, flood=flood)
    summary = await Deferred.fromCoroutine(fleet.run())
    await sink.emptied()
    assert (summary.connected, summary.refused, summary.lost) == (40, 0, 0)
    assert {received.information.node_id for received in sink.received} == {
        network.node_id(index) for index in range(40)
    }
    assert all(len(received.events) == 300 for received in sink.received)
    events = [event for received in sink.received for event in received.events]
    assert summary.names() == Counter(event.name for event in events)
    assert summary.failures() == Counter(
        (event.name, event.fields["reason"]) for event in events if "reason" in event.fields
    )
