"""Slots: authors, contents, stages, forks."""

from __future__ import annotations

from typing import Any

from telemetry_twisted.network import slot as slots
from telemetry_twisted.network.networks import network_of
from telemetry_twisted.network.slots import MOST_NEW_SLOTS, OLD_SLOTS
from tests.network.scene import GENESIS, HASH, SECOND, SLOT_NOW, Node, Scene, outline

KEY = (network_of(GENESIS), SLOT_NOW)
OTHER = "0x" + 64 * "b"


def author(node: Node, at: int, hash: str = HASH) -> None:
    """``node`` makes a block."""
    root = node.say(40, at, -1, slot=SLOT_NOW, parent=OTHER)
    block = outline(hash, num_guarantees=3, num_assurances=2)
    node.say(42, at + 10_000, root, authoring_id=root, outline=block)
    node.say(47, at + 20_000, root, authoring_or_importing_id=root, accumulate_costs=[])


def import_(node: Node, at: int, hash: str = HASH) -> None:
    """``node`` takes a block, in steps of 10 ms."""
    peer: dict[str, Any] = {"peer": HASH, "announcer": "Remote"}
    node.say(62, at, slot=SLOT_NOW, hash=hash, **peer)
    root = node.say(43, at + 10_000, -1, slot=SLOT_NOW, outline=outline(hash))
    node.say(45, at + 20_000, root, importing_id=root)
    node.say(47, at + 30_000, root, authoring_or_importing_id=root, accumulate_costs=[])
    node.say(11, at + 40_000, slot=SLOT_NOW, hash=hash)


def slot_of(scene: Scene) -> slots.Slot:
    found = scene.networks.slots.get(KEY)
    assert found is not None
    return found


def test_a_block_spreads_stage_by_stage() -> None:
    scene = Scene()
    author(scene.node(1), 0)
    for handle in range(2, 12):
        import_(scene.node(handle), 100_000 * handle)
    scene.nodes[3].say(12, 3 * SECOND, slot=SLOT_NOW, hash=HASH)
    scene.pass_on()
    slot = slot_of(scene)
    (block,) = slot.blocks
    assert block.author == scene.nodes[1].origin.node_id
    assert block.parent == bytes.fromhex(OTHER[2:])
    assert block.outline == (2048, 0, 0, 0, 3, 2, 0)
    delays = [spread.delays() for spread in slot.spreads]
    assert [each.nodes for each in delays] == [10, 10, 10, 11, 10, 1]
    announced = delays[slots.ANNOUNCED].reported
    assert announced is not None
    assert announced[1:] == (400_000, 900_000, 900_000, 900_000)
    executed = delays[slots.EXECUTED].reported
    assert executed is not None
    assert block.authored is not None
    assert executed.first == block.authored + 10_000
    assert not scene.lost


def test_skewed_clocks_are_set_right_and_those_off_by_more_than_a_slot_left_out() -> None:
    scene = Scene()
    for handle, behind in ((1, 0), (2, 2 * SECOND), (3, -SECOND), (4, 7 * SECOND)):
        import_(scene.node(handle, behind=behind), 100_000 * handle)
    scene.pass_on()
    delays = slot_of(scene).spreads[slots.BEST].delays()
    assert (delays.nodes, delays.off_clock) == (4, 1)
    assert delays.reported is not None
    assert delays.corrected is not None
    assert delays.corrected[1:] == (100_000, 200_000, 200_000, 200_000)
    assert delays.reported.last == 3 * SECOND + 100_000


def test_forks_are_told_apart() -> None:
    scene = Scene()
    for handle in range(1, 8):
        import_(scene.node(handle), 0, OTHER if handle == 4 else HASH)
    scene.pass_on()
    slot = slot_of(scene)
    assert [block.hash.hex() for block in slot.blocks] == [HASH[2:], OTHER[2:]]
    assert list(slot.of_block[slots.BEST]) == [0, 0, 0, 1, 0, 0, 0]


def test_networks_do_not_mix() -> None:
    scene = Scene()
    other = bytes([8]) * 32
    import_(scene.node(1), 0)
    import_(scene.node(2, other), 0)
    scene.pass_on()
    open_ = scene.networks.slots
    assert len(open_) == 2
    for genesis in (GENESIS, other):
        slot = open_.get((network_of(genesis), SLOT_NOW))
        assert slot is not None
        assert [len(spread) for spread in slot.spreads] == [1, 1, 1, 1, 1, 0]


def test_what_fails_is_counted() -> None:
    scene = Scene()
    node = scene.node(1)
    for kind, more in ((44, {"importing_id": 0}), (46, {"authoring_or_importing_id": 0})):
        root = node.say(43, 0, -1, slot=SLOT_NOW, outline=outline())
        node.say(kind, 1, root, reason="why", **more)
    root = node.say(40, 0, -1, slot=SLOT_NOW, parent=HASH)
    node.say(41, 1, root, authoring_id=root, reason="why")
    scene.pass_on()
    failures = {"verification": 1, "execution": 1, "authoring": 1}
    assert slot_of(scene).failures == failures
    assert slot_of(scene).tried == [node.origin.node_id]


def test_a_slot_is_final_once_it_is_over_and_later_reports_are_counted() -> None:
    scene = Scene()
    import_(scene.node(1), 0)
    scene.pass_on()
    source = scene.networks.slots
    source.written(source.take())
    scene.settle(slots.OPEN_SECONDS + 1)
    ((_, slot),) = source.take()
    assert slot.closed is not None
    scene.node(2).say(11, 0, slot=SLOT_NOW, hash=HASH)
    scene.pass_on()
    assert scene.lost["late_slots"] == 1
    source.written([])
    scene.settle(0)
    assert len(source) == 0
    scene.node(3).say(11, 0, slot=SLOT_NOW, hash=HASH)
    scene.pass_on()
    assert scene.lost["late_slots"] == 2
    assert len(source) == 0


def test_a_node_that_syncs_opens_few_slots_and_no_old_ones() -> None:
    scene = Scene()
    node = scene.node(1)
    node.say(11, 0, slot=SLOT_NOW, hash=HASH)
    for number in range(OLD_SLOTS + 1, OLD_SLOTS + 100):
        node.say(11, 0, slot=SLOT_NOW - number, hash=HASH)
    for number in range(1, MOST_NEW_SLOTS + 50):
        node.say(11, 0, slot=SLOT_NOW - number, hash=HASH)
    scene.pass_on()
    assert len(scene.networks.slots) == MOST_NEW_SLOTS
    assert scene.lost["slot_sightings"] == 99 + 50


def test_slots_ahead_of_the_clock_are_left_out() -> None:
    scene = Scene()
    scene.node(1).say(11, 0, slot=SLOT_NOW + 12, hash=HASH)
    scene.pass_on()
    assert len(scene.networks.slots) == 0


def test_a_chain_ends_with_its_connection() -> None:
    scene = Scene()
    node = scene.node(1)
    root = node.say(43, 0, -1, slot=SLOT_NOW, outline=outline())
    scene.pass_on()
    scene.networks.gone((node.origin.node_id, node.origin.connection), scene.now)
    node.say(45, 1, root, importing_id=root)
    scene.pass_on()
    assert len(slot_of(scene).spreads[slots.VERIFIED]) == 0
    assert scene.lost["slot_sightings"] == 1


def test_what_refers_to_what_its_node_dropped_is_not_lost_here() -> None:
    scene = Scene()
    node = scene.node(1)
    node.say(45, 1, importing_id=7)
    node.say(47, 2, authoring_or_importing_id=7, accumulate_costs=[])
    scene.pass_on()
    assert not scene.lost
