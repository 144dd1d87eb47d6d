"""When what goes on in networks is over: by when things were heard, not by when they are taken."""

from __future__ import annotations

from collections import Counter

from telemetry_twisted.network.guarantees import OPEN_SECONDS, QUIET_SECONDS
from telemetry_twisted.store.schema.network_tables import THINGS
from telemetry_twisted.store.write.taking_over import TakenOver
from telemetry_twisted.store.write.understood import CATCH_UP_SECONDS, Understood
from tests.network.scene import BEGIN, SECOND, Scene
from tests.network.test_guarantees import receive

NOBODY = TakenOver({table.name: [] for table in THINGS}, {t.name: [] for t in THINGS}, {})
START = BEGIN / SECOND


class Store:
    """What a store process understands, which begins so many seconds after what it takes."""

    def __init__(self, late: float) -> None:
        self.lost: Counter[str] = Counter()
        self.understood = Understood(self.lost)
        self.understood.begin(NOBODY, BEGIN)
        self.scene = Scene()
        self.node = self.scene.node(1)
        self.now = START + late

    def heard(self, at: float) -> None:
        """Take that a guarantee was received ``at`` so many seconds after the beginning."""
        receive(self.node, int(at * SECOND))
        self.heard_nothing(at)

    def heard_nothing(self, at: float) -> None:
        """Take what was observed in the second before that."""
        self.scene.now = BEGIN + int(at * SECOND)
        self.understood.take(self.scene.observed(), 1000, self.scene.origins)

    def pass_by(self, seconds: float) -> None:
        """Let time go by, a second after the other."""
        for _ in range(int(seconds)):
            self.now += 1
            self.understood.settle(self.now)


def test_what_waited_for_a_store_that_hung_is_not_late() -> None:
    store = Store(late=10 * OPEN_SECONDS)
    for at in range(5):
        store.heard(at)
        store.pass_by(2)
    assert not store.lost
    assert len(store.understood.networks.guarantees) == 1


def test_what_is_quiet_by_when_it_was_heard_is_over() -> None:
    store = Store(late=0)
    store.heard(0)
    store.pass_by(1)
    store.now += QUIET_SECONDS + 5
    store.heard_nothing(QUIET_SECONDS + 2)
    store.pass_by(1)
    store.heard(QUIET_SECONDS + 3)
    assert store.lost == {"late_guarantees": 1}


def test_it_is_over_as_well_where_nothing_comes_any_more() -> None:
    store = Store(late=0)
    store.heard(0)
    store.pass_by(QUIET_SECONDS + CATCH_UP_SECONDS + 2)
    store.heard(1)
    assert store.lost == {"late_guarantees": 1}


def test_a_thousand_nodes_that_leave_before_the_database_is_there_are_no_loss() -> None:
    lost: Counter[str] = Counter()
    understood = Understood(lost)
    scene = Scene()
    nodes = [scene.node(handle) for handle in range(1, 1025)]
    origins = dict(scene.origins)
    for at, node in enumerate(nodes):
        scene.nodes = {node.handle: node}
        receive(node, at)
        understood.take(scene.observed(), 300, origins)
        understood.gone(node.origin.node_id, node.origin.connection, BEGIN)
        del origins[node.handle]
    understood.begin(NOBODY, BEGIN)
    assert not lost
    (guarantee,) = understood.networks.guarantees.values()
    assert guarantee.receptions == 1024
