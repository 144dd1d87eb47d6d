"""What following chains should find, worked out in the plainest way: nothing is ever forgotten.

It holds for connections of fewer events than are remembered, and fewer chains than may be open.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from attrs import Factory, define

from telemetry_twisted.jip3.bins import bin_of
from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.moment import COMMON_ERA, Moment
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import LEAVES, NO_CORE, NO_EVENT, Outcome, Phase, Withheld
from telemetry_twisted.jip3.values import Event, decode_event

NOT_KNOWN = "not known"
NO_EVENT_AT_ALL = "no event"
FETCHES = (120, 121, 141, 149)
ALWAYS = (11, 12, 40, 41, 42, 43, 44, 45, 46, 47, 112, 113, 126, 129)


@define(eq=False)
class Chain:
    id: int
    root: int
    top: Chain | None
    core: int
    second: int
    links: list[int] = Factory(list)
    times: dict[int, int | None] = Factory(dict)
    services: list[int] = Factory(list)
    erasure_root: bytes | None = None

    @property
    def outermost(self) -> Chain:
        return self if self.top is None else self.top

    @property
    def patience(self) -> int:
        return 600 if self.outermost.root in (90, 91) else 60


class Model:
    """One connection, with the ``handle`` 1 in network 0."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.past: dict[int, Any] = {}  # kind, chain or a word, by event ID
        self.open: list[Chain] = []  # the longest untouched first
        self.announced: list[str] = []
        self.forget()

    def forget(self) -> None:
        self.outcomes: Counter[Any] = Counter()
        self.latencies: dict[Any, list[int]] = defaultdict(list)
        self.core_events: Counter[Any] = Counter()
        self.costs: dict[Any, list[tuple[int, ...]]] = defaultdict(list)
        self.clock: list[int] = []
        self.sightings: list[Any] = []
        self.fetches: dict[Any, list[Any]] = defaultdict(list)
        self.receipts: list[Any] = []
        self.withheld: Counter[Any] = Counter()

    def used(self, first: int, ids: int, word: str) -> None:
        for id in range(first, first + ids):
            self.past[id % 2**64] = word

    def expire(self, second: int) -> None:
        for chain in [each for each in self.open if second - each.second >= each.patience]:
            self._give_up(chain)

    def end(self) -> None:
        for chain in [*self.open]:
            self._give_up(chain)

    def _give_up(self, chain: Chain) -> None:
        self._close(chain, Outcome.UNFINISHED)
        for id in (chain.id, *chain.links):
            self.past[id] = NOT_KNOWN

    def _close(self, chain: Chain, outcome: Outcome) -> None:
        self.open.remove(chain)
        self.outcomes[1, chain.root, outcome, chain.core] += 1

    def event(self, content: bytes, id: int, moment: Moment) -> str | None:
        """What is wrong with the reference of an event."""
        event = decode_event(content, self.cores)
        kind = event.discriminator
        on_clock = moment.earliest <= event.timestamp <= moment.latest
        if on_clock:
            self.clock.append(moment.arrived - COMMON_ERA - event.timestamp)
        chain, wrong = self._judge(event, id)
        if kind in CHAINS.roots:
            if chain is not None:
                self._touch(chain, moment)
            chain = Chain(
                id,
                kind,
                None if chain is None else chain.outermost,
                NO_CORE if chain is None else chain.core,
                moment.second,
            )
            self.open.append(chain)
        self.past[id] = (kind, chain)
        if kind in CHAINS.links:
            if chain is None:
                self.past[id] = NOT_KNOWN
            else:
                chain.links.append(id)
                for old in chain.links[:-2]:
                    self.past[old] = NOT_KNOWN
                chain.links = chain.links[-2:]
        if wrong is None or kind in CHAINS.roots:
            self._observe(event, content, id, chain, event.timestamp if on_clock else None, moment)
        return wrong

    def _judge(self, event: Event, own: int) -> tuple[Chain | None, str | None]:
        reference = CHAINS.references.get(event.discriminator)
        if reference is None:
            return None, None
        id = next(iter(event.fields.values()))
        past = self.past.get(id)
        if id == own or past is None:
            return None, "refers to an event that is yet to come"
        if past == NOT_KNOWN:
            self.withheld[1, Withheld.ORPHANS] += 1
            return None, None
        if past == NO_EVENT_AT_ALL:
            return None, "refers to no such event"
        kind, chain = past
        if kind not in reference.targets:
            return None, "refers to an event of the wrong type"
        if chain not in self.open:
            return None, "refers to an event that has ended"
        return chain, None

    def _touch(self, chain: Chain, moment: Moment) -> None:
        chain.second = moment.second
        self.open.remove(chain)
        self.open.append(chain)

    def _observe(
        self,
        event: Event,
        content: bytes,
        id: int,
        chain: Chain | None,
        time: int | None,
        moment: Moment,
    ) -> None:
        kind, fields = event.discriminator, event.fields
        core = fields.get("core", NO_CORE)
        core = core if core < self.cores else NO_CORE
        if chain is not None:
            self._touch(chain, moment)
            chain.core = core = core if "core" in fields else chain.core
            if kind == 94:
                items = fields["outline"]["work_items"]
                chain.services = [item["service_id"] for item in items][:16]
            if chain.root in FETCHES and "erasure_root" in fields:
                chain.erasure_root = bytes.fromhex(fields["erasure_root"][2:])
            for number, latency in enumerate(CHAINS.latencies):
                began = chain.times.get(latency.begin)
                if latency.end == kind and began is not None and time is not None:
                    if time >= began:
                        key = (1, number, core, bin_of(time - began))
                        self.latencies[key].append(time - began)
                    else:
                        self.withheld[1, Withheld.TIME_BACKWARDS] += 1
            chain.times[kind] = time
        if core != NO_CORE:
            self.core_events[1, kind, core] += 1
        for phase, service, parts in _costs(event, [] if chain is None else chain.services):
            if service is None:
                self.withheld[1, Withheld.COSTS] += 1
            else:
                self.costs[0, phase, service, core].append(parts)
        if time is not None:
            if kind == 131:
                anchor, sender = (bytes.fromhex(fields[name][2:]) for name in ("anchor", "sender"))
                self.receipts.append((0, anchor, sender, 1, COMMON_ERA + time))
            self._see(kind, fields, content, id, chain, moment)
        if chain is not None:
            ends = CHAINS.roots[chain.root]
            if kind in ends.success | ends.failure:
                well = kind in ends.success
                self._close(chain, Outcome.SUCCESS if well else Outcome.FAILURE)
                if chain.erasure_root is not None:
                    began = chain.times[chain.root]
                    took = None
                    if well and began is not None and time is not None and time >= began:
                        took = time - began
                    fetched = (0, chain.root, chain.erasure_root)
                    self.fetches[fetched].append((well, moment.arrived, took))

    def _see(
        self,
        kind: int,
        fields: dict[str, Any],
        content: bytes,
        id: int,
        chain: Chain | None,
        moment: Moment,
    ) -> None:
        if fields.get("slot", 0) > moment.newest_slot:
            return
        of_package = chain is not None and chain.outermost.root in (90, 91)
        if kind == 62:
            if fields["hash"] in self.announced[-16:]:
                return
            self.announced.append(fields["hash"])
        elif kind not in ALWAYS and not of_package:
            return
        place: tuple[int, ...] = (0, 0, id, NO_EVENT, NO_EVENT)
        if chain is not None:
            top = chain.outermost
            place = (chain.root, top.root, id, chain.id, top.id)
        told = content[: 17 if kind == 47 else 8192]
        self.sightings.append((1, *place, moment.arrived, told))

    def found(self) -> dict[str, Any]:
        """What was found, in the form of :func:`found_in`."""
        return {
            "outcomes": dict(self.outcomes),
            "latencies": {key: (len(row), sum(row)) for key, row in self.latencies.items()},
            "cores": dict(self.core_events),
            "costs": {
                key: (len(row), tuple(map(sum, zip(*row, strict=True))))
                for key, row in self.costs.items()
            },
            "clocks": [(1, min(self.clock), max(self.clock))] if self.clock else [],
            "sightings": self.sightings,
            "fetches": {key: _added_up(row) for key, row in self.fetches.items()},
            "receipts": Counter(self.receipts),
            "withheld": dict(self.withheld),
        }


def _costs(event: Event, services: list[int]) -> Iterator[tuple[int, int | None, tuple[int, ...]]]:
    match event.discriminator:
        case 95:
            costs = [event.fields["cost"]]
            phase = Phase.AUTHORIZE
        case 101:
            costs = event.fields["costs"]
            phase = Phase.REFINE
        case 47:
            for service, cost in event.fields["accumulate_costs"]:
                yield Phase.ACCUMULATE, service, tuple(_leaves(cost))
            return
        case _:
            return
    for index, cost in enumerate(costs):
        yield phase, services[index] if index < len(services) else None, tuple(_leaves(cost))


def _leaves(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        for member in value.values():
            yield from _leaves(member)
    else:
        yield value


def _added_up(row: list[tuple[bool, int, int | None]]) -> tuple[int, ...]:
    times = [took for _, _, took in row if took is not None]
    arrivals = [arrived for _, arrived, _ in row]
    well = sum(1 for well, _, _ in row if well)
    first, last = min(arrivals), max(arrivals)
    return well, len(row) - well, first, last, sum(times), max(times, default=0)


def found_in(body: bytes) -> dict[str, Any]:
    """What is in the body of ``OBSERVATIONS``, by key; nothing in one that is empty."""
    told = Observations.decode(body) if body else Observations(0, 0)
    assert all(len(row.sums) == len(LEAVES[row.phase]) for row in told.costs)
    found: dict[str, Any] = {
        "outcomes": {row[:-1]: row[-1] for row in told.outcomes},
        "latencies": {row[:4]: row[4:] for row in told.latencies},
        "cores": {row[:-1]: row[-1] for row in told.cores},
        "costs": {row[:4]: row[4:] for row in told.costs},
        "clocks": [tuple(row) for row in told.clocks],
        "sightings": [tuple(row) for row in told.sightings],
        "fetches": {row[:3]: row[3:] for row in told.fetches},
        "receipts": Counter((*row[:3], *each) for row in told.assurances for each in row[3]),
        "withheld": {row[:-1]: row.times for row in told.withheld},
    }
    rows = sum(map(len, (told.outcomes, told.latencies, told.cores, told.costs, told.fetches)))
    keys = ("outcomes", "latencies", "cores", "costs", "fetches")
    assert rows == sum(len(found[key]) for key in keys)
    return found
