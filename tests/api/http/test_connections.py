"""How many connections there may be."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.access.proxies import UNIX
from telemetry_twisted.api.http.connections import Connections


class ConnectionsTests(SynchronousTestCase):
    """Counting connections in, over, and out."""

    def setUp(self) -> None:
        self.clock = Clock()

    def test_in_all(self) -> None:
        connections = Connections(2, 2, 9, self.clock)
        self.assertIsNone(connections.enter("a"))
        self.assertIsNone(connections.enter("b"))
        self.assertIn("--api-connections allows", connections.enter("c") or "")
        connections.leave("a")
        self.assertIsNone(connections.enter("c"))
        self.assertEqual((connections.open, dict(connections.refused)), (2, {"connections": 1}))

    def test_as_many_as_open_files_allow(self) -> None:
        connections = Connections(9, 9, 1, self.clock)
        self.assertIsNone(connections.enter("a"))
        self.assertIn("LimitNOFILE", connections.enter("a") or "")
        self.assertEqual(dict(connections.refused), {"descriptors": 1})

    def test_of_one_client(self) -> None:
        connections = Connections(9, 1, 9, self.clock)
        self.assertIsNone(connections.enter("a"))
        self.assertIn("a has 1 connections", connections.enter("a") or "")
        self.assertIsNone(connections.enter("b"))
        self.assertIn("--api-connections-per-client", connections.move("b", "a") or "")
        # It is still counted as one of b.
        self.assertIsNotNone(connections.enter("b"))
        self.assertIsNone(connections.move("b", "c"))
        self.assertIsNone(connections.enter("b"))
        self.assertEqual(connections.open, 3)

    def test_a_client_stays_itself(self) -> None:
        connections = Connections(9, 1, 9, self.clock)
        connections.enter("a")
        self.assertIsNone(connections.move("a", "a"))

    def test_a_unix_socket_has_no_address_to_count_by(self) -> None:
        connections = Connections(9, 1, 9, self.clock)
        self.assertEqual([connections.enter(UNIX) for _ in range(9)], [None] * 9)
        self.assertIsNotNone(connections.enter(UNIX))
