"""The account of a run, to hold a server to: what nodes meant by what they sent.

:meth:`Account.load` reads what ``telemetry-simulator --account FILE`` wrote,
:meth:`Account.of` takes it from a run in this process. Times are in microseconds of the JAM Common
Era, by the clock of the node that told them; durations are in microseconds. Nodes are validator
indices, hashes as in the stream's JSON.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from attrs import evolve, frozen

from .network import Network
from .sums import CostKey, LatencyKey, OutcomeKey
from .tally import Tally
from .telling import tell_account

Told = Mapping[str, Any]
"""What was told of one connection, in the form of :func:`.telling.tell_account`."""

NodeTime = tuple[int, int]
"""A node and when it told something."""


class Cost(NamedTuple):
    """How many costs were told, and the sum of each leaf by its dotted name."""

    told: int
    leaves: dict[str, int]


class JourneyEvent(NamedTuple):
    """An event about a work package: on which node, and on which of the account's connections."""

    time: int
    node: int
    connection: int
    event_id: int
    name: str


@frozen
class Journey:
    """A work package over all its guarantors (validators, primary first).

    ``outcomes`` says how each guarantor's chain ended, by connection and root. ``events`` are in
    the order of time, and those of chains that never named the package are left out: these are
    journeys of their own, whose ``package`` is empty.
    """

    package: str
    report: str
    erasure_root: str
    core: int
    slot: int
    guarantors: tuple[int, ...]
    fate: str
    outcomes: dict[tuple[int, str], str]
    events: list[JourneyEvent]


@frozen
class SpreadBlock:
    """A block: its author, outline, and by stage each node and when it first told of that."""

    slot: int
    hash: str
    author: int
    outline: Mapping[str, Any]
    stages: dict[str, dict[int, int]]


@frozen
class Guarantee:
    """A guarantee, by the hash of its report: who told that it was built, received, discarded."""

    report: str
    built: list[NodeTime]
    received: list[NodeTime]
    discarded: list[tuple[int, str, int]]


@frozen
class Assurance:
    """The assurance of ``anchor`` by ``sender``: when it said that it begins, and who received it
    when, as often as it was told."""

    anchor: str
    sender: int
    begun: list[int]
    received: list[NodeTime]


class Fetched(NamedTuple):
    """Requests of one kind by erasure root: those that succeeded took ``total`` in all."""

    succeeded: int
    failed: int
    total: int
    greatest: int


@frozen
class Account:
    """``told`` is in the form of :func:`.telling.tell_account`; of its connections only those in
    ``connections`` count."""

    told: Mapping[str, Any]
    connections: Sequence[Told]

    @classmethod
    def load(cls, path: Path, of: Callable[[Told], bool] = bool) -> Account:
        """The account in a file; ``of`` says which connections count, all by default.

        :raises OSError, ValueError: if it cannot be read, or is none.
        """
        return cls._from(json.loads(path.read_text()), of)

    @classmethod
    def of(cls, network: Network, tallies: Iterable[tuple[int, Tally]]) -> Account:
        """The account of what nodes have sent, whose tallies keep records."""
        return cls._from(json.loads(json.dumps(tell_account(network, tallies))), bool)

    @classmethod
    def _from(cls, told: Mapping[str, Any], of: Callable[[Told], bool]) -> Account:
        return cls(told, [each for each in told["connections"] if of(each)])

    def node_id(self, node: int) -> str:
        """The ID of a validator, as the server shows it."""
        return str(self.told["validators"][node])

    def clock_offset(self, node: int) -> int:
        """By how many microseconds the clock of a node is ahead."""
        return int(self.told["clock_offsets"][node])

    def troubled(self, name: str) -> list[int]:
        """The nodes that have a trouble, by its name; none if it was not simulated."""
        return list(self.told["troubles"].get(name, ()))

    def missed_slots(self) -> list[int]:
        """The slots without a block while nodes were sending."""
        return [int(slot) for slot, each in self.told["slots"].items() if each["missed"]]

    def outcomes(self) -> Counter[OutcomeKey]:
        """How many chains ended how."""
        return self._counted("outcomes")

    def cores(self) -> Counter[tuple[int, str]]:
        """Events of chains that have a core."""
        return self._counted("cores")

    def latencies(self) -> dict[LatencyKey, Counter[int]]:
        """How often a latency was so long."""
        found: defaultdict[LatencyKey, Counter[int]] = defaultdict(Counter)
        for connection in self.connections:
            for name, core, durations in connection["latencies"]:
                found[name, core].update(dict(durations))
        return dict(found)

    def costs(self) -> dict[CostKey, Cost]:
        """What services cost, by phase and core."""
        counts: Counter[CostKey] = Counter()
        sums: defaultdict[CostKey, Counter[str]] = defaultdict(Counter)
        for connection in self.connections:
            for phase, service, core, count, leaves in connection["costs"]:
                if service is None:
                    continue
                counts[phase, service, core] += count
                sums[phase, service, core].update(leaves)
        return {key: Cost(counts[key], dict(sums[key])) for key in counts}

    def withheld(self) -> Counter[tuple[int, str]]:
        """What cannot be understood for what was dropped, by node: ``orphans``, events that refer
        to what is not known, and ``costs`` of which it is not known whose they are."""
        found: Counter[tuple[int, str]] = Counter()
        for connection in self.connections:
            node = connection["node"]
            found[node, "orphans"] += connection["orphans"]
            for _, service, _, count, _ in connection["costs"]:
                found[node, "costs"] += count if service is None else 0
        return +found

    def journeys(self) -> dict[str, Journey]:
        """Work packages that some guarantor has named, by hash."""
        journeys: dict[str, Journey] = {}
        for number, connection, chain in self._rows("packages"):
            if not chain["told"]:
                continue
            package = chain["package"]
            journey = journeys.setdefault(package, self._journey(package))
            _add(journey, number, connection["node"], chain)
        for journey in journeys.values():
            journey.events.sort()
        return journeys

    def nameless(self) -> list[Journey]:
        """Chains of guarantors that have not named their package, each for itself."""
        journeys = []
        for number, connection, chain in self._rows("packages"):
            if not chain["told"]:
                journeys.append(evolve(self._journey(chain["package"]), package=""))
                _add(journeys[-1], number, connection["node"], chain)
        return journeys

    def blocks(self) -> dict[str, SpreadBlock]:
        """The blocks of the slots in which nodes were sending, by hash."""
        blocks = {
            block["hash"]: SpreadBlock(int(slot), stages={}, **block)
            for slot, each in self.told["slots"].items()
            for block in each["blocks"]
        }
        for connection in self.connections:
            for block, stages in connection["blocks"].items():
                for stage, times in stages.items():
                    if block in blocks:
                        nodes = blocks[block].stages.setdefault(stage, {})
                        node = connection["node"]
                        nodes[node] = min(times[0], nodes.get(node, times[0]))
        return blocks

    def guarantees(self) -> dict[str, Guarantee]:
        """Guarantees by the hash of their report."""
        found: dict[str, Guarantee] = {}

        def of(report: str) -> Guarantee:
            return found.setdefault(report, Guarantee(report, [], [], []))

        for _, connection, (report, time) in self._rows("built"):
            of(report).built.append((connection["node"], time))
        for _, connection, (report, time) in self._rows("received"):
            of(report).received.append((connection["node"], time))
        for _, connection, (report, reason, time) in self._rows("discarded"):
            of(report).discarded.append((connection["node"], reason, time))
        return found

    def assurances(self) -> dict[tuple[str, int], Assurance]:
        """Assurances by anchor and sender."""
        found: dict[tuple[str, int], Assurance] = {}

        def of(anchor: str, sender: int) -> Assurance:
            return found.setdefault((anchor, sender), Assurance(anchor, sender, [], []))

        for _, connection, (anchor, time) in self._rows("distributing"):
            of(anchor, connection["node"]).begun.append(time)
        for connection in self.connections:
            for anchor, senders in connection["assured"].items():
                for sender, time in senders:
                    of(anchor, sender).received.append((connection["node"], time))
        return found

    def fetches(self) -> dict[tuple[str, str], Fetched]:
        """Requests for shards and bundles, by the root of their chains and erasure root."""
        found: dict[tuple[str, str], Fetched] = {}
        for _, _, (root, of, succeeded, failed, total, greatest) in self._rows("fetches"):
            known = found.get((root, of), Fetched(0, 0, 0, 0))
            found[root, of] = Fetched(
                known.succeeded + succeeded,
                known.failed + failed,
                known.total + total,
                max(known.greatest, greatest),
            )
        return found

    def _journey(self, package: str) -> Journey:
        told = self.told["packages"][package]
        return Journey(
            package=package,
            outcomes={},
            events=[],
            **{**told, "guarantors": tuple(told["guarantors"])},
        )

    def _counted(self, what: str) -> Counter[Any]:
        total: Counter[Any] = Counter()
        for _, _, (*key, count) in self._rows(what):
            total[tuple(key)] += count
        return total

    def _rows(self, what: str) -> Iterator[tuple[int, Told, Any]]:
        for number, connection in enumerate(self.connections):
            for row in connection[what]:
                yield number, connection, row


def _add(journey: Journey, number: int, node: int, chain: Told) -> None:
    """Let ``chain`` be part of ``journey``, on the connection of a node."""
    journey.outcomes[number, chain["root"]] = chain["outcome"]
    journey.events.extend(
        JourneyEvent(time, node, number, event_id, name) for event_id, name, time in chain["events"]
    )
