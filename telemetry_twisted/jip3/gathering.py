"""Gathers what all followers of a process find in a second, and makes observations of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from .bins import bin_of
from .following import Follower
from .observations import Observations
from .observed import (
    MOST_SUM,
    Assurance,
    Clock,
    CoreCount,
    Cost,
    Fetch,
    LatencyCount,
    Outcome,
    OutcomeCount,
    Phase,
    Sighting,
    Withheld,
    WithheldCount,
)

MOST_ROWS = 65_536
"""Rows of a section from one :meth:`PythonGatherer.take` to the next."""

MOST_ROWS_OF_NODE = 4096
"""Rows that are made for one node in that time, receipts included."""

MOST_RECEIPTS = 1 << 19
"""Receipts of assurances in that time: as many as if half of 1,024 nodes, which is what one of two
processes has, received all assurances of a slot at once. Each takes ten bytes of the record."""

MOST_RECEIPTS_OF_ONE = 65_535
"""Receipts of one assurance in that time; their number is two bytes of the record."""

MOST_SIGHTING_BYTES = 1 << 22
"""What sightings may take in that time, each :data:`SIGHTING_BYTES` and what is told of it."""

SIGHTING_BYTES = 38
"""What a sighting takes beside what is told of the message."""

NO_NETWORK = 255
"""Stands for a genesis hash that has no index, of which nothing is summed up."""


class PythonGatherer:
    """Implements :class:`.codec.Gatherer` for followers in Python."""

    def __init__(self) -> None:
        self._followers: dict[Follower, None] = {}
        self._second = 0
        self._clear()

    def _clear(self) -> None:
        self._outcomes: Counter[tuple[int, int, int, int]] = Counter()
        self._latencies: dict[tuple[int, int, int, int], list[int]] = {}
        self._cores: Counter[tuple[int, int, int]] = Counter()
        self._costs: dict[tuple[int, int, int, int], list[int]] = {}
        self._clocks: list[Clock] = []
        self._sightings: list[Sighting] = []
        self._sighting_bytes = 0
        self._fetches: dict[tuple[int, int, bytes], list[int]] = {}
        self._assurances: dict[tuple[int, bytes, bytes], list[tuple[int, int]]] = {}
        self._receipts = 0
        self._withheld: Counter[tuple[int, int]] = Counter()

    def add(self, follower: Follower) -> None:
        """``follower`` has begun."""
        self._followers[follower] = None

    def remove(self, follower: Follower) -> None:
        """``follower`` will find nothing more."""
        self._read_clock(follower)
        del self._followers[follower]

    def take(self, began: int, ended: int, second: int, networks: Sequence[bytes]) -> bytes:
        """Implements :meth:`.codec.Gatherer.take`."""
        if second != self._second:
            self._second = second
            for follower in self._followers:
                follower.expire(second)
        for follower in self._followers:
            self._read_clock(follower)
            follower.rows = 0
        observations = Observations(
            began,
            ended,
            tuple(networks),
            tuple(OutcomeCount(*key, times) for key, times in self._outcomes.items()),
            tuple(LatencyCount._make((*key, *row)) for key, row in self._latencies.items()),
            tuple(CoreCount(*key, times) for key, times in self._cores.items()),
            tuple(Cost(*key, times, tuple(sums)) for key, (times, *sums) in self._costs.items()),
            tuple(self._clocks),
            tuple(self._sightings),
            tuple(Fetch._make((*key, *row)) for key, row in self._fetches.items()),
            tuple(Assurance(*key, tuple(row)) for key, row in self._assurances.items()),
            tuple(WithheldCount(*key, times) for key, times in sorted(self._withheld.items())),
        )
        self._clear()
        return observations.encode() if _tells(observations) else b""

    def _read_clock(self, follower: Follower) -> None:
        if follower.clock is not None:
            self._clocks.append(Clock(follower.handle, *follower.clock))
            follower.clock = None

    def withhold(self, follower: Follower, what: Withheld) -> None:
        """Something of it is not told."""
        self._withheld[follower.handle, what] += 1

    def count_outcome(self, follower: Follower, root: int, outcome: Outcome, core: int) -> None:
        """A chain is open no more."""
        key = (follower.handle, root, outcome, core)
        if self._has_row(follower, self._outcomes, key):
            self._outcomes[key] += 1

    def count_latency(self, follower: Follower, number: int, core: int, took: int) -> None:
        """A latency was observed, of so many microseconds."""
        key = (follower.handle, number, core, bin_of(took))
        if self._has_row(follower, self._latencies, key):
            _add(self._latencies.setdefault(key, [0, 0]), (1, took))

    def count_core(self, follower: Follower, kind: int, core: int) -> None:
        """An event of type ``kind`` has a core."""
        key = (follower.handle, kind, core)
        if self._has_row(follower, self._cores, key):
            self._cores[key] += 1

    def count_cost(
        self, follower: Follower, phase: Phase, service: int, core: int, cost: Sequence[int]
    ) -> None:
        """A service was executed."""
        key = (follower.network, phase, service, core)
        if self._has_row(follower, self._costs, key, follower.network):
            _add(self._costs.setdefault(key, [0] * (1 + len(cost))), (1, *cost))

    def add_sighting(
        self, follower: Follower, place: tuple[int, int, int, int, int], arrived: int, told: bytes
    ) -> None:
        """An event is told."""
        size = SIGHTING_BYTES + len(told)
        if self._sighting_bytes + size > MOST_SIGHTING_BYTES:
            self.withhold(follower, Withheld.SIGHTINGS)
            return
        self._sighting_bytes += size
        self._sightings.append(Sighting(follower.handle, *place, arrived, told))

    def count_fetch(
        self,
        follower: Follower,
        fetched: tuple[int, bytes],
        well: bool,
        arrived: int,
        took: int | None,
    ) -> None:
        """A request for what has an erasure root has ended.

        :param fetched: the chain's root, and the erasure root.
        :param took: microseconds, None where they are not to be summed up.
        """
        key = (follower.network, *fetched)
        if self._has_row(follower, self._fetches, key, follower.network):
            row = self._fetches.setdefault(key, [0, 0, arrived, arrived, 0, 0])
            row[0 if well else 1] += 1
            row[2:4] = min(row[2], arrived), max(row[3], arrived)
            if took is not None:
                row[4:6] = min(row[4] + took, MOST_SUM), max(row[5], took)

    def add_receipt(self, follower: Follower, anchor: bytes, sender: bytes, time: int) -> None:
        """It received an assurance, at ``time`` in microseconds of Unix time."""
        key = (follower.network, anchor, sender)
        known = len(self._assurances.get(key, ()))
        needed = 1 if known else 2
        if (
            follower.rows + needed > MOST_ROWS_OF_NODE
            or self._receipts >= MOST_RECEIPTS
            or known >= MOST_RECEIPTS_OF_ONE
        ):
            self.withhold(follower, Withheld.ROWS)
        elif self._has_row(follower, self._assurances, key, follower.network):
            follower.rows += 1
            self._receipts += 1
            self._assurances.setdefault(key, []).append((follower.handle, time))

    def _has_row(
        self, follower: Follower, rows: dict[Any, Any], key: Any, network: int = 0
    ) -> bool:
        """Whether there is a row for ``key``, or one may be made, which is then counted."""
        if network != NO_NETWORK:
            if key in rows:
                return True
            if follower.rows < MOST_ROWS_OF_NODE and len(rows) < MOST_ROWS:
                follower.rows += 1
                return True
        self.withhold(follower, Withheld.ROWS)
        return False


def _add(row: list[int], more: Sequence[int]) -> None:
    for index, value in enumerate(more):
        row[index] = min(row[index] + value, MOST_SUM)


def _tells(observations: Observations) -> bool:
    """Whether there is anything in it but networks."""
    return any(
        (
            observations.outcomes,
            observations.latencies,
            observations.cores,
            observations.costs,
            observations.clocks,
            observations.sightings,
            observations.fetches,
            observations.assurances,
            observations.withheld,
        )
    )
