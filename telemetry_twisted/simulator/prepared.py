"""Traffic that is encoded once and used again by many nodes, at any time.

Read messages as one little-endian number: then 1 added to a timestamp in them adds a power of 256
to the whole, and so with every fixed-width field. A piece therefore keeps its bytes as a number,
and for each thing that changes from use to use the number that one more of it adds. To make the
bytes for a node takes a few multiplications, for some fifty events at once, and nothing has to know
where in the messages the fields lie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from random import Random
from typing import NamedTuple

from .context import Context, Kind, Moment
from .schedule import Event, Schedule
from .sums import Sums

Encode = Callable[[Event], bytes]
"""An event to the bytes of its message, length prefix included."""

MakeEvents = Callable[[Moment], Sequence[Event]]
"""The events of a piece at a moment; nothing but the moment's numbers may differ."""

_ORIGIN = Moment(
    time=0,
    first_id=0,
    assurance_id=0,
    slot=1_000,
    epoch=1,
    head_slot=1_000,
    head=0,
    anchor=0,
    rotation=0,
)

_SLOTS = 0.5
"""How much of a validator's slot the pieces hold."""

_RARE = 0.004
"""Share of the exchanges of a kind that get each of its less usual fates."""

_OF_ASSURANCE = ("AssuranceSent", "AssuranceSendFailed")

_NATURAL = 20_000
"""Within how many microseconds the exchanges of a piece begin, before it is squeezed."""


class Failure(NamedTuple):
    """A reported failure: the event's name and its reason."""

    name: str
    reason: str


def failure_of(event: Event) -> Failure | None:
    """The failure that ``event`` reports, if its type has a ``reason``."""
    reason = event.fields.get("reason")
    return None if reason is None else Failure(event.name, reason)


class PreparedPiece:
    """Some events with IDs in a row, the same at any moment but for the moment's numbers.

    ``names`` are theirs in order, ``failures`` what each reports, ``ends`` where each ends in the
    ``size`` bytes, ``span`` the microseconds from the first to the last; ``counts`` and
    ``failure_counts`` say how many of each name and failure there are, ``sums`` what it adds up to.
    """

    def __init__(self, make_events: MakeEvents, encode: Encode) -> None:
        events = make_events(_ORIGIN)
        frames = [encode(event) for event in events]
        self.names = tuple(event.name for event in events)
        self.failures = tuple(map(failure_of, events))
        self.ends = tuple(accumulate(map(len, frames)))
        self.size = self.ends[-1]
        self.span = events[-1].time - events[0].time
        self.counts: Mapping[str, int] = Counter(self.names)
        self.failure_counts: Mapping[Failure, int] = Counter(filter(None, self.failures))
        self.sums = Sums()
        for event in events:
            self.sums.add(event)
        self._make_events = make_events
        self._encode = encode
        self._unmoved = int.from_bytes(b"".join(frames), "little")
        self._rotation, self._origin = _ORIGIN.rotation, self._unmoved
        self._held: tuple[int, ...] | None = None
        self._base = 0

    def __len__(self) -> int:
        return len(self.names)

    def assurances(self, events: int) -> int:
        """How many of the first ``events`` events refer to that with the ``assurance_id``."""
        return sum(name in _OF_ASSURANCE for name in self.names[:events])

    def events(self, moment: Moment) -> Sequence[Event]:
        """The events at ``moment``."""
        return self._make_events(moment)

    def at(self, moment: Moment) -> bytes:
        """The messages at ``moment``, length prefixes included."""
        time, first_id, assurance_id = moment[:3]
        slopes = self._slopes
        if moment[3:] != self._held:
            self._held = moment[3:]
            self._base = self._at_slot(*self._held)
        return (
            self._base
            + slopes.time * time
            + slopes.first_id * first_id
            + slopes.assurance_id * assurance_id
        ).to_bytes(self.size, "little")

    def _at_slot(
        self, slot: int, epoch: int, head_slot: int, head: int, anchor: int, rotation: int
    ) -> int:
        slopes = self._slopes
        if rotation != self._rotation:
            self._rotation = rotation
            self._origin = self._number(_ORIGIN._replace(rotation=rotation))
        return (
            self._origin
            + slopes.slot * (slot - _ORIGIN.slot)
            + slopes.epoch * (epoch - _ORIGIN.epoch)
            + slopes.head_slot * (head_slot - _ORIGIN.head_slot)
            + slopes.head * head
            + slopes.anchor * anchor
        )

    @cached_property
    def _slopes(self) -> Moment:
        """What one more of each adds to the bytes as a number."""
        of_all = {name: self._slope(name) for name in Moment._fields if name != "rotation"}
        return Moment(**of_all, rotation=0)

    def _slope(self, name: str) -> int:
        one_more = _ORIGIN._replace(**{name: getattr(_ORIGIN, name) + 1})
        return self._number(one_more) - self._unmoved

    def _number(self, moment: Moment) -> int:
        frames = b"".join(map(self._encode, self._make_events(moment)))
        return int.from_bytes(frames, "little")


def prepare_pieces(
    make_context: Callable[[Random, Moment], Context],
    encode: Encode,
    kinds: Sequence[Kind],
    *,
    seed: str,
    size: int,
    span: int,
) -> list[PreparedPiece]:
    """Pieces that together hold what a validator of a full network does in half a slot.

    They are made of exchanges of ``kinds``, with every fate of every kind. A piece has ``size``
    exchanges and spans at most ``span`` microseconds. ``make_context`` makes what the exchanges of
    one draw from.
    """
    chosen = [(kind, fate) for kind in kinds for fate in _fates(kind)]
    random = Random(seed)
    random.shuffle(chosen)
    return [
        PreparedPiece(
            _events(make_context, chosen[begin : begin + size], f"{seed}/{begin}", span), encode
        )
        for begin in range(0, len(chosen), size)
    ]


def _fates(kind: Kind) -> Iterator[str]:
    usual, *others = kind.fates
    for fate in others:
        yield from (fate for _ in range(max(1, round(_RARE * _SLOTS * kind.per_slot))))
    yield from (usual for _ in range(max(1, round(_SLOTS * kind.per_slot))))


def _events(
    make_context: Callable[[Random, Moment], Context],
    chosen: Sequence[tuple[Kind, str]],
    seed: str,
    span: int,
) -> MakeEvents:
    def make_events(moment: Moment) -> Sequence[Event]:
        random = Random(seed)
        context = make_context(random, moment)
        schedule = Schedule()
        for kind, fate in chosen:
            schedule.begin(kind.begin(context, random.randrange(_NATURAL), fate))
        events: list[Event] = []
        while schedule:
            events.append(schedule.emit(moment.first_id + len(events)))
        first, last = events[0].time, events[-1].time
        squeeze = min(span, last - first) / max(1, last - first)
        return [
            event._replace(time=moment.time + round((event.time - first) * squeeze))
            for event in events
        ]

    return make_events
