"""What services cost in each phase of their work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from telemetry_twisted.jip3.observed import LEAVES, Phase
from telemetry_twisted.store.schema.sum_tables import OF_PHASES, OF_SERVICES
from telemetry_twisted.store.tallies import COUNT, Tally, cost_key, sum_alike
from telemetry_twisted.timestamps import rfc3339

from .history import History
from .networks import Network
from .ranges import Span, span_of, whole
from .shapes import Answer, Genesis, Next, Range, Steps
from .sums import MOST_BUCKETS, rows_of

MOST_LISTED = 25
"""Buckets that a list of all services reads, at most, unless only those of a day are there."""

GAS, TIME, LOAD = "total.gas_used", "total.elapsed_ns", "load_ns"


class PhaseCost(Answer):
    """What executing code took in a phase: how often it was, and the gas and the time in all;
    ``load_ns`` is the time that getting the code ready took."""

    count: int
    gas_used: int
    elapsed_ns: int
    load_ns: int


class ServiceCost(Answer):
    """What a service cost. What authorizing a package takes counts for the service of its first
    item; 4294967295 stands for services that nodes, or the server, do not tell apart."""

    service: int
    gas_used: int
    authorize: PhaseCost
    refine: PhaseCost
    accumulate: PhaseCost


class Services(Range):
    """What services cost, those first that used the most gas.

    Each node that executes something counts: a package is refined by each of its guarantors, and a
    block is accumulated by all nodes. Sums of what nodes say, exact.
    """

    genesis: Genesis | None
    services: list[ServiceCost]
    next: Next


class CostParts(Answer):
    """What executing code took in a phase, part by part, by the names that JIP-3 has for them."""

    count: int
    sums: dict[str, int]


class PhaseChart(Answer):
    """Executions in each step, and the gas and the time that they took."""

    counts: list[int]
    gas_used: list[int]
    elapsed_ns: list[int]


class Service(Steps):
    """What a service cost: in all, part by part, and over time."""

    genesis: Genesis | None
    service: int
    authorize: CostParts
    refine: CostParts
    accumulate: CostParts
    charts: dict[str, PhaseChart]


def field_key(phase: int, name: str) -> int:
    """The key in a tally of costs of the field that has a name."""
    return cost_key(phase, LEAVES[phase].index(name) + 1)


_GAS = {phase: field_key(phase, GAS) for phase in Phase}


_LISTED: Mapping[str, Callable[[int], int]] = {
    "service_counts": lambda phase: cost_key(phase, COUNT),
    "service_gas": lambda phase: field_key(phase, GAS),
    "service_times": lambda phase: field_key(phase, TIME),
    "service_loads": lambda phase: field_key(phase, LOAD),
}
"""The key of what each column has by service, in the costs of a service."""


def gas_in(costs: Mapping[int, int]) -> int:
    """The gas of all phases."""
    return sum(costs.get(key, 0) for key in _GAS.values())


def phases_of(costs: Mapping[int, int]) -> dict[str, PhaseCost]:
    """What each phase took, by its name."""

    def cost(phase: Phase) -> PhaseCost:
        return PhaseCost(
            count=costs.get(cost_key(phase, COUNT), 0),
            gas_used=costs.get(_GAS[phase], 0),
            elapsed_ns=costs.get(field_key(phase, TIME), 0),
            load_ns=costs.get(field_key(phase, LOAD), 0),
        )

    return {phase.name.lower(): cost(phase) for phase in Phase}


async def services(
    history: History, network: Network, begin: float, end: float, offset: int, limit: int
) -> Services:
    """What each service cost, those first that used the most gas."""
    kept = {width: at for width, at in history.policy.sums.items() if width > 60}
    span = whole(begin, end, history.now(), kept, MOST_LISTED)
    costs = (await costs_in(history, network, span, lambda _: 0)).get(0, {})
    found = [(gas_in(tally), service, tally) for service, tally in costs.items()]
    found.sort(key=lambda each: (-each[0], each[1]))
    return Services(
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        genesis=network.genesis,
        services=[
            ServiceCost(service=service, gas_used=gas, **phases_of(tally))
            for gas, service, tally in found[offset : offset + limit]
        ],
        next=offset + limit if len(found) > offset + limit else None,
    )


async def costs_in(
    history: History, network: Network, span: Span, window: Callable[[int], int]
) -> dict[int, dict[int, Tally]]:
    """What all services cost that is listed of them: tallies that :func:`phases_of` reads, by what
    ``window`` makes of a bucket, and by service."""
    rows = await rows_of(history, OF_PHASES, span, ("phase", *_LISTED), {"network": network.number})
    packed: dict[tuple[int, int, str], list[bytes]] = {}
    for bucket, phase, *tallies in rows:
        for name, tally in zip(_LISTED, tallies, strict=True):
            packed.setdefault((window(bucket), phase, name), []).append(tally)
    found: dict[int, dict[int, Tally]] = {}
    async for (at, phase, name), tallies in history.turns.steps(packed.items()):
        costs = found.setdefault(at, {})
        key = _LISTED[name](phase)
        for service, number in sum_alike(tallies).items():
            costs.setdefault(service, {})[key] = number
    return found


async def service(
    history: History, network: Network, number: int, begin: float, end: float
) -> Service:
    """What one service cost."""
    span = span_of(begin, end, history.now(), history.policy.sums, MOST_BUCKETS)
    only = {"network": network.number, "service": number}
    steps: list[list[bytes]] = [[] for _ in span.times]
    for bucket, costs in await rows_of(history, OF_SERVICES, span, ("costs",), only):
        steps[span.index(bucket)].append(costs)
    tallies = [sum_alike(rows) async for rows in history.turns.steps(steps)]

    def told(key: int) -> list[int]:
        return [tally.get(key, 0) for tally in tallies]

    def parts(phase: Phase) -> CostParts:
        return CostParts(
            count=sum(told(cost_key(phase, COUNT))),
            sums={name: sum(told(field_key(phase, name))) for name in LEAVES[phase]},
        )

    return Service(
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        resolution_seconds=span.step,
        genesis=network.genesis,
        service=number,
        **{phase.name.lower(): parts(phase) for phase in Phase},
        charts={
            phase.name.lower(): PhaseChart(
                counts=told(cost_key(phase, COUNT)),
                gas_used=told(_GAS[phase]),
                elapsed_ns=told(field_key(phase, TIME)),
            )
            for phase in Phase
        },
    )
