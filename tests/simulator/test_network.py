"""What simulated nodes report: whole, consistent, repeatable."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.jip3.values import decode_event
from telemetry_twisted.simulator import Network, Node, NodeEvent, messages, play
from telemetry_twisted.simulator.blockchain import EPOCH_SLOTS, SECOND, SLOT, Blockchain

FOREVER = 1 << 62
MANY = 24

REQUESTS = ("Block", "Shard", "BundleShard", "Bundle", "SegmentShard", "Segment", "Preimage")
TRANSFERRED = {
    "Block": "BlockTransferred",
    "Shard": "ShardsTransferred",
    "BundleShard": "BundleShardTransferred",
    "Bundle": "BundleTransferred",
    "SegmentShard": "SegmentShardsTransferred",
    "Segment": "SegmentsTransferred",
    "Preimage": "PreimageTransferred",
}
REFERS_TO: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "connecting_id": {
        "ConnectInFailed": ("ConnectingIn",),
        "ConnectedIn": ("ConnectingIn",),
        "ConnectOutFailed": ("ConnectingOut",),
        "ConnectedOut": ("ConnectingOut",),
    },
    "opened_id": {"BlockAnnouncementStreamClosed": ("BlockAnnouncementStreamOpened",)},
    "authoring_id": {"AuthoringFailed": ("Authoring",), "Authored": ("Authoring",)},
    "importing_id": {"BlockVerificationFailed": ("Importing",), "BlockVerified": ("Importing",)},
    "authoring_or_importing_id": {
        "BlockExecutionFailed": ("Authoring", "Importing"),
        "BlockExecuted": ("Authoring", "Importing"),
    },
    "request_id": {
        event: tuple(f"{side}{name}Request" for side in sides)
        for name in REQUESTS
        for event, sides in (
            (f"{name}RequestSent", ("Sending",)),
            (f"{name}RequestReceived", ("Receiving",)),
            (f"{name}RequestFailed", ("Sending", "Receiving")),
            (TRANSFERRED[name], ("Sending", "Receiving")),
        )
    },
    "generating_id": defaultdict(lambda: ("GeneratingTickets",)),
    "submission_or_share_id": defaultdict(
        lambda: ("WorkPackageSubmission", "WorkPackageBeingShared")
    ),
    "submission_id": defaultdict(lambda: ("WorkPackageSubmission",)),
    "share_id": defaultdict(lambda: ("WorkPackageBeingShared",)),
    "built_id": defaultdict(lambda: ("GuaranteeBuilt",)),
    "sending_id": defaultdict(lambda: ("SendingGuarantee",)),
    "receiving_id": defaultdict(lambda: ("ReceivingGuarantee",)),
    "distributing_id": defaultdict(lambda: ("DistributingAssurance",)),
    "reconstructing_id": defaultdict(lambda: ("ReconstructingSegments",)),
}
NOT_EVENT_IDS = {"peer_id", "audit_id", "service_id"}


@cache
def quiet() -> list[NodeEvent]:
    """Some minutes of many nodes with little more than what slots bring about."""
    return list(
        play(Network(nodes=MANY, seed=11, cores=20, rate=9, duration=240, version=1, drops=0))
    )


@cache
def busy() -> list[NodeEvent]:
    """Some seconds of a few nodes at work."""
    return list(play(Network(nodes=6, seed=12, rate=600, duration=8, drops=0)))


@pytest.fixture(params=["quiet", "busy"])
def events(request: pytest.FixtureRequest) -> list[NodeEvent]:
    return quiet() if request.param == "quiet" else busy()


def by_node(events: list[NodeEvent]) -> dict[int, list[NodeEvent]]:
    nodes: defaultdict[int, list[NodeEvent]] = defaultdict(list)
    for event in events:
        nodes[event.node].append(event)
    return nodes


def references(event: NodeEvent) -> Iterator[tuple[str, int]]:
    for name, value in event.fields.items():
        if name.endswith("_id") and name not in NOT_EVENT_IDS:
            yield name, value


def named(events: list[NodeEvent], *names: str) -> list[NodeEvent]:
    return [event for event in events if event.name in names]


def test_every_id_refers_to_an_earlier_event_of_the_right_type(events: list[NodeEvent]) -> None:
    for of_node in by_node(events).values():
        names: dict[int, str] = {}
        for event in of_node:
            for field, event_id in references(event):
                assert names.get(event_id) in REFERS_TO[field][event.name], (event, field)
            names[event.event_id] = event.name


def test_an_audit_is_told_apart_by_an_id_of_before(events: list[NodeEvent]) -> None:
    for event in events:
        assert event.fields.get("audit_id", 0) <= event.event_id


def test_no_request_ends_twice(events: list[NodeEvent]) -> None:
    ends = Counter(
        (event.node, event.fields["request_id"])
        for event in events
        if event.name.endswith("RequestFailed")
        or (event.name in TRANSFERRED.values() and event.fields.get("last", True))
    )
    assert ends
    assert set(ends.values()) == {1}


def test_times_of_a_node_never_go_back(events: list[NodeEvent]) -> None:
    for of_node in by_node(events).values():
        times = [event.time for event in of_node]
        assert times == sorted(times)


def test_every_event_type_appears() -> None:
    seen = {event.name for event in quiet()}
    assert seen == {event.name for event in TABLE.events.values()} - {"Dropped"}


def test_every_group_appears_within_moments() -> None:
    groups = {event.name: event.group for event in TABLE.events.values()}
    seen = {groups[event.name] for event in busy()}
    assert seen >= set(groups.values()) - {"meta"}


def test_availability_is_most_of_a_busy_network() -> None:
    counts = Counter(event.name for event in busy())
    availability = sum(
        counts[event.name] for event in TABLE.events.values() if event.group == "availability"
    )
    assert 0.7 < availability / len(busy()) < 0.97


def test_nodes_agree_on_the_chain(events: list[NodeEvent]) -> None:
    hashes: dict[int, str] = {}
    parents: dict[int, str] = {}
    for event in events:
        if event.name in ("BestBlockChanged", "FinalizedBlockChanged", "BlockAnnounced"):
            slot = event.fields["slot"]
            assert hashes.setdefault(slot, event.fields["hash"]) == event.fields["hash"]
        elif event.name in ("Importing", "BlockTransferred"):
            slot, outline = event.fields["slot"], event.fields["outline"]
            assert hashes.setdefault(slot, outline["hash"]) == outline["hash"]
        elif event.name == "Authoring":
            parents[event.fields["slot"]] = event.fields["parent"]
    assert len(set(hashes.values())) == len(hashes)
    for slot, parent in parents.items():
        before = [earlier for earlier in hashes if earlier < slot]
        assert not before or parent == hashes[max(before)]


def test_one_node_authors_a_slot_and_the_others_import_it() -> None:
    authored: dict[int, list[int]] = defaultdict(list)
    imported: dict[int, list[int]] = defaultdict(list)
    for event in quiet():
        if event.name == "Authoring":
            authored[event.fields["slot"]].append(event.node)
        elif event.name == "Importing" and event.node not in imported[event.fields["slot"]]:
            imported[event.fields["slot"]].append(event.node)
    first = Network(nodes=MANY).start // SLOT
    for slot in range(first + 1, first + 39):
        assert len(authored[slot]) == 1
        nodes = authored[slot] + imported[slot]
        assert sorted(nodes) == list(range(MANY)) or not imported[slot]
    assert sum(not imported[slot] for slot in range(first + 1, first + 39)) < 8


def test_best_and_finalized_blocks_rise_and_spread(events: list[NodeEvent]) -> None:
    for name in ("BestBlockChanged", "FinalizedBlockChanged"):
        times: dict[int, list[int]] = defaultdict(list)
        for of_node in by_node(events).values():
            slots = [event.fields["slot"] for event in named(of_node, name)]
            assert slots == sorted(set(slots))
            assert slots
        for event in named(events, name):
            times[event.fields["slot"]].append(event.time)
        assert all(len(set(at)) == len(at) for at in times.values() if len(at) < 8)
        assert max(max(at) - min(at) for at in times.values()) > 50_000


def test_finality_stays_behind_the_best_block(events: list[NodeEvent]) -> None:
    for of_node in by_node(events).values():
        best = 0
        for event in named(of_node, "BestBlockChanged", "FinalizedBlockChanged"):
            if event.name == "BestBlockChanged":
                best = event.fields["slot"]
            else:
                assert event.fields["slot"] < best


def test_guarantors_agree_on_their_package() -> None:
    packages: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    for event in quiet():
        if event.name == "WorkPackageReceived":
            key = event.fields["outline"]["work_package_hash"], event.fields["core"]
            packages[key].append((event.node, str(event.fields["outline"])))
    assert max(len(received) for received in packages.values()) == 3
    for received in packages.values():
        assert len({node for node, _ in received}) == len(received)
        assert len({outline for _, outline in received}) == 1


def test_a_node_never_meets_itself(events: list[NodeEvent]) -> None:
    seed = 11 if events is quiet() else 12
    network = Network(nodes=MANY, seed=seed)
    fields = ("peer", "sender", "recipient", "assurer", "guarantor", "auditor", "peer_id")
    for event in events:
        own = f"0x{network.node_id(event.node)}"
        assert all(event.fields.get(field) != own for field in fields), event


def test_status_comes_every_two_seconds(events: list[NodeEvent]) -> None:
    for of_node in by_node(events).values():
        times = [event.time for event in named(of_node, "Status")]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert all(1.9 * SECOND < gap < 2.1 * SECOND for gap in gaps)


@pytest.mark.parametrize("rate", [10, 100, 600, 4_000])
def test_the_rate_is_kept(rate: int) -> None:
    network = Network(nodes=3, rate=rate, duration=20, cores=20)
    for index in range(3):
        node = Node(network, index)
        node.advance(FOREVER)
        assert abs(node.tally.events / (20 * rate) - 1) < 0.05 + 30 / (20 * rate)


def test_a_low_rate_is_what_slots_bring_about() -> None:
    network = Network(nodes=3, rate=0.1, duration=120)
    for index in range(3):
        node = Node(network, index)
        node.advance(FOREVER)
        assert 1 < node.tally.events / 120 < 4


def whole(network: Network, index: int, step: int = FOREVER, most: int = FOREVER) -> bytes:
    node = Node(network, index)
    data = [node.information]
    until = node.begins
    while not node.finished:
        until += step
        while piece := node.advance(until, most):
            data.append(piece)
    return b"".join(data)


SETTINGS: dict[str, Any] = {"nodes": 3, "cores": 20, "rate": 200, "duration": 20}


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, other = Network(seed=1, **SETTINGS), Network(seed=1, **SETTINGS)
    assert [whole(one, index) for index in range(3)] == [whole(other, i) for i in (0, 1, 2)]
    assert whole(Network(seed=2, **SETTINGS), 1) != whole(one, 1)


@pytest.mark.parametrize(("step", "most"), [(7_000, FOREVER), (SECOND, 100), (FOREVER, 4_096)])
def test_bytes_do_not_depend_on_how_they_are_asked_for(step: int, most: int) -> None:
    network = Network(seed=1, **SETTINGS)
    assert whole(network, 1, step, most) == whole(network, 1)


def test_nodes_do_not_depend_on_one_another() -> None:
    alone = whole(Network(seed=1, **SETTINGS), 2)
    network = Network(seed=1, **SETTINGS)
    nodes = [Node(network, index) for index in range(3)]
    together = [nodes[2].information]
    for second in range(1, 22):
        for node in nodes:
            data = node.advance(network.start + second * SECOND)
            if node.index == 2:
                together.append(data)
    assert b"".join(together) == alone


@pytest.mark.parametrize("events", [1, 30, 31, 200, 1_234])
def test_a_node_ends_after_exactly_so_many_events(events: int) -> None:
    network = Network(nodes=4, events=events, rate=600)
    for index in range(4):
        node = Node(network, index)
        sent = list(messages(node.advance(FOREVER)))
        assert node.finished
        assert node.advance(FOREVER) == b""
        assert len(sent) == node.tally.events == events


def test_nothing_comes_before_its_time() -> None:
    network = Network(nodes=1, rate=600, duration=10)
    node = Node(network, 0)
    assert node.advance(node.begins) == b""
    until = node.begins
    while not node.finished:
        until += 50_000
        for content in messages(node.advance(until)):
            time = decode_event(content, network.cores).timestamp
            assert time < min(until + 20_000, node.ends)


def test_a_node_that_begins_later_takes_part_from_then_on() -> None:
    network = Network(nodes=2, rate=50, duration=20, cores=20)
    begins = network.start + 9 * SECOND
    node = Node(network, 1, begins)
    times = [
        decode_event(content, network.cores).timestamp
        for content in messages(node.advance(FOREVER))
    ]
    assert times[0] == begins
    assert 11 * 50 * 0.8 < len(times) < 11 * 50 * 1.3


def test_slots_have_one_author_and_known_parents() -> None:
    blockchain = Blockchain(seed=4, authors=30)
    skipped = 0
    for slot in range(1_000, 1_300):
        assert 0 <= blockchain.author(slot) < 30
        block = blockchain.block(slot)
        if block is None:
            skipped += 1
            continue
        assert block.parent == blockchain.head(slot - 1).hash
        assert block.slot * SLOT < block.ready < (block.slot + 1) * SLOT
        assert slot - 6 < blockchain.finalized(slot).slot < slot
    assert 0 < skipped < 30


def test_what_is_not_dropped_is_what_would_have_been_sent() -> None:
    settings: dict[str, Any] = {"nodes": 3, "seed": 9, "cores": 20, "rate": 60, "duration": 40}
    whole = by_node([*play(Network(**settings, drops=0))])
    for node, sent in by_node([*play(Network(**settings, drops=1))]).items():
        happened = {event.event_id: event for event in whole[node]}
        gaps = named(sent, "Dropped")
        assert len(gaps) > 4
        for gap in gaps:
            lost = [happened.pop(gap.event_id + number) for number in range(gap.fields["num"])]
            assert (gap.time, gap.fields["last_timestamp"]) == (lost[0].time, lost[-1].time)
        assert [event for event in sent if event.name != "Dropped"] == [*happened.values()]


def test_tickets_are_generated_for_each_epoch() -> None:
    begins = 100 * EPOCH_SLOTS * SLOT - 10 * SECOND
    network = Network(nodes=4, rate=5, start=begins, duration=20, cores=20)
    epochs = [
        (event.node, event.fields["epoch"])
        for event in named([*play(network)], "GeneratingTickets")
    ]
    assert sorted(epochs) == [(node, epoch) for node in range(4) for epoch in (100, 101)]
