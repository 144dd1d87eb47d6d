"""What is understood of the networks whose nodes report: each apart from all others.

A network is the nodes that share a genesis hash, which is part of every key here.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from telemetry_twisted.jip3.observations import AssuranceRow, Observations, OutcomeRow
from telemetry_twisted.jip3.observed import Sighting

from .anchors import DISTRIBUTED, DISTRIBUTING, Anchors, Received
from .clocks import Clocks
from .fetches import Availability, Fetched
from .fields import TYPE
from .going_on import Link
from .guarantees import BUILT, DISCARDED, RECEIVED, Guarantees
from .journey import SHARE, SUBMISSION
from .journeys import Journeys
from .recent import Recent
from .reporters import OFF, Numbers, Reporter
from .slots import Slots


def network_of(genesis: bytes) -> str:
    """The genesis hash as everything here and in history has it: ``0x`` and hex digits."""
    return f"0x{genesis.hex()}"


class Connected(Protocol):
    """A node as its connection tells of it.

    ``connection`` is when that began, in microseconds of Unix time; ``genesis`` is the hash, as
    :func:`network_of` has it, that tells its network.
    """

    @property
    def node_id(self) -> str: ...
    @property
    def connection(self) -> int: ...
    @property
    def genesis(self) -> str: ...
    @property
    def cores(self) -> int | None: ...
    @property
    def version(self) -> int: ...


class _Offsets(dict[int, int]):
    """The offsets of the clocks of nodes by their handles, each found out when it is asked for."""

    def __init__(self, nodes: Mapping[int, Connected], offset: Callable[[str], int]) -> None:
        self._nodes = nodes
        self._offset = offset

    def __missing__(self, handle: int) -> int:
        node = self._nodes.get(handle)
        offset = self[handle] = OFF if node is None else self._offset(node.node_id)
        return offset


_OF_SLOTS = frozenset((11, 12, *range(40, 48), 62))
_OF_ANCHORS = frozenset((DISTRIBUTING, DISTRIBUTED))
_OF_GUARANTEES = frozenset((BUILT, RECEIVED, DISCARDED))
_OF_JOURNEYS = frozenset((SUBMISSION, SHARE))


class Networks:
    """Takes what was observed, and has what it adds up to in ``slots``, ``journeys``,
    ``guarantees``, ``anchors``, ``availability`` and ``clocks``.

    ``ended`` counts the chains that ended lately, by the root's type and outcome.

    :param lost: where is counted, by kind, what cannot be taken or is let go of.
    """

    def __init__(self, lost: Counter[str]) -> None:
        self._lost = lost
        self.clocks = Clocks()
        self.numbers = Numbers()
        self.slots = Slots(lost)
        self.journeys = Journeys(lost)
        self.guarantees = Guarantees(lost)
        self.anchors = Anchors(lost)
        self.availability = Availability(lost)
        self.ended: Recent[tuple[int, int]] = Recent()

    def take(self, observed: Observations, nodes: Mapping[int, Connected]) -> None:
        """Take what was observed; ``nodes`` are those that its handles stand for."""
        now = observed.ended
        if observed.clock_set:
            self.clocks.server_clock_set()
        for clock in () if observed.clock_set else observed.clocks:
            if clock.handle in nodes:
                node = nodes[clock.handle].node_id
                self.clocks.hear(node, clock.least, clock.greatest, now)
        self._take_outcomes(observed.outcomes, nodes, now)
        self._take_sightings(observed.sightings, nodes, now)
        networks = [network_of(genesis) for genesis in observed.networks]
        self._take_assurances(observed.assurances, networks, nodes, now)
        for network, root, erasure_root, *sums in observed.fetches:
            if network < len(networks):
                self.availability.add((networks[network], erasure_root), root, Fetched(*sums), now)

    def _take_outcomes(
        self, outcomes: Iterable[OutcomeRow], nodes: Mapping[int, Connected], now: int
    ) -> None:
        ended: dict[tuple[str, int, int], int] = {}
        for handle, root, outcome, _, count in outcomes:
            if handle in nodes:
                key = nodes[handle].genesis, root, outcome
                ended[key] = ended.get(key, 0) + count
        for (genesis, root, outcome), count in ended.items():
            self.ended.add(genesis, (root, outcome), count, now)

    def _take_sightings(
        self, sightings: Iterable[Sighting], nodes: Mapping[int, Connected], now: int
    ) -> None:
        reporters: dict[int, Reporter | None] = {}
        for sighting in sightings:
            handle = sighting.handle
            if handle not in reporters:
                reporters[handle] = self._reporter(nodes.get(handle), now)
            reporter = reporters[handle]
            if reporter is None:
                self._lost["sightings"] += 1
                continue
            try:
                self.sight(reporter, sighting)
            except (struct.error, ValueError, IndexError):
                self._lost["sightings"] += 1  # what is decoded before it is told is never so

    def _take_assurances(
        self,
        assurances: Iterable[AssuranceRow],
        networks: Sequence[str],
        nodes: Mapping[int, Connected],
        now: int,
    ) -> None:
        offsets = _Offsets(nodes, self._offset)
        received: dict[tuple[str, bytes], list[Received]] = {}
        for network, anchor, sender, receipts in assurances:
            if network < len(networks):
                times = [(time, offsets[handle]) for handle, time in receipts]
                received.setdefault((networks[network], anchor), []).append((sender, times))
        for key, told in received.items():
            self.anchors.receive(key, told, now)

    def sight(self, reporter: Reporter, sighting: Sighting) -> None:
        """Take one event of a node.

        :raises ValueError: if it cannot be read; likewise :class:`struct.error`, IndexError.
        """
        kind = sighting.content[TYPE]
        if sighting.top_type in _OF_JOURNEYS:
            self.journeys.see(reporter, sighting)
        if kind in _OF_SLOTS:
            self.slots.see(reporter, sighting)
        elif kind in _OF_GUARANTEES:
            self.guarantees.see(reporter, sighting)
        elif kind in _OF_ANCHORS:
            self.anchors.see(reporter, sighting)

    def _offset(self, node: str) -> int:
        known = self.clocks.offset(node)
        return OFF if known is None or known.off else known.offset

    def _reporter(self, node: Connected | None, now: int) -> Reporter | None:
        if node is None:
            return None
        number = self.numbers.number(node.node_id, now / 1_000_000)
        if number is None:
            return None
        offset = self._offset(node.node_id)
        return Reporter(
            number,
            node.node_id,
            node.connection,
            node.genesis,
            offset,
            node.cores,
            node.version,
        )

    def gone(self, link: Link, now: int) -> None:
        """The connection of a node has ended ``now``, in microseconds of Unix time."""
        self.slots.gone(link)
        self.anchors.gone(link)
        self.journeys.gone(link, now)

    def settle(self, now: float) -> None:
        """Forget the nodes that were not heard of for long at ``now``, in seconds of Unix time.

        What they report are sources of their own, which settle by themselves.
        """
        self.clocks.settle(int(now * 1_000_000))
        self.ended.settle(int(now * 1_000_000))
        self.journeys.ended.settle(int(now * 1_000_000))
        self.numbers.settle(now)
