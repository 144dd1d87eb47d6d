"""What is wrong with some nodes is seen at them, and only there."""

from __future__ import annotations

from statistics import median

import pytest

from telemetry_twisted.simulator import Network, Node
from telemetry_twisted.simulator.account import Account
from telemetry_twisted.simulator.accounting import Accounting
from telemetry_twisted.simulator.blockchain import SLOT
from telemetry_twisted.simulator.play import events_of
from telemetry_twisted.simulator.records import Records
from telemetry_twisted.simulator.troubles import (
    BROKEN_ENCODER,
    FAILING_SHARDS,
    LAGGING_IMPORTER,
    PARTITIONED_GROUP,
    SLOW_GUARANTOR,
    TROUBLES,
    is_cut_off,
)
from tests.simulator import walk

NODES = 9


def network_with(name: str, duration: int = 40) -> Network:
    return Network(nodes=NODES, cores=3, seed=7, rate=20, duration=duration, trouble=(name,))


def accounts(name: str) -> tuple[Account, list[Account]]:
    """The account of a network with a trouble, and of each node of it."""
    return accounts_of(network_with(name))


def accounts_of(network: Network) -> tuple[Account, list[Account]]:
    """The account of a network, and of each node of it."""
    nodes = [Node(network, index) for index in range(NODES)]
    for node in nodes:
        node.tally.accounting = Accounting(Records())
        node.advance(1 << 62)
    whole = Account.of(network, [(node.index, node.tally) for node in nodes])
    return whole, [Account(whole.told, [each]) for each in whole.connections]


def the_one(account: Account, name: str) -> int:
    (node,) = account.troubled(name)
    return node


def test_a_slow_guarantor_takes_longer() -> None:
    whole, each = accounts_of(network_with(SLOW_GUARANTOR, duration=120))
    means = []
    for account in each:
        took = [
            d
            for (name, _), durations in account.latencies().items()
            if name == "refine"
            for d in durations.elements()
        ]
        means.append(sum(took) / len(took))
    assert means.index(max(means)) == the_one(whole, SLOW_GUARANTOR)
    assert max(means) > 2 * median(means)


def test_a_lagging_importer_has_blocks_late() -> None:
    whole, _ = accounts(LAGGING_IMPORTER)
    slow = the_one(whole, LAGGING_IMPORTER)
    spreads = [b.stages["importing"] for b in whole.blocks().values() if "importing" in b.stages]
    late = [nodes[slow] - median(nodes.values()) for nodes in spreads if slow in nodes]
    assert median(late) > 2_500_000


def test_a_partitioned_group_gets_no_blocks_for_a_while() -> None:
    whole, _ = accounts(PARTITIONED_GROUP)
    group = set(whole.troubled(PARTITIONED_GROUP))
    assert 0 < len(group) < NODES
    first = network_with(PARTITIONED_GROUP).start // SLOT
    blocks = [block for block in whole.blocks().values() if "best" in block.stages]
    cut_off = [block for block in blocks if is_cut_off(block.slot, first)]
    assert cut_off
    assert all(not group & block.stages["best"].keys() for block in cut_off)
    others = [block for block in blocks if not is_cut_off(block.slot, first)]
    assert any(group <= block.stages["best"].keys() for block in others)


def test_a_node_fails_to_serve_shards() -> None:
    whole, each = accounts(FAILING_SHARDS)
    shares = []
    for account in each:
        outcomes = account.outcomes()
        served = [outcomes["ReceivingShardRequest", how, None] for how in ("failure", "success")]
        shares.append(served[0] / sum(served))
    assert shares.index(max(shares)) == the_one(whole, FAILING_SHARDS)
    assert max(shares) > 0.9
    assert sorted(shares)[-2] < 0.2


def test_a_broken_encoder_sends_messages_that_are_wrong() -> None:
    network = network_with(BROKEN_ENCODER)
    nodes = [Node(network, index) for index in range(NODES)]
    for node in nodes:
        node.advance(1 << 62)
    wrong = {node.index: node.tally.faults.total() for node in nodes}
    (broken,) = network.troubled(BROKEN_ENCODER)
    assert wrong.pop(broken) > 40
    assert not any(wrong.values())
    whole, _ = accounts_of(network)
    assert the_one(whole, BROKEN_ENCODER) == broken


@pytest.mark.parametrize("name", [name for name in TROUBLES if name != BROKEN_ENCODER])
def test_chains_are_right_nonetheless(name: str) -> None:
    network = network_with(name, duration=13)
    whole, _ = accounts_of(network)
    walks = [walk.Walk(list(events_of(Node(network, index)))) for index in range(NODES)]
    assert [wrong for each in walks for wrong in each.wrong] == []
    assert whole.outcomes() == walk.outcomes(walks)
    assert whole.latencies() == walk.latencies(walks)
