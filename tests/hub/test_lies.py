"""What one of 1,024 nodes says of the chain, against what all others say, on its way to alerts."""

from __future__ import annotations

from typing import Any

import pytest

from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.jip3.moment import ANY_SLOT
from telemetry_twisted.transport import records
from tests.hub.test_alerts import Server
from tests.hub.test_hub import Scene

NODES = 1024
NEWEST = 10_000
"""The last slot that a node may be at, as :class:`~tests.hub.test_alerts.Server` has it."""


def network(honest: int, lie: int) -> list[Node]:
    """Nodes of a hub that all report block ``honest``, but for the first, which reports ``lie``."""
    scene = Scene(NODES)
    for number in range(NODES):
        scene.introduce(0, number, f"{number:064x}")

    def said(slot: int) -> dict[str, Any]:
        block = {"slot": slot, "hash": "0x"}
        return {"cores": 2, "best": block, "finalized": block}

    states = {str(handle): said(honest) for handle in range(1, NODES)}
    scene.receive(0, records.STATE, states)
    scene.receive(0, records.STATE, {"0": said(lie)})
    return list(scene.hub.nodes)


@pytest.mark.parametrize("lie", [ANY_SLOT, NEWEST + 1])
def test_a_slot_that_cannot_be_is_told_of_its_node_and_concerns_no_other(lie: int) -> None:
    server = Server(behind=5, finality=60)
    nodes = network(9_990, lie)
    assert nodes[0].best == {"slot": lie, "hash": "0x"}  # it is shown as what that node says
    liar = f"{0:064x}"
    assert server.at(0, *nodes) == [("ahead", liar)]
    assert server.at(59, *nodes) == [("ahead", liar)]
    # Nor does it pass for progress of what is finalized.
    assert "finality_stalled" in [kind for kind, _ in server.at(60, *nodes)]


def test_a_slot_that_can_be_is_not_the_best_of_the_network_for_one_node_says_so() -> None:
    server = Server(behind=5, finality=60)
    nodes = network(100, NEWEST)
    assert server.at(0, *nodes) == []
    assert [kind for kind, _ in server.at(60, *nodes)] == ["finality_stalled"]
