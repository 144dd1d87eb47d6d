"""Networks as history has them: what is observed goes in, changes to be written come out."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.network.networks import Connected, Networks
from telemetry_twisted.network.summary.summaries import Summaries
from telemetry_twisted.store.schema.network_tables import (
    ANCHORS,
    FETCHES,
    GUARANTEES,
    JOURNEYS,
    NETWORK_SLOTS,
)

from .network_rows import NetworkRows
from .rows import Section
from .taking_over import TakenOver, go_on

MOST_HELD_BYTES = 64 << 20
"""Observations that wait until the database has told what the runs before have left; above it the
oldest are let go of, and counted."""

CATCH_UP_SECONDS = 30.0
"""How long nothing must come before it is taken that there is nothing on its way: nodes that are
connected are observed every second."""

_OBJECTS, _BESIDE_BYTES = 8, 200
"""How much more memory takes what was decoded, and what a node takes of which it is."""


class Understood:
    """Holds what comes until it is known what to go on with, and hands on what is understood.

    What goes on is over when nothing was heard of it for long, by when things were heard, not by
    the clock: a store process that follows one that hung takes what came meanwhile, and that is as
    little late as if it had been taken at once.

    :param lost: where is counted what cannot be told.
    """

    def __init__(self, lost: Counter[str]) -> None:
        self._lost = lost
        self.networks = Networks(lost)
        self.summaries = Summaries(self.networks)
        self._held: deque[tuple[int, Callable[[], object]]] | None = deque()
        self._held_bytes = 0
        self._reached = self._quiet_since = 0.0
        self._came = False
        self._sections = tuple(self._made())

    @property
    def sections(self) -> tuple[Section, ...]:
        """What is to be written."""
        return self._sections

    def _made(self) -> Iterator[Section]:
        rows, networks = NetworkRows(self.networks), self.networks
        yield Section(networks.slots, NETWORK_SLOTS, rows.slot)
        yield Section(networks.journeys, JOURNEYS, rows.journey)
        yield Section(networks.guarantees, GUARANTEES, rows.guarantee)
        yield Section(networks.anchors, ANCHORS, rows.anchor)
        yield Section(networks.availability, FETCHES, rows.fetches)

    def take(self, observed: Observations, size: int, nodes: Mapping[int, Connected]) -> None:
        """Take what was observed, ``size`` bytes of it; ``nodes`` are those of the handles now."""
        self._reached = max(self._reached, observed.ended / 1_000_000)
        self._came = True
        if self._held is None:
            self.networks.take(observed, nodes)
        else:
            # One comes before each node leaves: a copy of all nodes with each would be too much.
            named = {handle: nodes[handle] for handle in _handles(observed) & nodes.keys()}
            take = partial(self.networks.take, observed, named)
            self._hold(_OBJECTS * size + _BESIDE_BYTES * len(named), take)

    def gone(self, node: str, connection: int, now: int) -> None:
        """A connection of a node, which began at ``connection``, has ended ``now``."""
        act = partial(self.networks.gone, (node, connection), now)
        if self._held is None:
            act()
        else:
            self._hold(_BESIDE_BYTES, act)

    def _hold(self, size: int, act: Callable[[], object]) -> None:
        assert self._held is not None
        self._held.append((size, act))
        self._held_bytes += size
        while self._held_bytes > MOST_HELD_BYTES:
            size, _ = self._held.popleft()
            self._held_bytes -= size
            self._lost["observations"] += 1

    def begin(self, taken: TakenOver, now: int) -> None:
        """Go on with what the runs before have left, ``now`` (microseconds)."""
        go_on(self.networks, taken, now)
        held, self._held = self._held, None
        for _, act in held or ():
            act()
        self._held_bytes = 0

    def settle(self, now: float) -> None:
        """Let go of what is not heard of any more at ``now``, in seconds."""
        heard = self._heard_until(now)
        for section in self._sections:
            section.source.settle(heard)
        self.networks.settle(heard)

    def _heard_until(self, now: float) -> float:
        """Until when all has come that will, in seconds, ``now``."""
        if self._came or not self._quiet_since or now < self._quiet_since:
            self._quiet_since, self._came = now, False
        if now - self._quiet_since < CATCH_UP_SECONDS:
            return min(self._reached, now)
        return now


def _handles(observed: Observations) -> set[int]:
    """The handles of the nodes of which something was observed."""
    return {
        *(clock.handle for clock in observed.clocks),
        *(handle for handle, *_ in observed.outcomes),
        *(sighting.handle for sighting in observed.sightings),
        *(handle for *_, receipts in observed.assurances for handle, _ in receipts),
    }
