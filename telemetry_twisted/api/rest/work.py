"""Questions about work: how far packages come, on which cores, and what services cost."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from telemetry_twisted.store.read import chains as read_chains
from telemetry_twisted.store.read import cores as read_cores
from telemetry_twisted.store.read import services as read_services
from telemetry_twisted.store.read.sums import Subject

from .asked import After, Limit, NetworkAsked, OnlyCore
from .endpoint import Sources, endpoint


class FunnelAsked(NetworkAsked, frozen=True, kw_only=True):
    """Of which core."""

    core: OnlyCore | None = None


class CoresAsked(NetworkAsked, frozen=True, kw_only=True):
    """Which cores."""

    limit: Limit = 400
    cursor: After = 0


class CoreAsked(NetworkAsked, frozen=True, kw_only=True):
    """Which core."""

    core: Annotated[int, Meta(ge=0, le=65534, description="The core.")]


class ServicesAsked(NetworkAsked, frozen=True, kw_only=True):
    """Which services."""

    limit: Limit = 100
    cursor: After = 0


class ServiceAsked(NetworkAsked, frozen=True, kw_only=True):
    """Which service."""

    service: Annotated[int, Meta(ge=0, le=2**32 - 1, description="The service.")]


@endpoint("/api/funnel", may_miss=True)
async def funnel(sources: Sources, asked: FunnelAsked) -> read_chains.Funnel:
    """How far work packages came over time, stage by stage, in a network or on a core.

    Exact counts of the events that say so, of chains that tell of a core, each when it arrived; a
    package counts once for each guarantor that works on it.
    """
    subject = Subject(await sources.network_of(asked.network), core=asked.core)
    return await read_chains.funnel(sources.history, subject, *asked.range(sources.now()))


@endpoint("/api/cores", may_miss=True)
async def cores(sources: Sources, asked: CoresAsked) -> read_cores.Cores:
    """What became of work on each core.

    Exact counts of events whose chain tells of the core; a package counts once for each guarantor
    that works on it. The range is widened to whole hours, beyond 25 hours to whole days.
    """
    network = await sources.network_of(asked.network)
    span = asked.range(sources.now())
    return await read_cores.cores(sources.history, network, *span, asked.cursor, asked.limit)


@endpoint("/api/cores/{core}", may_miss=True)
async def core(sources: Sources, asked: CoreAsked) -> read_cores.CoreInDetail:
    """All that is known of work on a core.

    Counts, costs and means are exact sums of what its guarantors sent; percentiles are within 5 %.
    The range is widened to whole minutes, hours, or, beyond 60 hours, days.
    """
    network = await sources.network_of(asked.network)
    return await read_cores.core(sources.history, network, asked.core, *asked.range(sources.now()))


@endpoint("/api/services", may_miss=True)
async def services(sources: Sources, asked: ServicesAsked) -> read_services.Services:
    """What services cost in each phase, those first that used the most gas.

    Exact sums of what nodes say that executing code took: each guarantor of a package counts in
    authorize and refine, each node that executes a block in accumulate. The range is widened to
    whole hours, beyond 25 hours to whole days.
    """
    network = await sources.network_of(asked.network)
    span = asked.range(sources.now())
    return await read_services.services(sources.history, network, *span, asked.cursor, asked.limit)


@endpoint("/api/services/{service}", may_miss=True)
async def service(sources: Sources, asked: ServiceAsked) -> read_services.Service:
    """What a service cost: part by part, and over time.

    Exact sums, as with /api/services, by the minute at the finest.
    """
    network = await sources.network_of(asked.network)
    return await read_services.service(
        sources.history, network, asked.service, *asked.range(sources.now())
    )
