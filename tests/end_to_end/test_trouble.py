"""What is wrong with a network is found: an alert begins when it does, and ends with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic, time
from typing import Any

import pytest
from attrs import define, field

from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import COMMON_ERA, SLOT
from telemetry_twisted.simulator import Network
from telemetry_twisted.simulator.blockchain import digest
from telemetry_twisted.simulator.troubles import (
    BROKEN_ENCODER,
    FAILING_SHARDS,
    LAGGING_IMPORTER,
    PARTITIONED_GROUP,
    SLOW_GUARANTOR,
)
from tests.end_to_end.conftest import ZERO_HASH, Node, StartServer, Subscriber, await_true
from tests.end_to_end.truth import PATIENCE, Scene, scene
from tests.network.scene import HASH, package

NODES = 16


NOTHING = {"type": "Subscribe", "filter": {"type": "Nodes", "node_ids": ["00" * 32]}}


@define
class Alerts:
    """What a subscriber is told: the alerts that hold, those that have begun as they were told
    last, and those that have ended, each by kind."""

    subscriber: Subscriber
    current: dict[str, Any] = field(factory=dict)
    begun: dict[str, Any] = field(factory=dict)
    ended: dict[str, Any] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.subscriber.ask(NOTHING)
        self.subscriber.connection.send('{"type":"SubscribeAlerts"}')
        self._receive()

    def await_begun(self, *kinds: str) -> None:
        """Wait until there has been an alert of each of these kinds."""
        self._await(lambda: self.begun.keys() >= {*kinds}, f"there were {kinds}")

    def await_ended(self, *kinds: str) -> None:
        """Wait until there have been alerts of these kinds, and there are none any more."""
        self._await(
            lambda: self.ended.keys() >= {*kinds} and not self.current.keys() & {*kinds},
            f"{kinds} have ended",
        )

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        end = monotonic() + PATIENCE
        while not condition():
            assert monotonic() < end, f"not {what}, but {[*self.begun]}, now {[*self.current]}"
            self._receive()

    def _receive(self) -> None:
        while (message := self.subscriber.receive(PATIENCE))["type"] not in ("alert", "stats"):
            pass
        if message["type"] == "alert":
            self.current = {alert["kind"]: alert for alert in message["data"]["alerts"]}
            self.begun |= self.current
            self.ended |= {alert["kind"]: alert for alert in message["data"]["ended"]}


def common_era() -> int:
    """What time it is, in microseconds of the JAM Common Era."""
    return int(time() * 1_000_000) - COMMON_ERA


def say(node: Node, event: str, **fields: Any) -> None:
    """Have a node of two cores' network send an event as of now."""
    node.send(frame(encode_event(event, common_era(), fields, cores=2)))


def test_a_node_that_says_nothing(start_server: StartServer, node_id: str) -> None:
    server = start_server("--alert-silent", "5", history=True)
    with server.subscriber() as subscriber:
        alerts = Alerts(subscriber)
        node = server.connect_node(node_id)
        alerts.await_begun("node_silent")
        assert alerts.begun["node_silent"]["examples"] == [node_id]
        node.report_best(range(7))
        alerts.await_ended("node_silent")


FEW = (f"--nodes={NODES}", "--events=1000000", "--mistakes=0", "--connect-rate=500")


@pytest.mark.parametrize(
    ("kind", "options", "thresholds", "words"),
    [
        ("fork", ("--forks=1",), ("--alert-fork=1",), "slots in a row"),
        ("clock_off", ("--clock-skew=20000",), ("--alert-clock=4000",), "off by"),
    ],
)
def test_an_alert_of_a_network(
    tmp_path: Path,
    kind: str,
    options: tuple[str, ...],
    thresholds: tuple[str, ...],
    words: str,
) -> None:
    url = f"sqlite:{tmp_path / 'history.sqlite'}"
    with scene(tmp_path / "server", url, *thresholds) as at, at.server.subscriber() as subscriber:
        await_true(lambda: at.stored() == 0, "the store is there", PATIENCE)
        alerts = Alerts(subscriber)
        assert kind not in alerts.current
        simulation = at.simulate(*FEW, "--duration=60", *options)
        alerts.await_begun(kind)
        assert words in alerts.begun[kind]["message"]
        assert alerts.begun[kind]["ended"] is None
        simulation.close()
        alerts.await_ended(kind)


SEED = 7

TROUBLED = {
    LAGGING_IMPORTER: ("late_node", "late_nodes"),
    SLOW_GUARANTOR: ("slow_guarantor", "slow_guarantors"),
    FAILING_SHARDS: ("failing_server", "failing_servers"),
    BROKEN_ENCODER: ("broken_encoder", "broken_encoders"),
}
"""The kind of alert of each trouble of one node, and the kind of reason for the verdict."""

OF_NETWORK = ("work_packages_stuck", "assurances_late", "chains_unfinished")


class SmallNetwork:
    """A few nodes of which one does what is wrong, and puts it right again."""

    def __init__(self, at: Scene) -> None:
        self.node = at.server.connect_node("a1" * 32)
        self.other = at.server.connect_node("a2" * 32)
        at.server.await_nodes(2)

    def begin(self) -> None:
        """Be stuck with a package, begin an assurance too late, and leave chains without end."""
        say(self.node, "WorkPackageSubmission", builder=HASH, bundle=False)
        outline = package(HASH)
        say(self.node, "WorkPackageReceived", submission_or_share_id=0, core=1, outline=outline)
        say(self.node, "BestBlockChanged", slot=common_era() // SLOT - 6, hash=HASH)
        statement = {"anchor": HASH, "bitfield": b"\1"}
        say(self.node, "DistributingAssurance", statement=statement)
        for _ in range(150):
            say(self.other, "ReceivingGuarantee", sender=HASH)
        self.other.close()

    def end(self) -> None:
        """Have the package distributed, and so many chains end that the others are few."""
        say(self.node, "GuaranteesDistributed", submission_id=0)
        for number in range(300):
            say(self.node, "ReceivingGuarantee", sender=HASH)
            receiving = 5 + 2 * number
            say(self.node, "GuaranteeReceiveFailed", receiving_id=receiving, reason="enough")


def test_alerts_begin_with_what_is_wrong_and_end_with_it(tmp_path: Path) -> None:
    network = Network(nodes=NODES, seed=SEED, trouble=tuple(TROUBLED))
    nodes = {
        trouble: network.node_id(index)
        for trouble in TROUBLED
        for index in network.troubled(trouble)
    }
    assert len({*nodes.values()}) == len(TROUBLED)
    parted = Network(nodes=NODES, seed=SEED + 1, trouble=(PARTITIONED_GROUP,))
    group = {parted.node_id(index) for index in parted.troubled(PARTITIONED_GROUP)}
    thresholds = (
        *("--alert-late-blocks=4", "--alert-slow-guarantor=2", "--alert-failing-server=30"),
        *("--alert-broken-encoder=10", "--alert-stuck=30", "--alert-assurances-late=1"),
        *("--alert-unfinished=40", "--alert-behind=3"),
    )
    url = f"sqlite:{tmp_path / 'history.sqlite'}"
    with scene(tmp_path / "server", url, *thresholds) as at, at.server.subscriber() as subscriber:
        await_true(lambda: at.stored() == 0, "the store is there", PATIENCE)
        small = SmallNetwork(at)
        small.begin()
        trouble = f"--trouble={','.join(TROUBLED)}"
        one = at.simulate(*FEW, "--duration=120", f"--seed={SEED}", trouble, rate=30)
        trouble = f"--trouble={PARTITIONED_GROUP}"
        two = at.simulate(*FEW, "--duration=120", f"--seed={SEED + 1}", trouble)
        alerts = Alerts(subscriber)
        of_nodes = [kind for kind, _ in TROUBLED.values()]
        alerts.await_begun(*OF_NETWORK, *of_nodes, "behind")
        for name, (kind, _) in TROUBLED.items():
            named = {*alerts.current[kind]["examples"]}
            if kind == "late_node":  # with those of the group
                assert named <= {nodes[name], *group}
            else:
                assert named == {nodes[name]}
        assert {*alerts.begun["behind"]["examples"]} <= group
        for kind in ("work_packages_stuck", "chains_unfinished"):
            assert alerts.begun[kind]["subject"] == ZERO_HASH
        assert alerts.begun["assurances_late"]["subject"] == small.node.node_id

        reasons = reasons_of(at, SEED)
        for name, (_, reason) in TROUBLED.items():
            assert nodes[name] in reasons[reason]
        assert any(node in reasons_of(at, SEED + 1)["late_nodes"] for node in group)
        assert first_in_rankings(at) == nodes

        small.end()
        alerts.await_ended(*OF_NETWORK, "behind")
        one.close()
        two.close()
        alerts.await_ended(*of_nodes)


def genesis(seed: int) -> str:
    """What tells the network of a seed."""
    return f"0x{digest(seed, 'genesis').hex()}"


def reasons_of(at: Scene, seed: int) -> dict[str, str]:
    """What the verdict on a network is made of: what is said of each kind."""
    health = at.get(f"/api/networks/health?network={genesis(seed)}")
    return {reason["kind"]: reason["message"] for reason in health["reasons"]}


def first_in_rankings(at: Scene) -> dict[str, str]:
    """Which node stands first where nodes are ranked by what a trouble makes worse."""
    with at.server.subscriber() as subscriber:
        subscriber.ask(NOTHING)
        subscriber.ask({"type": "SubscribeNetwork"})
        while (message := subscriber.receive(PATIENCE))["type"] != "network":
            pass
    summary = message["data"]["networks"][genesis(SEED)]
    first = {
        LAGGING_IMPORTER: summary["late_nodes"]["worst"],
        SLOW_GUARANTOR: summary["slow_guarantors"],
        FAILING_SHARDS: summary["failing_servers"],
        BROKEN_ENCODER: summary["broken_encoders"],
    }
    ranked = {trouble: rows[0]["node_id"] for trouble, rows in first.items()}
    of_network = f"network={genesis(SEED)}"
    refining = at.get(f"/api/latencies/refine/nodes?from=-1h&{of_network}")
    assert refining["nodes"][0]["node_id"] == ranked[SLOW_GUARANTOR]
    faults = at.get("/api/protocol-errors?from=-1h")
    assert faults["protocol_errors"][0]["node_id"] == ranked[BROKEN_ENCODER]
    slowest = Counter(
        at.get(f"/api/slots/{slot['slot']}/nodes?{of_network}")["nodes"][0]["node_id"]
        for slot in summary["slots"][2:]
        if slot["stages"]["best"] == NODES
    )
    assert slowest.most_common(1)[0][0] == ranked[LAGGING_IMPORTER]
    return ranked
