"""What events add up to: how chains end, how long they take, what cores do and services cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from attrs import Factory, define

from ..jip3.chains import CHAINS
from ..jip3.table import TABLE
from .chains import UNFINISHED, Chain
from .schedule import Event

AUTHORIZE, REFINE, ACCUMULATE = "authorize", "refine", "accumulate"
"""The phases that a service costs something in."""

OutcomeKey = tuple[str, str, int | None]
"""The name of a root, an outcome, a core if there is one."""

LatencyKey = tuple[str, int | None]
"""The name of a latency, a core if there is one."""

CostKey = tuple[str, int | None, int | None]
"""A phase, a service, a core if there is one; the service is None if no event has told it."""

COUNT = "count"
"""What the number of costs goes by, beside the names of their leaves."""


class _Meaning(NamedTuple):
    """What an event of some name means in its chain.

    ``ends`` are the latencies that end with it, each with the name of the event that it began with;
    ``begins`` says whether one begins with it, ``names_core`` whether it says which core.
    """

    ends: Sequence[tuple[str, str]]
    begins: bool
    names_core: bool


def _meaning(name: str, number: int) -> _Meaning:
    ends = [(each.name, _NAMES[each.begin]) for each in CHAINS.latencies if each.end == number]
    begins = any(each.begin == number for each in CHAINS.latencies) or number in CHAINS.roots
    return _Meaning(ends, begins, name in ("WorkPackageReceived", "DuplicateWorkPackage"))


_NAMES = {number: event.name for number, event in TABLE.events.items()}
_MEANINGS = {name: _meaning(name, number) for number, name in _NAMES.items()}
_NAMING_CORE = {name for name, meaning in _MEANINGS.items() if meaning.names_core}
_COSTLY = {"Authorized", "Refined", "BlockExecuted"}


@define(eq=False)
class Sums:
    """How many chains ended how; durations in microseconds, by latency, and how often each; events
    of chains that have a core, by core and name; costs, summed by the name of each leaf."""

    outcomes: Counter[OutcomeKey] = Factory(Counter)
    cores: Counter[tuple[int, str]] = Factory(Counter)
    _durations: defaultdict[LatencyKey, list[int]] = Factory(lambda: defaultdict(list))
    _latencies: defaultdict[LatencyKey, Counter[int]] = Factory(lambda: defaultdict(Counter))
    _told_costs: list[tuple[Chain | None, Event]] = Factory(list)
    _costs: defaultdict[CostKey, Counter[str]] = Factory(lambda: defaultdict(Counter))
    _open: set[Chain] = Factory(set)

    def add(self, event: Event) -> None:
        """Count ``event`` in, the next one in the order of time."""
        time, name, _, chain, outcome = event
        if chain is None:
            self._add_alone(event)
            return
        ends, begins, names_core = _MEANINGS[name]
        top = chain.top
        if names_core:
            _tell_core(top, event)
        core = top.core
        if core is not None:
            self.cores[core, name] += 1
        for latency, begin in ends:
            begun = chain.times.get(begin)
            if begun is not None:
                self._durations[latency, core].append(time - begun)
        if begins:
            if not chain.times:
                self._open.add(chain)
            chain.times[name] = time
        if name in _COSTLY:
            self._told_costs.append((chain, event))
        if outcome is not None:
            chain.outcome = outcome
            self.outcomes[chain.root, outcome, core] += 1
            self._open.discard(chain)

    def _add_alone(self, event: Event) -> None:
        """Count in an event of no chain that is known."""
        if event.name in _NAMING_CORE:
            self.cores[event.fields["core"], event.name] += 1
        elif event.name in _COSTLY:
            self._told_costs.append((None, event))

    @property
    def latencies(self) -> Mapping[LatencyKey, Mapping[int, int]]:
        """How often each duration was, by latency."""
        for latency, durations in self._durations.items():
            self._latencies[latency].update(durations)
        self._durations.clear()
        return self._latencies

    @property
    def costs(self) -> Mapping[CostKey, Mapping[str, int]]:
        """The sum of each leaf, and of :data:`COUNT`, by phase, service and core."""
        for chain, event in self._told_costs:
            for key, cost in _costs(chain, event):
                sums = self._costs[key]
                sums[COUNT] += 1
                for leaf, value in _leaves(cost):
                    sums[leaf] += value
        self._told_costs.clear()
        return self._costs

    def absorb(self, other: Sums, times: int = 1) -> None:
        """Count in what ``other`` holds, so many ``times``; what is open there ends unfinished."""
        for outcome, count in other.ended().items():
            self.outcomes[outcome] += count * times
        for latency, durations in other.latencies.items():
            own = self._latencies[latency]
            for duration, count in durations.items():
                own[duration] += count * times
        for of_core, count in other.cores.items():
            self.cores[of_core] += count * times
        for key, sums in other.costs.items():
            own_sums = self._costs[key]
            for leaf, value in sums.items():
                own_sums[leaf] += value * times

    def ended(self) -> Counter[OutcomeKey]:
        """How many chains ended how, once no event comes any more: those open are unfinished."""
        open_ones = Counter((chain.root, UNFINISHED, chain.top.core) for chain in self._open)
        return self.outcomes + open_ones


def _tell_core(chain: Chain, event: Event) -> None:
    chain.core = event.fields["core"]
    if "outline" in event.fields:
        items = event.fields["outline"]["work_items"]
        chain.services = [item["service_id"] for item in items]


def _costs(chain: Chain | None, event: Event) -> Iterable[tuple[CostKey, Mapping[str, Any]]]:
    """What ``event`` says that services cost: the authorization is the first item's service's."""
    if event.name == "BlockExecuted":
        for service, cost in event.fields["accumulate_costs"]:
            yield (ACCUMULATE, service, None), cost
        return
    services = chain.services if chain else ()
    core = chain.core if chain else None
    if event.name == "Authorized":
        yield (AUTHORIZE, services[0] if services else None, core), event.fields["cost"]
        return
    costs = event.fields["costs"]
    whose: Sequence[int | None] = services or [None] * len(costs)
    for service, cost in zip(whose, costs, strict=True):
        yield (REFINE, service, core), cost


def _leaves(cost: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    for name, value in cost.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
