"""The node table: who may stay, who has to go, and who comes next."""

from __future__ import annotations

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.hub.nodes import LIVE_SECONDS, Node, NodeTable
from tests.examples import examples

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32


@define(eq=False)
class Process:
    """Notes whom it was told to admit and to dismiss, and whom it was asked about."""

    admitted: dict[int, tuple[int, int]] = field(factory=dict)
    dismissed: dict[int, tuple[str, str]] = field(factory=dict)
    challenged: list[int] = field(factory=list)

    def admit(self, connection: int, handle: int, after_id: int) -> None:
        assert connection not in self.admitted
        self.admitted[connection] = handle, after_id

    def dismiss(self, connection: int, kind: str, reason: str) -> None:
        self.dismissed[connection] = kind, reason

    def challenge(self, connection: int) -> None:
        self.challenged.append(connection)


@define
class Watcher:
    """Notes who came, went and was refused, and checks that handles are not shared."""

    last_id: int = 0
    news: list[tuple[str, str]] = field(factory=list)
    handles: dict[int, str] = field(factory=dict)

    def node_connected(self, node: Node) -> None:
        assert node.handle not in self.handles
        self.handles[node.handle] = node.node_id
        self.news.append(("connected", node.node_id))

    def node_gone(self, node: Node, kind: str, reason: str) -> None:
        assert self.handles.pop(node.handle) == node.node_id
        self.news.append((kind, node.node_id))

    def node_refused(self, node_id: str, reason: str) -> None:
        self.news.append(("refused", node_id))


HERE, THERE, ELSEWHERE = "10.0.0.7", "10.0.0.8", "2001:db8::1"


class Scene:
    """A table for three nodes, and two processes."""

    def __init__(self, takeover_any: bool = False) -> None:
        self.watcher = Watcher()
        self.table = NodeTable(3, self.watcher, lambda: 5.0, takeover_any)
        self.processes = Process(), Process()

    def apply(self, process: int, connection: int, node_id: str, host: str = HERE) -> None:
        server = self.processes[process]
        host = f"[{host}]" if ":" in host else host
        self.table.apply(server, connection, node_id, f"{host}:{connection + 1}", {"flags": 0})

    def end(self, process: int, connection: int, kind: str = "left") -> None:
        self.table.ended(self.processes[process], connection, kind, "because")

    def answer(self, process: int, connection: int, silent: float) -> None:
        self.table.answered(self.processes[process], connection, silent)


class NodeTableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.scene = Scene()
        self.first, self.second = self.scene.processes

    def test_a_node_is_admitted_with_ids_above_those_that_were_given(self) -> None:
        scene = self.scene
        scene.watcher.last_id = 41
        scene.apply(0, 0, A)
        self.assertEqual(self.first.admitted, {0: (0, 41)})
        node = scene.table.get(A)
        assert node is not None
        self.assertEqual(
            (node.address, node.connected, node.info), ("10.0.0.7:1", 5.0, {"flags": 0})
        )
        self.assertIs(scene.table.at_handle(0), node)
        self.assertEqual(list(scene.table), [node])
        self.assertEqual(len(scene.table), 1)

    def test_a_node_that_left_is_gone_and_its_slot_is_used_again(self) -> None:
        scene = self.scene
        for connection, node_id in enumerate([A, B]):
            scene.apply(0, connection, node_id)
        scene.end(0, 0)
        self.assertIsNone(scene.table.get(A))
        self.assertIsNone(scene.table.at_handle(0))
        scene.apply(1, 7, C)
        self.assertEqual(self.second.admitted[7][0], 0)
        self.assertEqual(
            scene.watcher.news,
            [("connected", A), ("connected", B), ("left", A), ("connected", C)],
        )

    def test_one_too_many_is_refused(self) -> None:
        scene = self.scene
        for connection in range(4):
            scene.apply(0, connection, f"{connection:064x}")
        kind, reason = self.first.dismissed[3]
        self.assertEqual(kind, "refused")
        self.assertIn("3 nodes are connected", reason)
        self.assertEqual(scene.watcher.news[-1], ("refused", f"{3:064x}"))
        scene.end(0, 3, "refused")
        self.assertEqual(len(scene.table), 3)
        scene.end(0, 0)
        scene.apply(0, 4, A)
        self.assertIn(4, self.first.admitted)

    def test_the_newest_connection_wins_once_the_older_one_has_ended(self) -> None:
        scene = self.scene
        scene.apply(0, 1, A)
        scene.apply(1, 1, A)
        self.assertEqual(self.first.dismissed[1][0], "replaced")
        self.assertEqual(self.second.admitted, {})
        scene.watcher.last_id = 99
        scene.end(0, 1, "replaced")
        self.assertEqual(self.second.admitted, {1: (0, 99)})
        self.assertEqual(scene.watcher.news, [("connected", A), ("replaced", A), ("connected", A)])
        self.assertEqual(self.first.challenged, [])

    def test_it_wins_also_where_there_is_no_room_for_another(self) -> None:
        scene = self.scene
        for connection, node_id in enumerate([A, B, C]):
            scene.apply(0, connection, node_id)
        scene.apply(0, 9, A)
        scene.end(0, 0, "replaced")
        self.assertIn(9, self.first.admitted)
        self.assertEqual(len(scene.table), 3)

    def test_of_many_that_wait_the_newest_is_next(self) -> None:
        scene = self.scene
        for connection in range(1, 5):
            scene.apply(0, connection, A)
        self.assertEqual(list(self.first.dismissed), [1, 2, 3])
        scene.end(0, 2, "replaced")
        scene.end(0, 3, "replaced")
        scene.end(0, 1, "replaced")
        self.assertEqual(list(self.first.admitted), [1, 4])
        self.assertEqual(len(scene.table), 1)

    def test_one_that_leaves_while_it_waits_is_forgotten(self) -> None:
        scene = self.scene
        scene.apply(0, 1, A)
        scene.apply(1, 1, A)
        scene.end(1, 1)
        scene.end(0, 1, "replaced")
        self.assertEqual(self.second.admitted, {})
        self.assertEqual(len(scene.table), 0)

    def test_a_connection_that_never_introduced_itself_may_end(self) -> None:
        self.scene.end(0, 77, "no_information")
        self.assertEqual(self.scene.watcher.news, [])

    def test_with_a_process_go_its_nodes_and_those_that_wait_there(self) -> None:
        scene = self.scene
        scene.apply(0, 1, A)
        scene.apply(0, 2, B)
        scene.apply(1, 1, C)
        scene.apply(1, 2, A)
        scene.apply(0, 3, C)
        scene.table.server_lost(self.first)
        self.assertIsNone(scene.table.get(B))
        self.assertEqual(self.second.admitted[2], (0, 0))
        self.assertEqual({node.node_id for node in scene.table}, {A, C})
        scene.end(1, 1, "replaced")
        self.assertEqual({node.node_id for node in scene.table}, {A})
        self.assertNotIn(3, self.first.admitted)


class TakeoverTests(SynchronousTestCase):
    """Newcomers from other addresses that have the ID of a node that is connected."""

    def setUp(self) -> None:
        self.scene = Scene()
        self.first, self.second = self.scene.processes
        self.scene.apply(0, 1, A)

    def connected(self) -> Node:
        node = self.scene.table.get(A)
        assert node is not None
        return node

    def test_a_connection_that_is_live_stays(self) -> None:
        for connection, host in enumerate([THERE, ELSEWHERE]):
            self.scene.apply(1, connection, A, host)
        self.assertEqual(self.first.challenged, [1])
        self.assertEqual(self.second.dismissed, {})
        self.scene.answer(0, 1, LIVE_SECONDS - 0.1)
        self.assertEqual(self.first.dismissed, {})
        self.assertEqual([kind for kind, _ in self.second.dismissed.values()], ["id_taken"] * 2)
        self.assertIn("10.0.0.7:2", self.second.dismissed[0][1])
        self.assertIn("--takeover", self.second.dismissed[0][1])
        self.assertEqual(self.scene.watcher.news, [("connected", A)] + [("refused", A)] * 2)
        for connection in (0, 1):
            self.scene.end(1, connection, "id_taken")
        self.assertEqual(self.connected().connection, 1)

    def test_it_is_asked_again_at_each_try(self) -> None:
        for connection in range(5):
            self.scene.apply(1, connection, A, THERE)
            self.scene.answer(0, 1, 1.0)
        self.assertEqual(self.first.challenged, [1] * 5)
        self.assertEqual(list(self.second.dismissed), [0, 1, 2, 3, 4])

    def test_one_that_has_been_silent_makes_way(self) -> None:
        for connection, host in enumerate([ELSEWHERE, THERE]):
            self.scene.apply(1, connection, A, host)
        self.scene.answer(0, 1, LIVE_SECONDS)
        self.assertEqual(self.first.dismissed[1][0], "replaced")
        self.assertEqual(list(self.second.dismissed), [0])
        self.assertEqual(self.second.admitted, {})
        self.scene.end(0, 1, "replaced")
        self.assertEqual(list(self.second.admitted), [1])

    def test_one_that_ends_before_it_has_answered_makes_way(self) -> None:
        for connection, host in enumerate([ELSEWHERE, THERE]):
            self.scene.apply(1, connection, A, host)
        self.scene.end(0, 1)
        self.assertEqual(list(self.second.admitted), [1])
        self.assertEqual(self.second.dismissed[0][0], "id_taken")
        self.scene.answer(0, 1, 0.0)
        self.assertEqual(self.connected().address, "10.0.0.8:2")

    def test_with_its_process_goes_its_claim(self) -> None:
        self.scene.apply(1, 0, A, THERE)
        self.scene.table.server_lost(self.first)
        self.assertEqual(list(self.second.admitted), [0])

    def test_a_newcomer_that_leaves_meanwhile_is_forgotten(self) -> None:
        self.scene.apply(1, 0, A, THERE)
        self.scene.apply(1, 1, A, THERE)
        self.scene.end(1, 1)
        self.scene.end(1, 0)
        self.scene.answer(0, 1, 99.0)
        self.assertEqual((self.first.dismissed, self.second.dismissed), ({}, {}))
        self.scene.apply(1, 2, A, THERE)
        self.assertEqual(self.first.challenged, [1, 1])

    def test_one_from_the_same_address_goes_first(self) -> None:
        self.scene.apply(1, 0, A, THERE)
        self.scene.apply(1, 1, A, HERE)
        self.scene.apply(1, 2, A, THERE)  # what waits has just introduced itself, so it is live
        self.assertEqual(list(self.second.dismissed), [2])
        self.scene.answer(0, 1, 99.0)
        self.assertEqual(list(self.second.dismissed), [2, 0])
        self.scene.end(0, 1, "replaced")
        self.assertEqual(list(self.second.admitted), [1])

    def test_whoever_has_an_ipv6_address_has_the_network(self) -> None:
        self.scene.apply(0, 2, B, "2001:db8::1")
        self.scene.apply(1, 0, B, "2001:db8::2")
        self.scene.apply(1, 1, B, "2001:db8:0:1::2")
        self.assertEqual(list(self.first.dismissed), [2])
        self.assertEqual(list(self.second.dismissed), [1])

    def test_the_newest_wins_from_any_address_where_that_is_asked_for(self) -> None:
        scene = Scene(takeover_any=True)
        scene.apply(0, 1, A)
        scene.apply(1, 0, A, THERE)
        self.assertEqual(scene.processes[0].dismissed[1][0], "replaced")
        self.assertEqual(scene.processes[0].challenged, [])


class AnythingTests(SynchronousTestCase):
    @examples(300)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 1),
                st.sampled_from([A, B, C, "dd" * 32, "ee" * 32]),
                st.sampled_from([HERE, THERE]),
            )
            | st.tuples(st.just("end"), st.integers(0, 30), st.none())
            | st.tuples(st.just("answer"), st.integers(0, 30), st.sampled_from([0.0, 20.0]))
            | st.tuples(st.just("lost"), st.integers(0, 1), st.none()),
            max_size=60,
        )
    )
    def test_whatever_comes_a_node_has_one_connection_and_none_waits_for_nothing(
        self,
        steps: list[tuple[int | str, int | str, float | str | None]],
    ) -> None:
        """Connections end some time after they were dismissed, or by themselves, or with a process.

        What was asked may be answered at any time, or never.
        """
        scene = Scene()
        open_connections: dict[tuple[int, int], str] = {}
        for number, (what, which, more) in enumerate(steps):
            if what == "end":
                if open_connections:
                    key = list(open_connections)[int(which) % len(open_connections)]
                    del open_connections[key]
                    scene.end(*key)
            elif what == "answer":
                asked = [(p, c) for p in (0, 1) for c in scene.processes[p].challenged]
                if asked:
                    process, connection = asked[int(which) % len(asked)]
                    scene.processes[process].challenged.remove(connection)
                    scene.answer(process, connection, float(more or 0.0))
            elif what == "lost":
                scene.table.server_lost(scene.processes[int(which)])
                scene.processes[int(which)].challenged.clear()
                open_connections = {
                    key: node_id for key, node_id in open_connections.items() if key[0] != which
                }
            else:
                open_connections[int(what), number] = str(which)
                scene.apply(int(what), number, str(which), str(more))
            self.check(scene, open_connections)
        for process in (0, 1):
            for connection in scene.processes[process].challenged[:]:
                scene.answer(process, connection, 0.0)
        for process, connection in list(open_connections):
            if connection in scene.processes[process].dismissed:
                scene.end(process, connection)
                del open_connections[process, connection]
        for (process, connection), node_id in open_connections.items():
            held = scene.table.get(node_id)
            assert held is not None
            assert (held.server, held.connection) == (scene.processes[process], connection)
            assert connection in scene.processes[process].admitted

    def check(self, scene: Scene, open_connections: dict[tuple[int, int], str]) -> None:
        assert len(scene.table) <= 3
        assert sorted(scene.watcher.handles.values()) == sorted(
            node.node_id for node in scene.table
        )
        for node in scene.table:
            key = (scene.processes.index(node.server), node.connection)
            assert open_connections[key] == node.node_id
            assert scene.table.at_handle(node.handle) is node
            assert node.handle < 3
