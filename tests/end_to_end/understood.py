"""What history has understood of networks, held to the simulator's account of what nodes meant.

Each function returns in words what history has otherwise than the account; times are compared to
the microsecond.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import ujson
from attrs import frozen

from telemetry_twisted.jip3.bins import bin_of
from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import (
    LEAVES,
    NO_CORE,
    CoreCount,
    Cost,
    LatencyCount,
    Outcome,
    OutcomeCount,
    Phase,
    Withheld,
    WithheldCount,
)
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.network.journey import EVENT
from telemetry_twisted.network.reporters import OFF
from telemetry_twisted.network.slot import STAGES
from telemetry_twisted.network.spread import Spread, ranks
from telemetry_twisted.simulator.account import Account, Journey
from telemetry_twisted.store.detail import unpack_detail
from tests.end_to_end.account import Query, differences
from tests.store.write.sums_truth import Told, add_observations, clocks_in, sums_in

LATEST = 10_000_000
"""What the fastest of a node's messages may take on a machine that is busy, in microseconds."""

NAMES = {kind: event.name for kind, event in TABLE.events.items()}
_KINDS = {name: kind for kind, name in NAMES.items()}
_LATENCIES = {latency.name: number for number, latency in enumerate(CHAINS.latencies)}

_BEST_FIRST = ("distributed", "failed", "unfinished", "shared", "duplicate")
"""How a work package ends: as it did for the guarantor with whom it came to the best of these."""


@frozen
class Understood:
    """A database, and the account of the one network that sent to it."""

    query: Query
    account: Account

    def wrong(self) -> list[str]:
        """Everything in which they differ."""
        return [
            *self.sums(),
            *self.clocks(),
            *self.journeys(),
            *self.packages(),
            *self.blocks(),
            *self.guarantees(),
            *self.assurances(),
            *self.fetches(),
        ]

    @property
    def _ids(self) -> dict[int, str]:
        return dict(self.query("SELECT node, node_id FROM nodes"))

    # What is added up

    def sums(self) -> list[str]:
        """Outcomes, latencies (counts, sums and bins), events by core, costs, and what is withheld:
        nothing but what cannot be understood for what nodes dropped."""
        return differences("sums", *self.both_sums())

    def both_sums(self) -> tuple[Told, Told]:
        """All that is added up, as it should be and as it is found."""
        genesis = self.account.told["genesis"]
        expected: Told = Counter()
        observed = _observations(self.account)
        add_observations(expected, observed, lambda handle: (self.account.node_id(handle), genesis))
        return expected, sums_in(self.query)

    def clocks(self) -> list[str]:
        """The fastest message of each node took a little, by a clock that was off as was told."""
        told = {self.account.node_id(each["node"]): each for each in self.account.connections}
        found = clocks_in(self.query)
        wrong = [f"no clock is known of {node}" for node in told.keys() - found.keys()]
        for node, (least, greatest) in found.items():
            took = least + self.account.clock_offset(told[node]["node"])
            if not 0 <= took <= LATEST or greatest < least:
                wrong.append(f"the clock of {node} is off by {least} to {greatest}, {took} too far")
        return wrong

    # What is told one by one

    def journeys(self) -> list[str]:
        """The events of each work package whose hash is known, on every node, and how it ended."""
        expected = {
            journey.package: sorted(
                (event.time, self.account.node_id(event.node), event.event_id, event.name)
                for event in journey.events
            )
            for journey in self.account.journeys().values()
        }
        return differences("journeys", expected, self.journey_events())

    def journey_events(self) -> dict[str, list[tuple[int, str, int, str]]]:
        """The events that history has of each: time, node, ID and name."""
        ids = self._ids
        found: dict[str, Any] = {}
        for package, detail in self._journeys("detail"):
            numbers, (_, events, *_) = unpack_detail(bytes(detail))
            assert package not in found
            found[package] = sorted(
                (time - COMMON_ERA, ids[numbers[node]], event, NAMES[kind])
                for node, kind, _, time, _, event in EVENT.iter_unpack(events)
            )
        return found

    def left_out(self) -> int:
        """How many events of journeys were too many to be kept."""
        return sum(left_out for _, left_out in self._journeys("left_out"))

    def packages(self) -> list[str]:
        """How the journey of each work package ended, and what was told of the package."""
        expected = {}
        for package, journey in self.account.journeys().items():
            names = {event.name for event in journey.events}
            is_built = "WorkReportBuilt" in names
            expected[package] = (
                ending(journey),
                journey.core,
                journey.report if is_built else None,
                journey.erasure_root if is_built else None,
                "GuaranteeBuilt" in names,
            )
        found = {
            package: (outcome, core, _hex(report), _hex(erasure_root), slot is not None)
            for package, outcome, core, report, erasure_root, slot in self._journeys(
                "outcome", "core", "report", "erasure_root", "slot"
            )
        }
        return differences("packages", expected, found)

    def _journeys(self, *columns: str) -> Iterator[tuple[Any, ...]]:
        """The hash of each package that has one, and some columns of its journey."""
        for hash, outcome, *told in self.query(
            f"SELECT hash, outcome, {', '.join(columns)} FROM journeys"
        ):
            if len(hash) == 32 and outcome != "named":
                yield f"0x{bytes(hash).hex()}", *told

    def blocks(self) -> list[str]:
        """Authors, contents, and when each node first reported each stage of a slot."""
        known = self.account.blocks()
        expected: dict[Any, Any] = {}
        for block in known.values():
            author = self.account.node_id(block.author)
            if "authored" in block.stages:
                time = block.stages["authored"][block.author]
                expected["block", block.slot, block.hash] = (
                    author,
                    block.outline["size_bytes"],
                    time,
                )
            for stage in STAGES:
                for node, time in block.stages.get(stage, {}).items():
                    key = (stage, block.slot, self.account.node_id(node))
                    expected[key] = min(time, expected.get(key, time))
        found: dict[Any, Any] = {}
        slots = {key[1] for key in expected}
        wrong = []
        for slot, told, stages, detail in self.query(
            "SELECT slot, blocks, stages, detail FROM network_slots"
        ):
            for hash, author, authored, _, _, outline, _ in ujson.loads(told):
                if author is not None and f"0x{hash}" in known:
                    built = author, outline[0], authored - COMMON_ERA
                    found["block", slot, f"0x{hash}"] = built
            if slot in slots:
                spreads = self._spreads(detail)
                found.update(self._stages(slot, spreads))
                wrong += self._corrected(slot, spreads, ujson.loads(stages))
        return differences("blocks", expected, found) + wrong

    def _spreads(self, detail: bytes) -> dict[str, Spread]:
        """How a slot spread stage by stage, by the numbers of nodes in the database."""
        numbers, (dumped, _) = unpack_detail(bytes(detail))
        return {
            stage: Spread.load(packed, numbers)
            for stage, packed in zip(STAGES, dumped[1], strict=True)
        }

    def _stages(self, slot: int, spreads: Mapping[str, Spread]) -> dict[Any, Any]:
        ids, ahead, found = self._ids, self._ahead, {}
        for stage, reports in spreads.items():
            for number, time, offset in zip(
                reports.nodes, reports.times, reports.offsets, strict=True
            ):
                node = ids[number]
                assert offset != OFF
                assert 0 <= offset + ahead[node] <= LATEST
                found[stage, slot, node] = time - COMMON_ERA
        return found

    @property
    def _ahead(self) -> dict[str, int]:
        """By how much the clock of each node is ahead."""
        nodes = range(self.account.told["nodes"])
        return {self.account.node_id(node): self.account.clock_offset(node) for node in nodes}

    def _corrected(
        self, slot: int, spreads: Mapping[str, Spread], told: Mapping[str, Any]
    ) -> list[str]:
        """Where delays with clocks' offsets taken out are not as right as is said: to within the
        difference of the fastest messages of two nodes."""
        ids, ahead, wrong = self._ids, self._ahead, []
        for stage, reports in spreads.items():
            if not len(reports):
                continue
            clocks = [ahead[ids[number]] for number in reports.nodes]
            true = ranks(time - by for time, by in zip(reports.times, clocks, strict=True))
            assert true is not None
            delays = [offset + by for offset, by in zip(reports.offsets, clocks, strict=True)]
            uncertain = max(delays) - min(delays)
            _, off_clock, _, corrected = told[stage]
            if off_clock or any(
                abs(rank - exact) > uncertain
                for rank, exact in zip(corrected[1:], true[1:], strict=True)
            ):
                wrong.append(f"{stage} of {slot}: {corrected}, {true} to within {uncertain}")
        return wrong

    def guarantees(self) -> list[str]:
        """Who built each, how often it was received and thrown away, and its spread as reported."""
        expected = {}
        for report, told in self.account.guarantees().items():
            first: dict[int, int] = {}
            for node, time in told.received:
                first[node] = min(time, first.get(node, time))
            spread = ranks(first.values())
            expected[report] = (
                {self.account.node_id(node): t for node, t in sorted(told.built, reverse=True)},
                len(told.received),
                Counter(reason for _, reason, _ in told.discarded),
                len(first),
                None if spread is None else [spread.first + COMMON_ERA, *spread[1:]],
            )
        found = {}
        for report, built, receptions, spread, discards in self.query(
            "SELECT report, built, receptions, spread, discards FROM guarantees"
        ):
            nodes, off_clock, reported, _ = ujson.loads(spread)
            assert not off_clock
            found[f"0x{bytes(report).hex()}"] = (
                {node: time - COMMON_ERA for node, (time, _) in ujson.loads(built).items()},
                receptions,
                Counter(ujson.loads(discards)),
                nodes,
                reported,
            )
        return differences("guarantees", expected, found)

    def assurances(self) -> list[str]:
        """When each began, how often it was received, and after how long, as reported."""
        found: dict[Any, Any] = {}
        for anchor, detail in self.query("SELECT anchor, detail FROM anchors"):
            _, (senders, _) = unpack_detail(bytes(detail))
            for sender, began, _, _, _, _, receptions, off_clock, reported, _, waiting in senders:
                assert not off_clock
                assert began is None or not waiting
                key = f"0x{bytes(anchor).hex()}", bytes(sender).hex()
                assert key not in found
                found[key] = began, receptions, reported if began is not None else None
        expected: dict[Any, Any] = {}
        for (anchor, node), told in self.account.assurances().items():
            began = min(told.begun, default=None)
            bins = None
            if began is not None:
                bins = dict(Counter(bin_of(max(time - began, 0)) for _, time in told.received))
                began += COMMON_ERA
            expected[anchor, self.account.node_id(node)] = began, len(told.received), bins
        return differences("assurances", expected, found)

    def fetches(self) -> list[str]:
        """Requests by the root of their chains and erasure root."""
        found = {
            (NAMES[int(kind)], f"0x{bytes(root).hex()}"): (succeeded, failed, total, greatest)
            for root, kinds in self.query("SELECT erasure_root, kinds FROM fetches")
            for kind, (succeeded, failed, _, _, total, greatest) in ujson.loads(kinds).items()
        }
        expected = {key: tuple(each) for key, each in self.account.fetches().items()}
        return differences("fetches", expected, found)


def _observations(account: Account) -> Observations:
    """The account of all that is added up, as observations of nodes by their index."""
    outcomes, latencies, cores, costs = [], [], [], []
    for told in account.connections:
        node = told["node"]
        for root, outcome, core, count in told["outcomes"]:
            ended = Outcome[outcome.upper()]
            outcomes.append(OutcomeCount(node, _KINDS[root], ended, _core(core), count))
        for name, core, durations in told["latencies"]:
            for time, count in durations:
                of = node, _LATENCIES[name], _core(core), bin_of(time)
                latencies.append(LatencyCount(*of, count, count * time))
        for core, name, count in told["cores"]:
            cores.append(CoreCount(node, _KINDS[name], core, count))
        for phase_name, service, core, count, leaves in told["costs"]:
            if service is None:
                continue
            phase = Phase[phase_name.upper()]
            sums = tuple(leaves[leaf] for leaf in LEAVES[phase])
            costs.append(Cost(0, phase, service, _core(core), count, sums))
    return Observations(
        0,
        0,
        (bytes.fromhex(account.told["genesis"][2:]),),
        outcomes=tuple(outcomes),
        latencies=tuple(latencies),
        cores=tuple(cores),
        costs=tuple(costs),
        withheld=tuple(
            WithheldCount(node, Withheld[what.upper()], count)
            for (node, what), count in account.withheld().items()
        ),
    )


def _hex(value: bytes | None) -> str | None:
    return None if value is None else f"0x{bytes(value).hex()}"


def _core(core: int | None) -> int:
    return NO_CORE if core is None else core


def ending(journey: Journey) -> str:
    """How a journey has to end, by what the chains of its guarantors came to."""
    ends = set()
    for (connection, root), outcome in journey.outcomes.items():
        if outcome == "success":
            ends.add("distributed" if root == "WorkPackageSubmission" else "shared")
        elif outcome == "failure" and (connection, "DuplicateWorkPackage") in {
            (event.connection, event.name) for event in journey.events
        }:
            ends.add("duplicate")
        else:
            ends.add("failed" if outcome == "failure" else outcome)
    return next(outcome for outcome in _BEST_FIRST if outcome in ends)
