"""What services cost. Each node that executes something counts.

Ranges are widened to whole minutes, hours or days. ``work_packages`` are those of the newest
packages of the range that name the service, each as often as guarantors received it.
"""

from __future__ import annotations

from collections import Counter

import ujson

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.jip3.observed import Phase
from telemetry_twisted.store.read.packages import newest_in, package_counts, window_column
from telemetry_twisted.store.read.ranges import whole, window_of
from telemetry_twisted.store.read.services import PhaseCost, costs_in, phases_of
from telemetry_twisted.timestamps import rfc3339

from .funnels import ALL
from .given import ChartGiven, RangeGiven, Services
from .packages import service_id
from .routes import Row, Rows, grafana
from .scope import Scope, scope_of

MOST_BUCKETS = 12
"""Buckets that are read, at most, unless only those of a day are there."""

MOST_SHOWN = 3500
"""Rows of an answer, at most: those of the least numbers, or in windows as wide as it takes."""

MOST_PAIRS = 50
"""Services and phases that executions are told of, at most."""

PHASES = {"authorization": "authorize", "refinement": "refine", "accumulation": "accumulate"}

NOTHING = {phase.name.lower(): PhaseCost(0, 0, 0, 0) for phase in Phase}

Costs = dict[int, dict[str, PhaseCost]]
"""What services cost, by phase."""


def _signed(service: int) -> int:
    return service - 2**32 if service >= 2**31 else service


async def _costs(sources: Sources, scope: Scope, begin: float, end: float) -> Costs:
    history = sources.history
    span = whole(begin, end, history.now(), history.policy.sums, MOST_BUCKETS)
    found = await costs_in(history, scope.network, span, lambda _: 0)
    return {service: phases_of(costs) for service, costs in found.get(0, {}).items()}


async def _named(
    sources: Sources, scope: Scope, begin: float, end: float, step: int
) -> Counter[tuple[int, int]]:
    """How often guarantors received packages that name a service, by window and service."""
    by = (window_column(step), "services")
    found: Counter[tuple[int, int]] = Counter()
    newest = await newest_in(sources.history, scope.network, begin, end)
    rows = await package_counts(sources.history, newest, by)
    for window, services, _, parts in rows:
        for service in set(ujson.loads(services)):
            found[window * step, service] += parts
    return found


class ServicesGiven(RangeGiven, frozen=True, kw_only=True):
    """Which services."""

    service: Services | None = None


class ServiceChartGiven(ChartGiven, frozen=True, kw_only=True):
    """Which services over time."""

    service: Services | None = None


@grafana("services")
async def services(sources: Sources, given: ServicesGiven) -> Rows:
    """What each service cost."""
    scope = await scope_of(sources, given.network)
    costs = await _costs(sources, scope, *given.range)
    named = await _named(sources, scope, *given.range, ALL)
    known = {*costs, *(service for _, service in named)}
    wanted = known if given.service is None else known & given.service.numbers
    rows = []
    for service in sorted(wanted, key=_signed)[:MOST_SHOWN]:
        phases = costs.get(service, NOTHING)
        rows.append(
            {
                "service_id": service_id(service),
                "work_packages": named[0, service],
                "refinements": phases["refine"].count,
                "refinement_gas": phases["refine"].gas_used,
                "authorizations": phases["authorize"].count,
                "authorization_gas": phases["authorize"].gas_used,
                "executions": phases["accumulate"].count,
                "execution_gas": phases["accumulate"].gas_used,
            }
        )
    return rows


@grafana("services/timeseries")
async def services_over_time(sources: Sources, given: ServiceChartGiven) -> Rows:
    """What each service cost over time."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    begin, end = given.range
    # How many services there are is known from the whole range.
    all_known = len(await _costs(sources, scope, begin, end))
    step = given.step(all_known, MOST_SHOWN)
    most = max(MOST_SHOWN // max(all_known, 1), 1)
    window = window_of(begin, end, step, history.now(), history.policy.sums, most)
    costs = await costs_in(history, scope.network, window, window.at)
    there = {(at, service) for at, of_window in costs.items() for service in of_window}
    named = await _named(sources, scope, begin, end, step)
    found: Rows = []
    keys = sorted({*there, *named}, key=lambda key: (key[0], _signed(key[1])))
    async for at, service in history.turns.steps(keys[: MOST_SHOWN + all_known]):
        if given.service is not None and service not in given.service.numbers:
            continue
        phases = phases_of(costs.get(at, {}).get(service, {}))
        found.append(
            {
                "ts": rfc3339(at),
                "service_id": service_id(service),
                "work_packages": named[at, service],
                "refinement_gas": phases["refine"].gas_used,
                "authorization_gas": phases["authorize"].gas_used,
                "execution_gas": phases["accumulate"].gas_used,
            }
        )
    return found


@grafana("execution")
async def execution(sources: Sources, given: RangeGiven) -> Row:
    """What executing code took in each phase, and of which service."""
    scope = await scope_of(sources, given.network)
    costs = await _costs(sources, scope, *given.range)
    pairs: Rows = [
        {
            "service_id": _signed(service),
            "phase": phase,
            "total_gas": cost.gas_used,
            "count": cost.count,
            "avg_time_ns": cost.elapsed_ns / cost.count,
            "avg_load_ns": cost.load_ns / cost.count,
        }
        for service, phases in costs.items()
        for phase, name in PHASES.items()
        if (cost := phases[name]).count
    ]
    pairs.sort(key=lambda pair: -pair["total_gas"])
    whole_phases = {phase: _average(costs, name) for phase, name in PHASES.items()}
    return {**whole_phases, "by_service": pairs[:MOST_PAIRS]}


def _average(costs: Costs, name: str) -> Row:
    each = [phases[name] for phases in costs.values()]
    count = sum(cost.count for cost in each)
    gas = sum(cost.gas_used for cost in each)
    return {
        "count": count,
        "total_gas": gas,
        "avg_gas": gas / max(count, 1),
        "avg_time_ns": sum(cost.elapsed_ns for cost in each) / max(count, 1),
        "avg_load_ns": sum(cost.load_ns for cost in each) / max(count, 1),
    }


ENDPOINTS: tuple[Endpoint, ...] = (services, services_over_time, execution)
