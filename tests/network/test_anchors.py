"""Assurances, by anchor and sender."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.bins import bin_of
from telemetry_twisted.jip3.observed import Assurance
from telemetry_twisted.network import anchors
from telemetry_twisted.network.anchors import Assurance as Spreading
from telemetry_twisted.network.networks import network_of
from telemetry_twisted.network.reporters import OFF
from tests.examples import examples
from tests.network.scene import BEGIN, GENESIS, SECOND, Scene

ANCHOR = bytes([9]) * 32
KEY = (network_of(GENESIS), ANCHOR)


def begin(scene: Scene, handle: int, at: int) -> int:
    statement = {"anchor": ANCHOR, "bitfield": [7, 1]}
    return scene.nodes[handle].say(126, at, -1, statement=statement)


def spread(sender: bytes, *receptions: tuple[int, int]) -> Assurance:
    return Assurance(0, ANCHOR, sender, tuple((handle, BEGIN + at) for handle, at in receptions))


def anchor_of(scene: Scene) -> anchors.Anchor:
    found = scene.networks.anchors.get(KEY)
    assert found is not None
    found.fold()
    return found


def test_an_assurance_spreads() -> None:
    scene = Scene()
    sender = scene.node(1)
    for handle in (2, 3, 4):
        scene.node(handle)
    scene.node(5, behind=SECOND)
    scene.node(6, behind=10 * SECOND)
    root = begin(scene, 1, 1000)
    sender.say(129, 9000, root, distributing_id=root)
    # The fifth has it after 7 ms, by its own clock a second earlier.
    told = spread(sender.key, (2, 3000), (3, 5000), (4, 7000), (5, 8000 - SECOND), (6, 0))
    scene.pass_on((told,))
    found = anchor_of(scene).senders[sender.key]
    assert (found.began, found.ended) == (BEGIN + 1000, BEGIN + 9000)
    assert (found.assured, found.cores) == (4, 16)
    assert (found.receptions, found.off_clock) == (5, 1)
    assert found.reported == {bin_of(d): 1 for d in (0, 2000, 4000, 6000)}
    assert found.corrected == {bin_of(d): 1 for d in (2000, 4000, 6000, 7000)}


def test_the_end_of_what_its_node_dropped_is_not_lost_here() -> None:
    scene = Scene()
    scene.node(1).say(129, 1, distributing_id=7)
    scene.pass_on()
    assert not scene.lost


def test_receptions_may_come_first() -> None:
    scene = Scene()
    sender = scene.node(1)
    scene.node(2)
    scene.pass_on((spread(sender.key, (2, 3000)),))
    assert not anchor_of(scene).senders[sender.key].reported
    begin(scene, 1, 1000)
    scene.pass_on()
    found = anchor_of(scene).senders[sender.key]
    assert found.reported == found.corrected == {bin_of(2000): 1}


def test_a_sender_that_begins_anew_has_begun_before() -> None:
    scene = Scene()
    sender = scene.node(1)
    for handle in (2, 3):
        scene.node(handle)
    begin(scene, 1, 1000)
    scene.pass_on((spread(sender.key, (2, 3000)),))
    root = begin(scene, 1, 8000)
    sender.say(129, 9000, root, distributing_id=root)
    scene.pass_on((spread(sender.key, (3, 4000)),))
    found = anchor_of(scene).senders[sender.key]
    assert (found.began, found.ended) == (BEGIN + 1000, BEGIN + 9000)
    assert found.reported == found.corrected == {bin_of(2000): 1, bin_of(3000): 1}


def test_delays_of_a_sender_that_reports_nothing_are_from_its_first_reception() -> None:
    scene = Scene()
    for handle in (2, 3):
        scene.node(handle, behind=(handle - 2) * SECOND)
    sender = bytes([77]) * 32
    scene.pass_on((spread(sender, (2, 3000), (3, 5000 - SECOND)),))
    scene.settle(anchors.QUIET_SECONDS + 1)
    found = anchor_of(scene).senders[sender]
    assert found.began is None
    assert found.reported == {0: 1, bin_of(SECOND - 2000): 1}
    assert found.corrected == {0: 1, bin_of(2000): 1}


def test_anchors_of_networks_do_not_mix() -> None:
    scene = Scene()
    scene.node(2)
    other = bytes([8]) * 32
    sender = bytes([77]) * 32
    both = (spread(sender, (2, 0)), spread(sender, (2, 0))._replace(network=1))
    scene.pass_on(both, genesis=(GENESIS, other))
    assert len(scene.networks.anchors) == 2


@examples(50)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 10**8), st.sampled_from([0, 5, -(10**6), OFF]))),
        max_size=9,
    ),
    st.integers(0, 9),
    st.sampled_from([0, 700, OFF]),
)
def test_bins_are_the_same_whenever_the_sender_says_that_it_began(
    told: list[list[tuple[int, int]]], when: int, offset: int
) -> None:
    spreading = Spreading()
    for number, receptions in enumerate(told):
        if number == when:
            spreading.begin(10**6, offset)
        spreading.receive(receptions)
    if when >= len(told):
        spreading.begin(10**6, offset)
    spreading.fold()
    usable = [each for receptions in told for each in receptions if each[1] != OFF]
    bins = [bin_of(max(time - 10**6, 0)) for time, _ in usable]
    assert sorted(spreading.reported.elements()) == sorted(bins)
    moved = [bin_of(max(time + its - 10**6 - offset, 0)) for time, its in usable]
    assert sorted(spreading.corrected.elements()) == ([] if offset == OFF else sorted(moved))
    assert spreading.receptions == sum(map(len, told))


def test_an_anchor_has_together_what_its_senders_have() -> None:
    scene = Scene()
    begun, other = scene.node(1).key, bytes([77]) * 32
    for handle in (2, 3):
        scene.node(handle)
    begin(scene, 1, 0)
    for at in (1000, 2000, 900_000):
        scene.pass_on((spread(begun, (2, at), (3, at)), spread(other, (1, at))))
    scene.settle(anchors.QUIET_SECONDS + 1)
    anchor = anchor_of(scene)
    again = anchors.load_anchor(anchors.dump_anchor(anchor), anchor.first, anchor.last)
    for which in (anchor, again):
        senders = which.senders.values()
        assert sum((each.reported for each in senders), Counter()) == which.together.reported
        assert sum((each.corrected for each in senders), Counter()) == which.together.corrected
        assert which.together.reported.total() == which.together.corrected.total() == 9
