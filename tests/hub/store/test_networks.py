"""What the store process has told of networks holds while that process is heard of."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.network_figures import network_figures
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.hub.store.standing import STALE_SECONDS
from telemetry_twisted.transport import records
from tests.hub.test_alerts import NoServer

STATUS = {"state": "ok", "raw_room": 0, "last_commit": None, "last_error": None}


class ToldNetworksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        now = self.clock.seconds
        self.client = StoreClient(b"{}", True, self.clock, now, InternalErrors(self.clock))

    def told(self, kind: int, what: dict[str, Any]) -> None:
        self.client.record_received(kind, records.json_body(what))

    @property
    def current(self) -> Any:
        return self.client.networks.current

    def test_the_newest_of_each_is_kept(self) -> None:
        self.assertEqual(self.current, {})
        self.told(records.NETWORK, {"0x1": {"best": 1}, "0x2": {"best": 5}})
        before = self.current
        self.told(records.NETWORK, {"0x1": {"best": 2}, "0x2": None})
        self.assertEqual(self.current, {"0x1": {"best": 2}})
        self.assertEqual(before["0x1"], {"best": 1})

    def test_what_is_stale_is_not_told_until_the_process_is_heard_again(self) -> None:
        self.told(records.NETWORK, {"0x1": {"best": 1}})
        for _ in range(10):
            self.clock.advance(STALE_SECONDS / 2)
            self.told(records.STORE_STATUS, STATUS)
        self.assertEqual(self.current, {"0x1": {"best": 1}})
        self.clock.advance(STALE_SECONDS + 1)
        self.assertEqual(self.current, {})
        self.told(records.STORE_STATUS, STATUS)
        self.assertEqual(self.current, {"0x1": {"best": 1}})

    def test_nothing_is_known_from_a_process_that_ended(self) -> None:
        self.told(records.NETWORK, {"0x1": {"best": 1}})
        self.client.process_ended("killed")
        self.assertEqual(self.current, {})

    def test_nodes_are_told_with_their_network_as_far_as_they_are_known(self) -> None:
        def node(name: str, genesis: str, **state: Any) -> Node:
            info = {"genesis": genesis}
            return Node(name, 0, NoServer(), 1, "127.0.0.1:1", 0.0, info, **state)

        block = {"slot": 7, "hash": "0x"}
        nodes = (node("a", "0x1", best=block, finalized=block, synced=False), node("b", "0x2"))
        self.assertEqual(
            network_figures({"0x1": {"best": 8}, "0x3": {}}, nodes),
            {
                "0x1": {"best": 8, "nodes": {"a": {"best": 7, "finalized": 7, "synced": False}}},
                "0x2": {"nodes": {"b": {}}},
                "0x3": {"nodes": {}},
            },
        )
