"""A network as it is observed: nodes say what the test has them say, each by its own clock."""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define, field, frozen

from telemetry_twisted.jip3.encoder import encode_event
from telemetry_twisted.jip3.moment import COMMON_ERA, SLOT
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import (
    NO_EVENT,
    Assurance,
    Clock,
    Fetch,
    OutcomeCount,
    Sighting,
)
from telemetry_twisted.network.networks import Networks, network_of

SECOND = 1_000_000
BEGIN = 1_795_506_120 * SECOND
"""When it begins, in microseconds of Unix time."""

SLOT_NOW = (BEGIN - COMMON_ERA) // SLOT
CORES = 16
GENESIS = bytes([7]) * 32
HASH = "0x" + 64 * "a"


def outline(hash: str = HASH, **said: int) -> dict[str, Any]:
    """A block outline."""
    names = ("num_tickets", "num_preimages", "total_preimages_size", "num_guarantees")
    others = (*names, "num_assurances", "num_dispute_verdicts")
    return {"size_bytes": 2048, "hash": hash, **dict.fromkeys(others, 0), **said}


def package(hash: str, services: tuple[int, ...] = (7,)) -> dict[str, Any]:
    """A work package outline."""
    item = {
        "payload_size": 1,
        "refine_gas_limit": 2,
        "accumulate_gas_limit": 3,
        "sum_of_extrinsic_lengths": 4,
        "imports": [],
        "num_exported_segments": 5,
    }
    return {
        "work_package_size": 100,
        "work_package_hash": hash,
        "anchor": HASH,
        "lookup_anchor_slot": 5,
        "prerequisites": [],
        "work_items": [{"service_id": service, **item} for service in services],
    }


@frozen
class Origin:
    """A connected node."""

    node_id: str
    connection: int
    genesis: str
    cores: int | None = CORES
    version: int = 0


@define
class Node:
    """A node of a scene: its clock is ``behind`` the server's by so many microseconds, and what it
    sends takes ``delay`` of them."""

    scene: Scene
    handle: int
    origin: Origin
    behind: int = 0
    delay: int = 0
    next_id: int = 0

    def say(
        self, kind: int, at: int, top: int | None = None, root: int | None = None, **said: Any
    ) -> int:
        """Say something ``at`` so many microseconds after the scene's beginning; return its ID.

        :param top: the ID of the event that began the outermost chain around it, its own if -1.
        :param root: that of its own chain, ``top`` if it is not given.
        """
        event_id, self.next_id = self.next_id, self.next_id + 1
        if top == -1:
            top = event_id
            self.scene.types[self.handle, event_id] = kind
        if root == -1:
            root = event_id
            self.scene.types[self.handle, event_id] = kind
        root = top if root is None else root
        types = self.scene.types
        time = BEGIN + at - self.behind - COMMON_ERA
        content = encode_event(kind, time, said, cores=CORES)
        self.scene.sightings.append(
            Sighting(
                self.handle,
                0 if root is None else types[self.handle, root],
                0 if top is None else types[self.handle, top],
                event_id,
                NO_EVENT if root is None else root,
                NO_EVENT if top is None else top,
                BEGIN + at + self.delay,
                content,
            )
        )
        return event_id

    @property
    def key(self) -> bytes:
        """Its ID, in bytes."""
        return bytes.fromhex(self.origin.node_id)


@define
class Scene:
    """What is observed, and the networks that take it."""

    lost: Counter[str] = field(factory=Counter)
    networks: Networks = field()
    nodes: dict[int, Node] = field(factory=dict)
    sightings: list[Sighting] = field(factory=list)
    types: dict[tuple[int, int], int] = field(factory=dict)
    now: int = BEGIN

    @networks.default
    def _networks(self) -> Networks:
        return Networks(self.lost)

    def node(self, handle: int, genesis: bytes = GENESIS, **how: int) -> Node:
        """Another node."""
        origin = Origin(f"{handle:02x}" * 32, BEGIN - handle, network_of(genesis))
        node = self.nodes[handle] = Node(self, handle, origin, **how)
        return node

    def pass_on(
        self, assurances: tuple[Assurance, ...] = (), *, after: int = SECOND, **told: Any
    ) -> None:
        """Have the networks take what was said, with the clocks of all nodes.

        :param told: what else is observed, see :meth:`observed`.
        """
        self.now += after
        self.networks.take(self.observed(assurances, after=after, **told), self.origins)

    @property
    def origins(self) -> dict[int, Origin]:
        """What the handles stand for."""
        return {handle: node.origin for handle, node in self.nodes.items()}

    def observed(
        self,
        assurances: tuple[Assurance, ...] = (),
        fetches: tuple[Fetch, ...] = (),
        outcomes: tuple[OutcomeCount, ...] = (),
        genesis: tuple[bytes, ...] = (GENESIS,),
        after: int = SECOND,
    ) -> Observations:
        """What was said in so many microseconds up to now, as an ingestion process tells of it."""
        clocks = tuple(
            Clock(node.handle, node.behind + node.delay, node.behind + node.delay + 500)
            for node in self.nodes.values()
        )
        observed = Observations(
            self.now - after,
            self.now,
            networks=genesis,
            outcomes=outcomes,
            clocks=clocks,
            sightings=tuple(self.sightings),
            assurances=assurances,
            fetches=fetches,
        )
        self.sightings.clear()
        return Observations.decode(observed.encode())

    def settle(self, seconds: int) -> None:
        """Have so much time pass, all that changed being written before."""
        self.now += seconds * SECOND
        networks, now = self.networks, self.now / SECOND
        for source in (
            networks.slots,
            networks.journeys,
            networks.guarantees,
            networks.anchors,
            networks.availability,
            networks,
        ):
            source.settle(now)
