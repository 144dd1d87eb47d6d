"""A little of everything that networks do, as a store process is told of it."""

from __future__ import annotations

from typing import Any

from telemetry_twisted.jip3.observed import Assurance, Clock, Fetch
from tests.network.scene import BEGIN, HASH, SECOND, SLOT_NOW, Node, Scene, outline, package
from tests.store.conftest import NOW, Feed, genesis

PACKAGE, FAILED, STUCK = (f"0x{number:064x}" for number in (0xF1, 0xF2, 0xF3))
REPORT, ROOT = "0x" + 64 * "2", "0x" + 64 * "3"
OTHER = "0x" + 64 * "b"
ANCHOR = bytes([9]) * 32
FIRST_SLOT = SLOT_NOW

_EXEC = {"gas_used": 1, "elapsed_ns": 2}
_COST = {"total": _EXEC, "load_ns": 3, "host_call": _EXEC}


def tell(feed: Feed) -> Scene:
    """Four nodes of one network and one of another tell what they do in twenty seconds.

    The clock of the second is two seconds behind, that of the fourth ten.
    """
    scene = Scene()
    for handle, behind in ((1, 0), (2, 2 * SECOND), (3, 0), (4, 10 * SECOND), (5, 0)):
        scene.node(handle, behind=behind)
        feed.connect(handle, NOW - 1, cores=16, genesis=genesis(handle // 5))
    nodes = [scene.nodes[handle] for handle in range(1, 5)]
    _author(nodes[0], 100_000, FIRST_SLOT)
    for number, node in enumerate(nodes[1:], 1):
        _import(node, 100_000 * (number + 1), FIRST_SLOT)
        _import(node, 6 * SECOND, FIRST_SLOT + 1, OTHER if number == 2 else HASH)
        _import(node, 18 * SECOND, FIRST_SLOT + 3)
    nodes[0].say(12, 19 * SECOND, slot=FIRST_SLOT, hash=HASH)
    _import(scene.nodes[5], 7 * SECOND, FIRST_SLOT + 1)
    _packages(nodes)
    _guarantees(nodes)
    statement = {"anchor": ANCHOR, "bitfield": [7, 1]}
    root = nodes[0].say(126, 7 * SECOND, -1, statement=statement)
    nodes[0].say(129, 7 * SECOND + 9000, root, distributing_id=root)
    handles = sorted(scene.nodes)
    clocks = [Clock(h, scene.nodes[h].behind, scene.nodes[h].behind + 500) for h in handles]
    receipts = ((2, BEGIN + 5 * SECOND + 20_000), (3, BEGIN + 7 * SECOND + 40_000), (4, BEGIN))
    feed.observed(
        NOW + 20,
        networks=(bytes.fromhex(genesis(0)[2:]), bytes.fromhex(genesis(1)[2:])),
        clocks=tuple(clocks),
        sightings=tuple(sorted(scene.sightings, key=lambda each: each.arrived)),
        assurances=(Assurance(0, ANCHOR, nodes[0].key, receipts),),
        fetches=(
            Fetch(0, 120, bytes.fromhex(ROOT[2:]), 4, 1, BEGIN, BEGIN + SECOND, 20_000, 9000),
        ),
    )
    return scene


def _author(node: Node, at: int, slot: int) -> None:
    root = node.say(40, at, -1, slot=slot, parent=OTHER)
    node.say(42, at + 10_000, root, authoring_id=root, outline=outline(num_guarantees=3))
    node.say(47, at + 20_000, root, authoring_or_importing_id=root, accumulate_costs=[])
    node.say(11, at + 20_000, slot=slot, hash=HASH)


def _import(node: Node, at: int, slot: int, hash: str = HASH) -> None:
    peer: dict[str, Any] = {"peer": HASH, "announcer": "Remote"}
    if slot == FIRST_SLOT + 3:
        hash = f"0x{slot:064x}"
    elif slot == FIRST_SLOT + 1 and hash == HASH:
        hash = f"0x{ANCHOR.hex()}"
    node.say(62, at, slot=slot, hash=hash, **peer)
    root = node.say(43, at + 10_000, -1, slot=slot, outline=outline(hash))
    node.say(45, at + 20_000, root, importing_id=root)
    node.say(47, at + 30_000, root, authoring_or_importing_id=root, accumulate_costs=[])
    node.say(11, at + 40_000, slot=slot, hash=hash)


def _submit(node: Node, at: int, hash: str, core: int, service: int) -> int:
    top = node.say(90, at, -1, builder=HASH, bundle=False)
    told = package(hash, (service,))
    node.say(94, at + 1000, top, submission_or_share_id=top, core=core, outline=told)
    return top


def _packages(nodes: list[Node]) -> None:
    first, second = nodes[:2]
    top = _submit(first, SECOND, PACKAGE, 5, 7)
    said: dict[str, Any] = {"submission_or_share_id": top}
    first.say(95, SECOND + 2000, top, **said, cost=_COST)
    first.say(97, SECOND + 2500, top, **said)
    share = second.say(91, SECOND + 2600, -1, primary="0x" + 64 * "4")
    theirs: dict[str, Any] = {"submission_or_share_id": share}
    second.say(94, SECOND + 2700, share, **theirs, core=5, outline=package(PACKAGE))
    first.say(101, SECOND + 3000, top, **said, costs=[])
    report = {
        "work_report_hash": REPORT,
        "bundle_size": 9,
        "erasure_root": ROOT,
        "segments_root": HASH,
    }
    first.say(102, SECOND + 4000, top, **said, outline=report)
    second.say(103, SECOND + 4500, share, share_id=share)
    told = {"work_report_hash": REPORT, "slot": FIRST_SLOT, "guarantors": [1, 2]}
    first.say(105, SECOND + 5000, top, submission_id=top, outline=told)
    first.say(109, SECOND + 9000, top, submission_id=top)
    failed = _submit(second, 2 * SECOND, FAILED, 6, 8)
    second.say(92, 2 * SECOND + 5000, failed, submission_or_share_id=failed, reason="no anchor")
    _submit(nodes[2], 3 * SECOND, STUCK, 5, 9)


def _guarantees(nodes: list[Node]) -> None:
    told = {"work_report_hash": REPORT, "slot": FIRST_SLOT, "guarantors": [1, 2]}
    for number, node in enumerate(nodes[1:], 1):
        root = node.say(110, SECOND, -1, sender=HASH)
        at = SECOND + 10_000 * number
        node.say(112, at, root, receiving_id=root, outline=told)
    nodes[1].say(113, SECOND + 90_000, outline=told, reason="TooManyGuarantees")
