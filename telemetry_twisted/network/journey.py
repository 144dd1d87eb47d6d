"""One work package over the whole network: what became of it, event by event."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from attrs import define, field

from .reporters import Reporter

STAGES = {
    94: "received",
    95: "authorized",
    97: "imported",
    101: "refined",
    102: "reported",
    105: "guaranteed",
    109: "distributed",
}
"""What a work package goes through, by the event that says so, in order; their bits in a journey's
``stages`` are in the same order, the first the lowest."""

_BIT = {kind: 1 << place for place, kind in enumerate(STAGES)}

SUBMISSION, SHARE = 90, 91
FAILED, DUPLICATE, SIGNED, DISTRIBUTED = 92, 93, 103, 109

MOST_EVENTS = 1024
"""Events of a journey that are kept; the others are counted."""

MOST_SENDS = 256
"""How many of them may be about sending a guarantee to one of many."""

MOST_NOTES = 200
"""Texts and hashes that the events of a journey may name."""

MOST_PARTS = 64
"""Submissions and shares of one package; it has a primary guarantor and two others."""

SUPERSEDED = "named"
"""The outcome of what was thought to be a journey until the hash of its package was known."""

LINGER_SECONDS = 30
"""How long a journey stays open after all of it has ended, for what comes late."""

QUIET_SECONDS, OPEN_SECONDS = 630, 3600
"""How long a journey stays open of which nothing is heard, and at all. A chain of a work package
that is followed ends after 600 s (network rules, 2)."""

EVENT = struct.Struct("<HBBqqQ")
"""An event as it is kept: the node's number, the type, which of the notes it has or 0, its own time
and when it came (microseconds of Unix time), its ID."""

_SENDS = frozenset((106, 107, 108))


class Told(NamedTuple):
    """An event of a journey."""

    node: int
    type: int
    note: int
    time: int
    arrived: int
    event_id: int


@define
class Part:
    """What one guarantor does of a journey: the chain of a submission or of a share.

    ``outcome`` is how it ended, empty while it goes on.
    """

    node: str
    connection: int
    top: int
    top_type: int
    outcome: str = ""


@define
class Journey:
    """A work package: its ``parts``, and its ``events`` as they came, packed as :data:`EVENT`.

    ``core``, ``report`` (hash), ``erasure_root``, ``slot`` (of the guarantee), ``builder`` (who
    submitted it) and ``services`` are known once an event has said them. ``stages`` says which of
    :data:`STAGES` it has reached anywhere. ``left_out`` counts events that are not kept;
    ``offsets`` are those of the nodes' clocks by number.
    """

    first: int
    last: int
    closed: int | None = None
    parts: list[Part] = field(factory=list)
    events: bytearray = field(factory=bytearray)
    notes: list[str] = field(factory=list)
    offsets: dict[int, int] = field(factory=dict)
    core: int | None = None
    report: bytes | None = None
    erasure_root: bytes | None = None
    slot: int | None = None
    builder: bytes | None = None
    services: list[int] = field(factory=list)
    stages: int = 0
    left_out: int = 0
    sends: int = 0
    reason: str | None = None
    superseded: bool = False

    def note(self, text: str) -> int:
        """Which of the notes ``text`` is, 0 where there is no room for it."""
        if text in self.notes:
            return self.notes.index(text) + 1
        if len(self.notes) == MOST_NOTES:
            return 0
        self.notes.append(text)
        return len(self.notes)

    def add(
        self, reporter: Reporter, kind: int, note: int, time: int, arrived: int, event: int
    ) -> None:
        """An event of the journey."""
        self.stages |= _BIT.get(kind, 0)
        self.offsets[reporter.number] = reporter.offset
        send = kind in _SENDS
        if len(self.events) >= MOST_EVENTS * EVENT.size or (send and self.sends >= MOST_SENDS):
            self.left_out += 1
            return
        self.sends += send
        self.events += EVENT.pack(reporter.number, kind, note, time, arrived, event)

    def absorb(self, other: Journey) -> None:
        """``other`` has turned out to be about the same package."""
        notes = [0, *(self.note(text) for text in other.notes)]
        for told in other.told():
            if len(self.events) >= MOST_EVENTS * EVENT.size:
                self.left_out += 1
            else:
                self.events += EVENT.pack(*told._replace(note=notes[told.note]))
        self.offsets.update(other.offsets)
        self.parts += other.parts[: MOST_PARTS - len(self.parts)]
        self.first = min(self.first, other.first)
        self.builder = self.builder or other.builder
        self.stages |= other.stages
        self.left_out += other.left_out
        self.reason = self.reason or other.reason

    def told(self) -> Iterator[Told]:
        """The events, as they came."""
        return map(Told._make, EVENT.iter_unpack(self.events))

    @property
    def outcome(self) -> str | None:
        """How it has ended: ``distributed``, ``failed``, ``duplicate``, ``shared`` (all that is
        known is that guarantors signed it for another), ``unfinished``; None while it goes on.

        The best of what its parts came to counts, for one guarantor is enough.
        """
        if self.superseded:
            return SUPERSEDED
        ends = {part.outcome for part in self.parts}
        if "distributed" in ends:
            return "distributed"
        if "" in ends and self.closed is None:
            return None
        for outcome in ("failed", "unfinished", "shared", "duplicate"):
            if outcome in ends:
                return outcome
        return "unfinished"

    def over(self, now: int) -> bool:
        """See :class:`.Thing`."""
        quiet = now - self.last
        ended = all(part.outcome for part in self.parts)
        return (
            (ended and quiet > LINGER_SECONDS * 1_000_000)
            or quiet > QUIET_SECONDS * 1_000_000
            or now - self.first > OPEN_SECONDS * 1_000_000
        )

    def close(self, now: int) -> None:
        """See :class:`.Thing`."""
        self.closed = now
        for part in self.parts:
            part.outcome = part.outcome or "unfinished"

    def supersede(self) -> None:
        """See :class:`.Thing`."""
        self.superseded = True
        self.parts.clear()
        self.events.clear()
        self.notes.clear()


def dump_journey(journey: Journey) -> list[Any]:
    """What the columns of its row do not say, as MessagePack has it."""
    return [
        [[p.node, p.connection, p.top, p.top_type, p.outcome] for p in journey.parts],
        bytes(journey.events),
        journey.notes,
        journey.offsets,
        journey.services,
        journey.left_out,
        journey.sends,
    ]


def load_journey(
    dumped: Sequence[Any],
    numbers: Mapping[int, int],
    first: int,
    last: int,
    **columns: Any,
) -> Journey:
    """The journey of a row; ``numbers`` are those that nodes have now, by those then.

    What nodes did that have none is left out.
    """
    parts, events, notes, offsets, services, left_out, sends = dumped
    kept = bytearray()
    for node, *rest in EVENT.iter_unpack(events):
        if node in numbers:
            kept += EVENT.pack(numbers[node], *rest)
    return Journey(
        first,
        last,
        None,
        [Part(*part) for part in parts],
        kept,
        list(notes),
        {numbers[node]: offset for node, offset in offsets.items() if node in numbers},
        services=list(services),
        left_out=left_out,
        sends=sends,
        **columns,
    )
