"""Questions about what a network is doing."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from telemetry_twisted.store.read import assurances as read_assurances
from telemetry_twisted.store.read import guarantees as read_guarantees
from telemetry_twisted.store.read import health as read_health
from telemetry_twisted.store.read import journeys as read_journeys
from telemetry_twisted.store.read import known_networks as read_networks
from telemetry_twisted.store.read import slots as read_slots
from telemetry_twisted.store.read import work_packages as read_packages

from .asked import After, Asked, Limit, NetworkAsked, OnlyNetwork
from .endpoint import NotFound, Sources, endpoint

HASH = Meta(pattern="^(0x)?[0-9a-f]{64}$", title="a hash: 64 lowercase hex digits")
InPath = Annotated[str, HASH]
SlotNumber = Annotated[int, Meta(ge=0, le=2**32 - 1, description="The slot.")]


class NetworksAsked(Asked, frozen=True, kw_only=True):
    """All of them."""


class OneAsked(Asked, frozen=True, kw_only=True):
    """Of which network."""

    network: OnlyNetwork | None = None


class ListAsked(NetworkAsked, frozen=True, kw_only=True):
    """A page of a range of a network."""

    limit: Limit = 100
    cursor: After = 0


class RankedAsked(OneAsked, frozen=True, kw_only=True):
    """A page of all nodes that something is told of."""

    limit: Limit = 100
    cursor: After = 0


class SlotAsked(RankedAsked, frozen=True, kw_only=True):
    """Which slot."""

    slot: SlotNumber


class PackagesAsked(ListAsked, frozen=True, kw_only=True):
    """Which work packages."""

    core: Annotated[int, Meta(ge=0, le=65534, description="Only those of this core.")] | None = None
    service: (
        Annotated[int, Meta(ge=0, le=2**32 - 1, description="Only those with an item of it.")]
        | None
    ) = None
    outcome: (
        Annotated[
            read_packages.Outcome, Meta(description="Only those that ended so; not in the funnel.")
        ]
        | None
    ) = None
    stuck: (
        Annotated[
            bool, Meta(description="Only those that are stuck, or only others; not in the funnel.")
        ]
        | None
    ) = None


class PackageAsked(OneAsked, frozen=True, kw_only=True):
    """Which work package."""

    hash: Annotated[InPath, Meta(description="The hash of the work package.")]


class GuaranteesAsked(ListAsked, frozen=True, kw_only=True):
    """Which guarantees."""

    slot: SlotNumber | None = None


class AnchorAsked(RankedAsked, frozen=True, kw_only=True):
    """Which anchor."""

    anchor: Annotated[InPath, Meta(description="The hash of the block.")]


def _hash(text: str) -> str:
    return text if text.startswith("0x") else f"0x{text}"


@endpoint("/api/networks")
async def networks(sources: Sources, _: NetworksAsked) -> read_networks.Networks:
    """The networks that were heard of, each the nodes that share a genesis hash."""
    return await read_networks.networks(sources.history, sorted(sources.connected))


@endpoint("/api/networks/health", may_miss=True)
async def network_health(sources: Sources, asked: OneAsked) -> read_health.Health:
    """How a network fares: one verdict over the last five minutes, and the reasons for it."""
    network = await sources.network_of(asked.network)
    found = await read_health.health(sources.history, network)
    told = sources.live.network()["networks"].get(network.genesis, {})
    return read_health.with_problems(found, told.get("problems", ()))


@endpoint("/api/slots", may_miss=True)
async def slots(sources: Sources, asked: ListAsked) -> read_slots.Slots:
    """The slots of a network, the newest first: authors, contents, forks, and how blocks spread
    stage by stage; slots without a block are there as empty."""
    network = await sources.network_of(asked.network)
    span = asked.range(sources.now())
    return await read_slots.slots(sources.history, network, *span, asked.cursor, asked.limit)


@endpoint("/api/slots/{slot}/nodes", may_miss=True)
async def slot_nodes(sources: Sources, asked: SlotAsked) -> read_slots.SlotNodes:
    """When each node reported each stage of a slot, the slowest first."""
    network = await sources.network_of(asked.network)
    found = await read_slots.slot_nodes(
        sources.history, network, asked.slot, asked.cursor, asked.limit
    )
    if found is None:
        raise NotFound(f"no node has reported anything of slot {asked.slot}")
    return found


@endpoint("/api/work-packages", may_miss=True)
async def work_packages(sources: Sources, asked: PackagesAsked) -> read_packages.WorkPackages:
    """Work packages, the newest first, and a funnel of how far they came."""
    network = await sources.network_of(asked.network)
    return await read_packages.work_packages(
        sources.history,
        network,
        *asked.range(sources.now()),
        asked.cursor,
        asked.limit,
        core=asked.core,
        service=asked.service,
        outcome=asked.outcome,
        stuck=asked.stuck,
    )


@endpoint("/api/work-packages/{hash}", may_miss=True)
async def work_package(sources: Sources, asked: PackageAsked) -> read_journeys.Journey:
    """The journey of a work package: every event of it on every node, in order."""
    network = await sources.network_of(asked.network)
    wanted = bytes.fromhex(_hash(asked.hash)[2:])
    found = await read_journeys.journey(sources.history, network, wanted)
    if found is None:
        raise NotFound(f"no node has told of a work package {_hash(asked.hash)}")
    return found


@endpoint("/api/guarantees", may_miss=True)
async def guarantees(sources: Sources, asked: GuaranteesAsked) -> read_guarantees.Guarantees:
    """Guarantees by work report, the newest first: who built them, how they reached nodes, and how
    many were thrown away."""
    network = await sources.network_of(asked.network)
    span = asked.range(sources.now())
    return await read_guarantees.guarantees(
        sources.history, network, *span, asked.cursor, asked.limit, asked.slot
    )


@endpoint("/api/assurances", may_miss=True)
async def assurances(sources: Sources, asked: ListAsked) -> read_assurances.Assurances:
    """Assurances by the block that they are anchored to, the newest first, and how they spread."""
    network = await sources.network_of(asked.network)
    span = asked.range(sources.now())
    return await read_assurances.assurances(
        sources.history, network, *span, asked.cursor, asked.limit
    )


@endpoint("/api/assurances/{anchor}", may_miss=True)
async def anchor(sources: Sources, asked: AnchorAsked) -> read_assurances.AnchorSenders:
    """The assurances of a block sender by sender: when each began, what it assures, whether in
    time, and how it spread."""
    network = await sources.network_of(asked.network)
    wanted = bytes.fromhex(_hash(asked.anchor)[2:])
    found = await read_assurances.senders(
        sources.history, network, wanted, asked.cursor, asked.limit
    )
    if found is None:
        raise NotFound(f"no node has told of assurances on {_hash(asked.anchor)}")
    return found
