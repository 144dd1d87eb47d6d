"""What a connection passes before the node table sees it: bounds, turns and the list of nodes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.hub.admission import Admission, AdmissionRules
from telemetry_twisted.hub.allowed import AllowedNodes, read_node_list
from telemetry_twisted.hub.nodes import NodeTable
from tests.hub.test_nodes import Process, Watcher

HERE, THERE = "10.0.0.7", "10.0.0.8"


def node_id(number: int) -> str:
    return f"{number:064x}"


class Scene:
    """Two processes whose connections are admitted by rules."""

    def __init__(self, rules: AdmissionRules) -> None:
        self.clock = Clock()
        self.watcher = Watcher()
        self.table = NodeTable(rules.max_nodes, self.watcher, self.clock.seconds)
        self.admission = Admission(self.table, rules, self.watcher, self.clock)
        self.processes = Process(), Process()

    def accept(self, connection: int, host: str = HERE, process: int = 0) -> None:
        self.admission.connection_accepted(self.processes[process], connection, host)

    def introduce(self, connection: int, who: str, process: int = 0) -> None:
        server = self.processes[process]
        self.admission.introduced(server, connection, who, f"{HERE}:{connection}", {})

    def end(self, connection: int, process: int = 0) -> None:
        self.admission.ended(self.processes[process], connection, "left", "so")

    def dismissed(self, process: int = 0) -> dict[int, str]:
        return {number: kind for number, (kind, _) in self.processes[process].dismissed.items()}


class AddressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.scene = Scene(AdmissionRules(max_nodes=10, per_address=3))

    def test_connections_from_one_address_are_bounded_over_all_processes(self) -> None:
        for connection in range(2):
            self.scene.accept(connection, process=0)
            self.scene.accept(connection, process=1)
        self.scene.accept(9, THERE)
        self.assertEqual(self.scene.dismissed(0), {})
        self.assertEqual(self.scene.dismissed(1), {1: "address_limit"})
        self.assertIn("--node-connections-per-address", self.scene.processes[1].dismissed[1][1])

    def test_one_too_many_pushes_nobody_out_before_it_is_gone(self) -> None:
        for connection in range(4):
            self.scene.accept(connection)
        self.scene.introduce(0, node_id(1))
        self.scene.introduce(3, node_id(1))  # it does not know yet that it may not stay
        self.assertEqual(self.scene.dismissed(), {3: "address_limit"})
        self.assertEqual(list(self.scene.processes[0].admitted), [0])
        self.scene.end(3)
        self.scene.end(2)
        self.scene.accept(3)
        self.scene.introduce(3, node_id(2))
        self.assertEqual(list(self.scene.processes[0].admitted), [0, 3])

    def test_one_that_ends_makes_room(self) -> None:
        for connection in range(4):
            self.scene.accept(connection)
        self.scene.end(3)
        self.scene.end(0)
        self.scene.accept(4)
        self.assertEqual(self.scene.dismissed(), {3: "address_limit"})

    def test_so_does_a_process_that_ends(self) -> None:
        for connection in range(3):
            self.scene.accept(connection)
        self.scene.admission.server_lost(self.scene.processes[0])
        self.scene.accept(1, process=1)
        self.assertEqual(self.scene.dismissed(1), {})

    def test_an_ipv6_network_counts_as_one_address(self) -> None:
        for connection in range(4):
            self.scene.accept(connection, f"2001:db8::{connection}")
        self.scene.accept(9, "2001:db8:0:1::1")
        self.assertEqual(self.scene.dismissed(), {3: "address_limit"})

    def test_a_thousand_nodes_may_come_from_one_address_by_default(self) -> None:
        scene = Scene(AdmissionRules(max_nodes=1024))
        for connection in range(1024):
            scene.accept(connection)
            scene.introduce(connection, node_id(connection))
        self.assertEqual(scene.dismissed(), {})
        self.assertEqual(len(scene.table), 1024)

    def test_an_end_that_nothing_is_known_of_is_no_matter(self) -> None:
        self.scene.end(77)
        self.assertEqual(self.scene.watcher.news, [])


class IntroductionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.scene = Scene(AdmissionRules(max_nodes=1000, introductions=10))
        for connection in range(30):
            self.scene.introduce(connection, node_id(connection), connection % 2)

    def admitted(self) -> list[str]:
        return [who for _, who in self.scene.watcher.news]

    def test_those_above_the_rate_wait_in_order_and_none_is_dropped(self) -> None:
        self.assertEqual(self.admitted(), [node_id(number) for number in range(10)])
        self.scene.clock.pump([0.05] * 10)
        self.assertTrue(14 <= len(self.admitted()) <= 16, len(self.admitted()))
        self.scene.clock.pump([0.05] * 40)
        self.assertEqual(self.admitted(), [node_id(number) for number in range(30)])
        self.assertEqual(self.scene.clock.getDelayedCalls(), [])
        self.assertEqual(self.scene.dismissed(0) | self.scene.dismissed(1), {})

    def test_one_that_leaves_while_it_waits_is_forgotten(self) -> None:
        self.scene.end(11, process=1)
        self.scene.clock.pump([0.05] * 60)
        self.assertEqual(len(self.admitted()), 29)
        self.assertNotIn(node_id(11), self.admitted())

    def test_so_are_those_of_a_process_that_ends(self) -> None:
        self.scene.admission.server_lost(self.scene.processes[0])
        self.scene.watcher.news.clear()
        self.scene.clock.pump([0.05] * 60)
        self.assertEqual(self.admitted(), [node_id(number) for number in range(11, 30, 2)])

    def test_a_thousand_may_come_in_a_second_by_default(self) -> None:
        scene = Scene(AdmissionRules(max_nodes=2000))
        for connection in range(1025):
            scene.introduce(connection, node_id(connection))
        self.assertEqual(len(scene.table), 1024)


class AllowedTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name, "nodes")

    def write(self, *lines: str) -> str:
        self.path.write_text("\n".join(lines))
        return str(self.path)

    def test_a_list_has_one_id_a_line_and_comments(self) -> None:
        path = self.write(
            "# ours", node_id(1), "", f"  {node_id(2)}  # the second", f"0x{'AB' * 32}"
        )
        self.assertEqual(read_node_list(path), {node_id(1), node_id(2), "ab" * 32})

    def test_what_is_wrong_is_told_with_its_line(self) -> None:
        for lines, said in (
            ([node_id(1), "validator-1"], "line 2: expected a node ID, which is 64 hex digits"),
            (["ab" * 100], "line 1: expected a node ID"),
            ([node_id(1) + " " + node_id(2)], "line 1: expected"),
            (["# nobody"], "expected at least one node ID"),
        ):
            error = self.assertRaises(ValueError, read_node_list, self.write(*lines))
            self.assertIn(said, str(error))
        self.path.write_bytes(b"\xff\xfe")
        self.assertIn("text", str(self.assertRaises(ValueError, read_node_list, str(self.path))))
        error = self.assertRaises(ValueError, read_node_list, f"{self.path}.missing")
        self.assertIn("cannot be read (No such file or directory)", str(error))

    def test_only_those_in_the_list_are_admitted_and_others_cost_no_turn(self) -> None:
        allowed = AllowedNodes(self.write(node_id(1)))
        scene = Scene(AdmissionRules(max_nodes=10, introductions=1, allowed=allowed))
        for connection in (2, 3, 1):
            scene.introduce(connection, node_id(connection))
        self.assertEqual(scene.dismissed(), dict.fromkeys((2, 3), "node_not_allowed"))
        self.assertEqual(
            scene.watcher.news,
            [("refused", node_id(2)), ("refused", node_id(3)), ("connected", node_id(1))],
        )

    def test_those_that_are_taken_from_the_list_are_dismissed(self) -> None:
        allowed = AllowedNodes(self.write(node_id(1), node_id(2)))
        scene = Scene(AdmissionRules(max_nodes=10, allowed=allowed))
        for connection in (1, 2):
            scene.introduce(connection, node_id(connection))
        self.write(node_id(2), node_id(3))
        allowed.reload()
        scene.admission.allowed_changed()
        self.assertEqual(scene.dismissed(), {1: "node_not_allowed"})
        scene.introduce(3, node_id(3))
        self.assertEqual(list(scene.processes[0].admitted), [1, 2, 3])

    def test_a_list_that_has_become_bad_leaves_the_old_one(self) -> None:
        allowed = AllowedNodes(self.write(node_id(1)))
        self.write("nonsense")
        error = self.assertRaises(ValueError, allowed.reload)
        self.assertIn(f"{self.path}: line 1", str(error))
        self.assertIn(node_id(1), allowed)


class MistakeTests(SynchronousTestCase):
    def test_a_mistake_with_one_leaves_nobody_waiting_for_ever(self) -> None:
        scene = Scene(AdmissionRules(max_nodes=10, introductions=1))
        for connection in range(3):
            scene.accept(connection)
            scene.introduce(connection, node_id(connection))
        self.assertEqual(list(scene.processes[0].admitted), [0])
        apply = scene.table.apply

        def failing(server: Any, connection: int, *rest: Any) -> None:
            if connection == 1:
                raise ZeroDivisionError
            apply(server, connection, *rest)

        self.patch(scene.table, "apply", failing)
        with self.assertRaises(ZeroDivisionError):
            scene.clock.advance(1)
        scene.clock.advance(1)
        self.assertEqual(list(scene.processes[0].admitted), [0, 2])
