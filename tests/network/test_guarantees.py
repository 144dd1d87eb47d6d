"""Guarantees, as they are built and travel."""

from __future__ import annotations

from telemetry_twisted.network import guarantees
from telemetry_twisted.network.networks import network_of
from tests.network.scene import GENESIS, SECOND, Node, Scene

REPORT = "0x" + 64 * "2"
KEY = (network_of(GENESIS), bytes.fromhex(REPORT[2:]))


def outline(guarantors: tuple[int, ...] = (3, 900)) -> dict[str, object]:
    return {"work_report_hash": REPORT, "slot": 77, "guarantors": [*guarantors]}


def build(node: Node, at: int) -> None:
    top = node.say(90, at, -1, builder=REPORT, bundle=False)
    node.say(105, at, top, submission_id=top, outline=outline())


def receive(node: Node, at: int) -> None:
    root = node.say(110, at, -1, sender=REPORT)
    node.say(112, at, root, receiving_id=root, outline=outline())


def guarantee_of(scene: Scene) -> guarantees.Guarantee:
    found = scene.networks.guarantees.get(KEY)
    assert found is not None
    return found


def test_a_guarantee_travels() -> None:
    scene = Scene()
    builder = scene.node(1, behind=SECOND)
    build(builder, 0)
    for handle in range(2, 12):
        receive(scene.node(handle), 1000 * handle)
        receive(scene.nodes[handle], 2000 * handle)
    discard = scene.nodes[5].say
    discard(113, 50_000, outline=outline((3, 900, 4)), reason="TooManyGuarantees")
    discard(113, 60_000, outline=outline(), reason="ReplacedByBetter")
    scene.pass_on()
    found = guarantee_of(scene)
    assert (found.slot, found.guarantors) == (77, (3, 900, 4))
    ((node, (built, offset)),) = found.built.items()
    assert node == builder.origin.node_id
    delays = found.received.delays()
    assert delays.reported is not None
    assert delays.reported.first == built + offset + 2000
    assert (delays.nodes, found.receptions) == (10, 20)
    assert delays.reported[1:] == (4000, 9000, 9000, 9000)
    assert found.discards == {"TooManyGuarantees": 1, "ReplacedByBetter": 1}


def test_receptions_may_come_before_it_is_built() -> None:
    scene = Scene()
    receive(scene.node(2), 5)
    scene.pass_on()
    assert guarantee_of(scene).slot == 77
    build(scene.node(1), 0)
    scene.pass_on()
    assert list(guarantee_of(scene).built) == ["01" * 32]


def test_a_guarantee_is_final_once_it_is_quiet() -> None:
    scene = Scene()
    receive(scene.node(2), 5)
    scene.pass_on()
    source = scene.networks.guarantees
    source.written(source.take())
    scene.settle(guarantees.QUIET_SECONDS + 2)
    source.written(source.take())
    scene.settle(0)
    assert len(source) == 0
    receive(scene.nodes[2], 5)
    scene.pass_on()
    assert scene.lost == {"late_guarantees": 1}


def test_a_count_of_guarantors_that_is_too_large_is_passed_over() -> None:
    scene = Scene()
    receive(scene.node(2), 5)
    scene.sightings[-1] = scene.sightings[-1]._replace(content=scene.sightings[-1].content[:-2])
    scene.pass_on()
    assert scene.lost == {"sightings": 1}
