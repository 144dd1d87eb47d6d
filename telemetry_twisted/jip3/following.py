"""Follows the chains of one connection while its events are decoded.

A :class:`Follower` is told of every event of a stream, and of every event ID that was used up
otherwise. It enters what it finds in a :class:`~.gathering.PythonGatherer`: how chains ended, how
long they took, what they cost, and the events from which the network is understood. It also judges
references, which a node can get wrong. The compiled stream does the same, with the same results.

An event is followed in this order. If its time is on the clock, it counts for the node's clock. Its
reference is judged: one to what is not known (any more) makes it an orphan; one that breaks a rule
is told, and the event is followed no further unless it is a root. A root opens a chain, within that
of its reference if there is one. The chain learns from the event (core, services, erasure root),
latencies end with it or begin; its core, its costs, its sighting or receipt are counted; and at
last it may end the chain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .chains import CHAINS
from .costs import PACKAGE_RECEIVED, costs_in, services_in
from .moment import COMMON_ERA, Moment
from .observed import COST_TYPES, NO_CORE, NO_EVENT, Outcome, Phase, Withheld
from .open_chains import Chain, OpenChains
from .past_kinds import NO_SUCH_EVENT, UNTOLD, PastKinds
from .sights import Sights, excerpt
from .table import MAX_CORES, TABLE

if TYPE_CHECKING:
    from .gathering import PythonGatherer

LATEST_TIME = 2**62 - 1
"""Times after this are off any clock, so that all differences of times are within 64 bits."""

FETCHES = frozenset({120, 121, 141, 149})
"""Roots of requests for the shards or the bundle of an erasure root, whose ends are told by it."""

DROPPED = 0
"""The event that stands for those that were dropped, and uses up their IDs."""

ASSURANCE_RECEIVED = 131
"""The event whose receipts are told."""


def _offsets_of(field: str) -> dict[int, int]:
    """By type, where in the content ``field`` is."""
    offsets = ((kind, event.offset_of(field)) for kind, event in TABLE.events.items())
    return {kind: offset for kind, offset in offsets if offset is not None}


CORES = _offsets_of("core")
ERASURE_ROOTS = _offsets_of("erasure_root")
SENDERS = _offsets_of("sender")
ANCHORS = _offsets_of("anchor")


class Follower:
    """Follows the events of one connection.

    ``rows`` counts the rows that were made for it since the gatherer was emptied; ``clock`` is the
    least and the greatest arrival after the event's own time since then, in microseconds.

    :param gatherer: takes what is found.
    :param handle: of the node, and ``network`` the index of its genesis hash.
    :param cores: how many cores there are, None where the node has not said.
    """

    def __init__(
        self, gatherer: PythonGatherer, handle: int, network: int, cores: int | None
    ) -> None:
        self.handle = handle
        self.network = network
        self.rows = 0
        self.clock: tuple[int, int] | None = None
        self._gatherer = gatherer
        self._cores = MAX_CORES if cores is None else cores
        self._past = PastKinds()
        self._chains = OpenChains(self._past, self._ended)
        self._sights = Sights()
        self._moment = Moment(b"")
        gatherer.add(self)

    def begin(self, moment: Moment) -> None:
        """What follows was read at ``moment``."""
        self._moment = moment
        self._sights.fill(moment.second)

    def pass_over(self, event_id: int, ids: int, known: bool) -> None:
        """So many ``ids`` from ``event_id`` on are used up, without an event to follow.

        :param known: whether it is known that there is none.
        """
        self._past.remember(event_id, NO_SUCH_EVENT if known else UNTOLD, ids)

    def follow(self, content: bytes, event_id: int, ids: int) -> str | None:
        """An event was decoded, which uses up so many ``ids``.

        :returns: what is wrong with its reference, if anything is.
        """
        kind = content[8]
        opens = kind in CHAINS.roots
        links = kind in CHAINS.links
        if opens or links:
            self._chains.free(event_id)
        time = self._time_in(content)
        chain, wrong = self._judge(content, kind, event_id)
        if opens:
            chain = self._chains.begin(event_id, kind, chain, self._moment.second)
        elif links and chain is not None:
            self._chains.link(chain, event_id, kind)
        if opens or wrong is None:
            self._observe(content, kind, event_id, time, chain)
        nameable = kind != DROPPED and (chain is not None or not links)
        self._past.remember(event_id, kind if nameable else UNTOLD, ids)
        return wrong

    def expire(self, second: int) -> None:
        """It is ``second``: chains that have been untouched for too long are unfinished."""
        self._chains.expire(second)

    def end(self) -> None:
        """The connection is over: what is open is unfinished."""
        self._chains.end_all()
        self._gatherer.remove(self)

    def _time_in(self, content: bytes) -> int | None:
        """The event's time, None if that is off the clock."""
        moment = self._moment
        time = int.from_bytes(content[:8], "little")
        if not moment.earliest <= time <= min(moment.latest, LATEST_TIME):
            return None
        if content[8] != DROPPED:  # whose time is when the first of them was dropped
            late = moment.arrived - COMMON_ERA - time
            least, greatest = self.clock or (late, late)
            self.clock = min(least, late), max(greatest, late)
        return time

    def _judge(self, content: bytes, kind: int, own: int) -> tuple[Chain | None, str | None]:
        """The open chain that the event refers to, or what is wrong with its reference."""
        reference = CHAINS.references.get(kind)
        if reference is None:
            return None, None
        id = int.from_bytes(content[reference.offset :][:8], "little")
        chain, wrong = self._chains.find(id, kind, own)
        if chain is not None:
            self._chains.touch(chain, self._moment.second)
        elif wrong is None:
            self._gatherer.withhold(self, Withheld.ORPHANS)
        return chain, wrong

    def _observe(
        self, content: bytes, kind: int, event_id: int, time: int | None, chain: Chain | None
    ) -> None:
        core = self._core_in(content, kind)
        if chain is not None:
            if kind in CORES:
                chain.core = core
            core = chain.core
            if kind == PACKAGE_RECEIVED:
                chain.services = services_in(content)
            if chain.root in FETCHES and kind in ERASURE_ROOTS:
                chain.erasure_root = content[ERASURE_ROOTS[kind] :][:32]
            self._time(chain, kind, time)
        if core != NO_CORE:
            self._gatherer.count_core(self, kind, core)
        if kind in COST_TYPES:
            self._count_costs(content, COST_TYPES[kind], chain)
        if time is not None:
            if kind == ASSURANCE_RECEIVED:
                anchor, sender = (content[at[kind] :][:32] for at in (ANCHORS, SENDERS))
                self._gatherer.add_receipt(self, anchor, sender, COMMON_ERA + time)
            self._see(content, event_id, chain)
        if chain is not None:
            root = CHAINS.roots[chain.root]
            if kind in root.success or kind in root.failure:
                self._finish(chain, time, kind in root.success)

    def _core_in(self, content: bytes, kind: int) -> int:
        if kind not in CORES:
            return NO_CORE
        core = int.from_bytes(content[CORES[kind] :][:2], "little")
        return core if core < self._cores else NO_CORE

    def _time(self, chain: Chain, kind: int, time: int | None) -> None:
        """Observe what latencies end at ``time``, and keep it if others begin."""
        for number in CHAINS.latencies_of.get((chain.root, kind), ()):
            began = chain.times.get(CHAINS.latencies[number].begin)
            if began is not None and time is not None:
                if time < began:
                    self._gatherer.withhold(self, Withheld.TIME_BACKWARDS)
                else:
                    self._gatherer.count_latency(self, number, chain.core, time - began)
        if kind in CHAINS.stages[chain.root]:
            if time is None:
                chain.times.pop(kind, None)
            else:
                chain.times[kind] = time

    def _count_costs(self, content: bytes, phase: Phase, chain: Chain | None) -> None:
        services = () if chain is None else chain.services
        core = NO_CORE if chain is None else chain.core
        for index, (service, cost) in enumerate(costs_in(content, phase)):
            if service is None and index < len(services):
                service = services[index]
            if service is None:
                self._gatherer.withhold(self, Withheld.COSTS)
            else:
                self._gatherer.count_cost(self, phase, service, core, cost)

    def _see(self, content: bytes, event_id: int, chain: Chain | None) -> None:
        of_package = chain is not None and chain.of_package
        if not self._sights.wanted(content, of_package, self._moment.newest_slot):
            return
        told = excerpt(content)
        if not self._sights.pays(len(told), chain is not None and chain.inner):
            self._gatherer.withhold(self, Withheld.SIGHTINGS)
            return
        place = (0, 0, event_id, NO_EVENT, NO_EVENT)
        if chain is not None:
            place = (chain.root, chain.top_type, event_id, chain.id, chain.top_id)
        self._gatherer.add_sighting(self, place, self._moment.arrived, told)

    def _finish(self, chain: Chain, time: int | None, well: bool) -> None:
        self._chains.end(chain, Outcome.SUCCESS if well else Outcome.FAILURE)
        if chain.erasure_root is not None:
            began = chain.times.get(chain.root)
            took = None
            if well and began is not None and time is not None and time >= began:
                took = time - began
            fetched = (chain.root, chain.erasure_root)
            self._gatherer.count_fetch(self, fetched, well, self._moment.arrived, took)

    def _ended(self, chain: Chain, outcome: Outcome) -> None:
        self._gatherer.count_outcome(self, chain.root, outcome, chain.core)
