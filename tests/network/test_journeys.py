"""Journeys of work packages."""

from __future__ import annotations

from typing import Any

import pytest

from telemetry_twisted.network import journey as journeys
from telemetry_twisted.network.journey import Journey
from telemetry_twisted.network.networks import network_of
from tests.network.scene import GENESIS, HASH, Node, Scene, package

PACKAGE = "0x" + 64 * "1"
REPORT, ROOT = "0x" + 64 * "2", "0x" + 64 * "3"
EXEC = {"gas_used": 1, "elapsed_ns": 2}
COST = {"total": EXEC, "load_ns": 3, "host_call": EXEC}
KEY = (network_of(GENESIS), bytes.fromhex(PACKAGE[2:]))


def receive(node: Node, at: int, hash: str = PACKAGE) -> int:
    """A package is submitted to ``node``, which receives it."""
    top = node.say(90, at, -1, builder=HASH, bundle=False)
    node.say(94, at + 1000, top, submission_or_share_id=top, core=5, outline=package(hash))
    return top


def refine(node: Node, at: int, top: int) -> None:
    """Authorize and refine it, and build its report."""
    said: dict[str, Any] = {"submission_or_share_id": top}
    node.say(95, at + 2000, top, **said, cost=COST)
    node.say(97, at + 2500, top, **said)
    node.say(101, at + 3000, top, **said, costs=[])
    report = {
        "work_report_hash": REPORT,
        "bundle_size": 9,
        "erasure_root": ROOT,
        "segments_root": HASH,
    }
    node.say(102, at + 4000, top, **said, outline=report)


def guarantee(node: Node, at: int, top: int, recipients: int = 2) -> None:
    """Build a guarantee and send it to others."""
    outline = {"work_report_hash": REPORT, "slot": 77, "guarantors": [1, 2]}
    built = node.say(105, at + 5000, top, submission_id=top, outline=outline)
    for number in range(recipients):
        sending = node.say(
            106, at + 6000 + number, top, -1, built_id=built, recipient=f"0x{number:064x}"
        )
        node.say(108, at + 7000 + number, top, sending, sending_id=sending)
    node.say(109, at + 9000, top, submission_id=top)


def share(node: Node, at: int) -> None:
    """Take part in the package of another."""
    top = node.say(91, at, -1, primary="0x" + 64 * "4")
    node.say(94, at + 100, top, submission_or_share_id=top, core=5, outline=package(PACKAGE))
    refine(node, at, top)
    node.say(103, at + 8000, top, share_id=top)


def journey_of(scene: Scene, key: tuple[str, bytes] = KEY) -> Journey:
    found = scene.networks.journeys.get(key)
    assert found is not None
    return found


def test_a_journey_is_over_all_its_guarantors() -> None:
    scene = Scene()
    first, second = scene.node(1), scene.node(2)
    top = receive(first, 0)
    refine(first, 0, top)
    guarantee(first, 0, top)
    share(second, 1500)
    scene.pass_on()
    assert len(scene.networks.journeys) == 1
    journey = journey_of(scene)
    assert journey.outcome == "distributed"
    assert journey.stages == 0b1111111
    assert (journey.core, journey.services, journey.slot) == (5, [7], 77)
    assert journey.report == bytes.fromhex(REPORT[2:])
    assert journey.erasure_root == bytes.fromhex(ROOT[2:])
    assert journey.builder == bytes.fromhex(HASH[2:])
    told = [each for each in journey.told() if each.node == 0]
    kinds = [90, 94, 95, 97, 101, 102, 105, 106, 108, 106, 108, 109]
    assert sorted(kinds) == sorted(each.type for each in told)
    assert [each.event_id for each in told] == list(range(12))
    assert [each.type for each in journey.told() if each.node == 1] == [
        *(91, 94, 95, 97, 101, 102, 103)
    ]
    assert journey.notes == ["0" * 64, "0" * 63 + "1", "4" * 64]
    assert not scene.lost


def test_a_package_is_one_journey_whoever_has_it_and_whenever_its_hash_is_told() -> None:
    scene = Scene()
    first, second = scene.node(1), scene.node(2)
    top = first.say(90, 0, -1, builder=HASH, bundle=True)
    other = second.say(90, 10, -1, builder=HASH, bundle=False)
    scene.pass_on()
    assert len(scene.networks.journeys) == 2
    source = scene.networks.journeys
    source.written(source.take())  # the database has both under names that do not last
    receive_again = package(PACKAGE)
    first.say(94, 20, top, submission_or_share_id=top, core=5, outline=receive_again)
    second.say(93, 30, other, submission_or_share_id=other, core=5, hash=PACKAGE)
    scene.pass_on()
    taken = dict(source.take())
    assert [each.outcome for each in taken.values()].count("named") == 2
    journey = taken[KEY]
    assert [part.outcome for part in journey.parts] == ["", "duplicate"]
    assert [each.type for each in journey.told()] == [90, 94, 90, 93]
    assert journey.outcome is None
    source.written([])
    scene.settle(1)
    assert len(source) == 1


@pytest.mark.parametrize("kind", [92, 93])
def test_what_fails_or_is_there_already(kind: int) -> None:
    scene = Scene()
    node = scene.node(1)
    top = node.say(90, 0, -1, builder=HASH, bundle=False)
    if kind == 93:
        node.say(93, 1, top, submission_or_share_id=top, core=5, hash=PACKAGE)
    else:
        node.say(94, 1, top, submission_or_share_id=top, core=5, outline=package(PACKAGE))
        node.say(92, 2, top, submission_or_share_id=top, reason="no \0 anchor")
    scene.pass_on()
    journey = journey_of(scene)
    assert journey.outcome == ("duplicate" if kind == 93 else "failed")
    assert journey.reason == (None if kind == 93 else "no \ufffd anchor")


def test_a_package_that_fails_before_its_hash_is_known_is_a_journey_without_a_name() -> None:
    scene = Scene()
    node = scene.node(1)
    top = node.say(90, 0, -1, builder=HASH, bundle=False)
    node.say(92, 2, top, submission_or_share_id=top, reason="too large")
    scene.pass_on()
    (journey,) = scene.networks.journeys.values()
    assert (journey.outcome, journey.stages) == ("failed", 0)


def test_one_success_is_enough() -> None:
    scene = Scene()
    first, second = scene.node(1), scene.node(2)
    top = receive(first, 0)
    first.say(92, 5, top, submission_or_share_id=top, reason="why")
    other = receive(second, 10)
    scene.pass_on()
    assert journey_of(scene).outcome is None
    refine(second, 10, other)
    guarantee(second, 10, other)
    scene.pass_on()
    assert journey_of(scene).outcome == "distributed"


def test_a_journey_that_ended_is_closed_soon_and_one_that_did_not_late() -> None:
    scene = Scene()
    first, second = scene.node(1), scene.node(2)
    top = receive(first, 0)
    refine(first, 0, top)
    guarantee(first, 0, top)
    receive(second, 0, "0x" + 64 * "9")
    scene.pass_on()
    source = scene.networks.journeys
    source.written(source.take())
    scene.settle(journeys.LINGER_SECONDS + 2)
    ((key, ended),) = source.take()
    assert (key, ended.outcome) == (KEY, "distributed")
    source.written([])
    scene.settle(journeys.QUIET_SECONDS)
    ((_, stuck),) = source.take()
    assert stuck.outcome == "unfinished"
    # What comes for them yet is counted.
    first.say(104, 10, top, submission_id=top, secondary=HASH)
    scene.pass_on()
    assert scene.lost == {"journey_sightings": 1}


def test_a_connection_that_ends_leaves_its_journeys_unfinished() -> None:
    scene = Scene()
    node = scene.node(1)
    receive(node, 0)
    scene.pass_on()
    scene.networks.gone((node.origin.node_id, node.origin.connection), scene.now)
    assert journey_of(scene).outcome == "unfinished"


def test_events_of_a_journey_are_bounded_and_sends_do_not_push_out_others() -> None:
    scene = Scene()
    node = scene.node(1)
    top = receive(node, 0)
    refine(node, 0, top)
    guarantee(node, 0, top, recipients=600)
    scene.pass_on()
    journey = journey_of(scene)
    told = [each.type for each in journey.told()]
    assert told[-1] == 109
    assert told.count(106) + told.count(108) == journeys.MOST_SENDS
    assert journey.left_out == 1200 - journeys.MOST_SENDS


def test_networks_do_not_mix() -> None:
    scene = Scene()
    other = bytes([8]) * 32
    receive(scene.node(1), 0)
    receive(scene.node(2, other), 0)
    scene.pass_on()
    assert len(scene.networks.journeys) == 2
    for genesis in (GENESIS, other):
        assert len(journey_of(scene, (network_of(genesis), KEY[1])).parts) == 1
