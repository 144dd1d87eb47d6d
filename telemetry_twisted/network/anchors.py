"""Assurances, by the block that they are anchored to and by who sends them."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple

from attrs import define, field

from telemetry_twisted.jip3.bins import BINS, bounds
from telemetry_twisted.jip3.observed import NO_EVENT, Sighting

from .fields import TYPE, picker, unix_time
from .going_on import GoingOn, Link
from .opened import Opened, quiet_or_old
from .reporters import OFF, Reporter

MOST_ANCHORS = 64
"""Anchors that are open at once, of all networks; there is one in a slot."""

MOST_SENDERS = 2048
"""Senders of one anchor that are told apart."""

MOST_WAITING = 2048
"""Receptions of a sender that wait until it is known when it began; of more the delays are told
from the first of them."""

TOGETHER = 64
"""So many are put in bins together, which costs little more than one; fewer when it is asked."""

WINDOW_SLOTS = 5
"""For how many slots a report may become available: an assurance that begins later is too late
(Gray Paper, the constant U)."""

OPEN_SECONDS, QUIET_SECONDS = 120, 30
"""How long an anchor stays open after it was first heard of, and last."""

MOST_CHAINS = 8
"""Distributions of one node that go on at once; of more the oldest is forgotten."""

DISTRIBUTING, DISTRIBUTED = 126, 129

AnchorKey = tuple[str, bytes]
"""A genesis hash, and the hash of a block."""

Received = tuple[bytes, Sequence[tuple[int, int]]]
"""Whose assurance was received, and when: the time by the receiver's clock, and its offset."""

_distributing = picker(DISTRIBUTING, "anchor")
_distributed = picker(DISTRIBUTED)
_BITFIELD = 9 + 32
_LOWER = [bounds(bin)[0] for bin in range(1, BINS)]
"""Where each bin begins but the first, in which is what is earlier as well."""


@define
class Bins:
    """How many receptions there were in each bin (:mod:`~telemetry_twisted.jip3.bins`) of delays:
    as ``reported``, and ``corrected``, with the offsets of clocks taken out."""

    reported: Counter[int] = field(factory=Counter)
    corrected: Counter[int] = field(factory=Counter)


@define
class Assurance:
    """How the assurance of one sender spreads.

    ``began`` and ``ended`` are when it first began and last ended to distribute it (a node that has
    started anew may do so again), by its own clock (microseconds of Unix time), whose ``offset``
    was known when it began; ``assured`` is how many of
    ``cores`` it assures. ``receptions`` are all that nodes told of, ``off_clock`` those of nodes
    whose clocks are of no use. ``reported`` and ``corrected`` are how many there were in each bin
    (:mod:`~telemetry_twisted.jip3.bins`) of delays after ``began``, or where that is not known
    after the first reception, the latter with the offsets of clocks taken out. ``waiting`` are
    those that are in no bin yet (:meth:`fold`): the time by the receiver's clock, and its offset.
    All that is put in bins is put in those of ``together`` as well.
    """

    began: int | None = None
    ended: int | None = None
    offset: int = OFF
    assured: int | None = None
    cores: int | None = None
    receptions: int = 0
    off_clock: int = 0
    reported: Counter[int] = field(factory=Counter)
    corrected: Counter[int] = field(factory=Counter)
    waiting: list[tuple[int, int]] = field(factory=list)
    together: Bins = field(factory=Bins, eq=False, repr=False)

    def receive(self, receptions: Sequence[tuple[int, int]]) -> None:
        """Nodes have received it: the time by the clock of each, and its offset."""
        usable = [each for each in receptions if each[1] != OFF]
        self.receptions += len(receptions)
        self.off_clock += len(receptions) - len(usable)
        self.waiting += usable[: MOST_WAITING - len(self.waiting)]
        if len(self.waiting) >= TOGETHER:
            self.fold()

    def begin(self, time: int, offset: int) -> None:
        """The sender says when it began; the first time counts, for all receptions alike."""
        if self.began is None:
            self.began, self.offset = time, offset

    def fold(self) -> None:
        """Put what waits into its bins, if it is known when the sender began."""
        if self.waiting and self.began is not None:
            self._sort_in(self.began, self.offset)

    def close(self) -> None:
        """Put what waits into its bins, for it will not be known any more when it began."""
        self.fold()
        if self.waiting:
            moved = min(time + its for time, its in self.waiting)
            first = min(time for time, _ in self.waiting)
            self._sort_in(first, moved - first)

    def _sort_in(self, zero: int, offset: int) -> None:
        lower = repeat(_LOWER)
        bins = [*map(bisect_right, lower, [time - zero for time, _ in self.waiting])]
        self.reported.update(bins)
        self.together.reported.update(bins)
        if offset != OFF:
            zero += offset
            moved = [time + its - zero for time, its in self.waiting]
            bins = [*map(bisect_right, lower, moved)]
            self.corrected.update(bins)
            self.together.corrected.update(bins)
        self.waiting.clear()


@define
class Anchor:
    """The assurances of an anchor, by who sends them, the bytes of its node ID, and the bins of
    all of them ``together``."""

    first: int
    last: int
    closed: int | None = None
    senders: dict[bytes, Assurance] = field(factory=dict)
    together: Bins = field(factory=Bins)

    def over(self, now: int) -> bool:
        """See :class:`.Thing`."""
        return quiet_or_old(self, now, QUIET_SECONDS, OPEN_SECONDS)

    def close(self, now: int) -> None:
        """See :class:`.Thing`."""
        self.closed = now
        for assurance in self.senders.values():
            assurance.close()

    def fold(self) -> None:
        """Put what was received into bins, as far as it is known after how long."""
        for assurance in self.senders.values():
            assurance.fold()

    def supersede(self) -> None:
        """See :class:`.Thing`: never, for it has its name from the beginning."""


class _Chain(NamedTuple):
    """A distribution that goes on."""

    key: AnchorKey
    sender: bytes


class Anchors(Opened[AnchorKey, Anchor]):
    """The anchors of the assurances that are distributed now.

    :param lost: where is counted what cannot be taken.
    """

    def __init__(self, lost: Counter[str]) -> None:
        super().__init__("anchors", MOST_ANCHORS, lost)
        self._chains: GoingOn[_Chain] = GoingOn(MOST_CHAINS)

    def see(self, reporter: Reporter, sighting: Sighting) -> None:
        """Take an event of a node.

        :raises struct.error: if its content is too short.
        """
        content, arrival = sighting.content, sighting.arrived
        if content[TYPE] == DISTRIBUTING:
            timestamp, hash = _distributing(content)
            key, sender = (reporter.network, hash), bytes.fromhex(reporter.node)
            there = self._anchor(key, arrival)
            assurance = None if there is None else self._assurance(there, sender)
            if assurance is None:
                return
            bits = content[_BITFIELD:]
            assurance.assured = int.from_bytes(bits, "little").bit_count()
            assurance.cores = reporter.cores or 8 * len(bits)
            assurance.begin(unix_time(timestamp), reporter.offset)
            self._chains.put(reporter.link, sighting.event_id, _Chain(key, sender))
            return
        if sighting.root_id == NO_EVENT:
            return  # the node has dropped how it began, and it is counted as an orphan
        (timestamp,) = _distributed(content)
        chain = self._chains.get(reporter.link, sighting.root_id)
        self._chains.end(reporter.link, sighting.root_id)
        anchor = self.get(chain.key) if chain else None
        if chain is None or anchor is None or anchor.closed is not None:
            self._lost["anchor_sightings"] += 1
            return
        anchor.senders[chain.sender].ended = unix_time(timestamp)
        self.changed(chain.key, arrival)

    def receive(self, key: AnchorKey, received: Sequence[Received], arrival: int) -> None:
        """Nodes have received assurances of an anchor."""
        anchor = self._anchor(key, arrival, len(received))
        if anchor is not None:
            for sender, receptions in received:
                assurance = self._assurance(anchor, sender)
                if assurance is not None:
                    assurance.receive(receptions)

    def _anchor(self, key: AnchorKey, arrival: int, times: int = 1) -> Anchor | None:
        """The anchor that is heard of so many times, None if it is over."""
        anchor = self.get(key)
        if anchor is None or anchor.closed is not None:
            if self.is_late(key, times):
                return None
            anchor = Anchor(arrival, arrival)
            self.open(key, anchor, arrival)
        self.changed(key, arrival)
        return anchor

    def _assurance(self, anchor: Anchor, sender: bytes) -> Assurance | None:
        there = anchor.senders.get(sender)
        if there is None:
            if len(anchor.senders) >= MOST_SENDERS:
                self._lost["assurances"] += 1
                return None
            there = anchor.senders[sender] = Assurance(together=anchor.together)
        return there

    def take(self) -> list[tuple[AnchorKey, Anchor]]:
        """See :class:`.Opened`: what was received since the last time is in bins then."""
        for key in self._dirty:
            self._open[key].fold()
        return super().take()

    def gone(self, link: Link) -> None:
        """The connection of a node has ended, and all that went on in it."""
        self._chains.gone(link)

    def settle(self, now: float) -> None:
        """Let go of what is over at ``now``, in seconds."""
        super().settle(now)
        self._chains.settle(lambda chain: chain.key in self)

    def chains_of(self, key: AnchorKey) -> list[tuple[str, int, int, bytes]]:
        """What goes on of an anchor: node, connection, the root's ID, and sender."""
        return [
            (*link, root, chain.sender)
            for link, root, chain in self._chains.items()
            if chain.key == key
        ]

    def go_on(self, key: AnchorKey, anchor: Anchor, chains: Sequence[Sequence[Any]]) -> None:
        """Go on with an anchor that a run before has written; nothing was taken of it since."""
        self.resume(key, anchor)
        for node, connection, root, sender in chains:
            self._chains.put((node, connection), root, _Chain(key, sender))


def dump_anchor(anchor: Anchor) -> list[Any]:
    """All that is known of an anchor, as MessagePack has it."""
    return [
        [
            sender,
            each.began,
            each.ended,
            each.offset,
            each.assured,
            each.cores,
            each.receptions,
            each.off_clock,
            each.reported,
            each.corrected,
            each.waiting,
        ]
        for sender, each in anchor.senders.items()
    ]


def load_anchor(dumped: Sequence[Any], first: int, last: int) -> Anchor:
    """What :func:`dump_anchor` dumped."""
    anchor = Anchor(first, last)
    for sender, began, ended, offset, assured, cores, receptions, off_clock, *rest in dumped:
        reported, corrected, waiting = rest
        anchor.senders[sender] = Assurance(
            began,
            ended,
            offset,
            assured,
            cores,
            receptions,
            off_clock,
            Counter(reported),
            Counter(corrected),
            [(time, offset) for time, offset in waiting],
            anchor.together,
        )
        anchor.together.reported.update(anchor.senders[sender].reported)
        anchor.together.corrected.update(anchor.senders[sender].corrected)
    return anchor
