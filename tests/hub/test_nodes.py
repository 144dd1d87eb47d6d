"""The node table: who may stay, who has to go, and who comes next."""

from __future__ import annotations

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry_twisted.hub.nodes import Node, NodeTable

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32


@define(eq=False)
class Process:
    """Notes whom it was told to admit and to dismiss, by connection."""

    admitted: dict[int, tuple[int, int]] = field(factory=dict)
    dismissed: dict[int, tuple[str, str]] = field(factory=dict)

    def admit(self, connection: int, slot: int, after_id: int) -> None:
        assert connection not in self.admitted
        self.admitted[connection] = slot, after_id

    def dismiss(self, connection: int, kind: str, reason: str) -> None:
        self.dismissed[connection] = kind, reason


@define
class Watcher:
    """Notes who came, went and was refused, and checks that slots are not shared."""

    last_id: int = 0
    news: list[tuple[str, str]] = field(factory=list)
    slots: dict[int, str] = field(factory=dict)

    def node_connected(self, node: Node) -> None:
        assert node.slot not in self.slots
        self.slots[node.slot] = node.node_id
        self.news.append(("connected", node.node_id))

    def node_gone(self, node: Node, kind: str, reason: str) -> None:
        assert self.slots.pop(node.slot) == node.node_id
        self.news.append((kind, node.node_id))

    def node_refused(self, node_id: str, reason: str) -> None:
        self.news.append(("refused", node_id))


class Scene:
    """A table for three nodes, and two processes."""

    def __init__(self) -> None:
        self.watcher = Watcher()
        self.table = NodeTable(3, self.watcher, lambda: 5.0)
        self.processes = Process(), Process()

    def apply(self, process: int, connection: int, node_id: str) -> None:
        server = self.processes[process]
        self.table.apply(server, connection, node_id, "10.0.0.7:1", {"flags": 0})

    def end(self, process: int, connection: int, kind: str = "left") -> None:
        self.table.ended(self.processes[process], connection, kind, "because")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_node_is_admitted_with_ids_above_those_that_were_given(scene: Scene) -> None:
    scene.watcher.last_id = 41
    scene.apply(0, 1, A)
    assert scene.processes[0].admitted == {1: (0, 41)}
    node = scene.table.get(A)
    assert node is not None
    assert (node.address, node.connected, node.info) == ("10.0.0.7:1", 5.0, {"flags": 0})
    assert scene.table.at_slot(0) is node
    assert list(scene.table) == [node]
    assert len(scene.table) == 1


def test_a_node_that_left_is_gone_and_its_slot_is_used_again(scene: Scene) -> None:
    for connection, node_id in enumerate([A, B]):
        scene.apply(0, connection, node_id)
    scene.end(0, 0)
    assert scene.table.get(A) is None
    assert scene.table.at_slot(0) is None
    scene.apply(1, 7, C)
    assert scene.processes[1].admitted[7][0] == 0
    assert scene.watcher.news == [
        *(("connected", A), ("connected", B), ("left", A), ("connected", C))
    ]


def test_one_too_many_is_refused(scene: Scene) -> None:
    for connection in range(4):
        scene.apply(0, connection, f"{connection:064x}")
    kind, reason = scene.processes[0].dismissed[3]
    assert kind == "refused"
    assert "3 nodes are connected" in reason
    assert scene.watcher.news[-1] == ("refused", f"{3:064x}")
    scene.end(0, 3, "refused")
    assert len(scene.table) == 3
    scene.end(0, 0)
    scene.apply(0, 4, A)
    assert 4 in scene.processes[0].admitted


def test_the_newest_connection_wins_once_the_older_one_has_ended(scene: Scene) -> None:
    scene.apply(0, 1, A)
    scene.apply(1, 1, A)
    assert scene.processes[0].dismissed[1][0] == "replaced"
    assert scene.processes[1].admitted == {}
    scene.watcher.last_id = 99
    scene.end(0, 1, "replaced")
    assert scene.processes[1].admitted == {1: (0, 99)}
    assert scene.watcher.news == [("connected", A), ("replaced", A), ("connected", A)]


def test_it_wins_also_where_there_is_no_room_for_another(scene: Scene) -> None:
    for connection, node_id in enumerate([A, B, C]):
        scene.apply(0, connection, node_id)
    scene.apply(0, 9, A)
    scene.end(0, 0, "replaced")
    assert 9 in scene.processes[0].admitted
    assert len(scene.table) == 3


def test_of_many_that_wait_the_newest_is_next(scene: Scene) -> None:
    for connection in range(1, 5):
        scene.apply(0, connection, A)
    assert list(scene.processes[0].dismissed) == [1, 2, 3]
    scene.end(0, 2, "replaced")
    scene.end(0, 3, "replaced")
    scene.end(0, 1, "replaced")
    assert list(scene.processes[0].admitted) == [1, 4]
    assert len(scene.table) == 1


def test_one_that_leaves_while_it_waits_is_forgotten(scene: Scene) -> None:
    scene.apply(0, 1, A)
    scene.apply(1, 1, A)
    scene.end(1, 1)
    scene.end(0, 1, "replaced")
    assert scene.processes[1].admitted == {}
    assert len(scene.table) == 0


def test_a_connection_that_never_introduced_itself_may_end(scene: Scene) -> None:
    scene.end(0, 77, "no_information")
    assert scene.watcher.news == []


def test_with_a_process_go_its_nodes_and_those_that_wait_there(scene: Scene) -> None:
    scene.apply(0, 1, A)
    scene.apply(0, 2, B)
    scene.apply(1, 1, C)
    scene.apply(1, 2, A)
    scene.apply(0, 3, C)
    scene.table.server_lost(scene.processes[0])
    assert scene.table.get(B) is None
    assert scene.processes[1].admitted[2] == (0, 0)
    assert {node.node_id for node in scene.table} == {A, C}
    scene.end(1, 1, "replaced")
    assert {node.node_id for node in scene.table} == {A}
    assert 3 not in scene.processes[0].admitted


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([A, B, C, "dd" * 32, "ee" * 32]))
        | st.tuples(st.just("end"), st.integers(0, 30))
        | st.tuples(st.just("lost"), st.integers(0, 1)),
        max_size=60,
    )
)
def test_whatever_comes_a_node_has_one_connection_and_none_waits_for_nothing(
    steps: list[tuple[int | str, int | str]],
) -> None:
    """Connections end some time after they were dismissed, or by themselves, or with a process."""
    scene = Scene()
    open_connections: dict[tuple[int, int], str] = {}
    for number, (what, which) in enumerate(steps):
        if what == "end":
            if open_connections:
                key = list(open_connections)[int(which) % len(open_connections)]
                del open_connections[key]
                scene.end(*key)
        elif what == "lost":
            scene.table.server_lost(scene.processes[int(which)])
            open_connections = {
                key: node_id for key, node_id in open_connections.items() if key[0] != which
            }
        else:
            open_connections[int(what), number] = str(which)
            scene.apply(int(what), number, str(which))
        assert len(scene.table) <= 3
        assert sorted(scene.watcher.slots.values()) == sorted(node.node_id for node in scene.table)
        for node in scene.table:
            key = (scene.processes.index(node.server), node.connection)
            assert open_connections[key] == node.node_id
            assert scene.table.at_slot(node.slot) is node
            assert node.slot < 3
    for process, connection in list(open_connections):
        if connection in scene.processes[process].dismissed:
            scene.end(process, connection)
            del open_connections[process, connection]
    for (process, connection), node_id in open_connections.items():
        held = scene.table.get(node_id)
        assert held is not None
        assert (held.server, held.connection) == (scene.processes[process], connection)
        assert connection in scene.processes[process].admitted
