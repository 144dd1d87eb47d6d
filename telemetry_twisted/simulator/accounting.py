"""The account of one connection in the making: kept cheaply while its node sends.

What goes event by event is added up at once. Of prepared pieces only the times of use are kept:
what one adds up to was worked out when it was prepared, and what it tells of single things is
worked out at the end, once for all nodes that used it while it told the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from attrs import Factory, define

from .context import Moment
from .network import Network
from .prepared import PreparedPiece
from .records import Records
from .schedule import Event
from .sums import Sums

PieceRecords = dict[tuple[PreparedPiece, Moment], Records]
"""What a piece tells of single things at a moment whose ``time`` and IDs are 0, worked out once."""


@define(eq=False)
class Accounting:
    """What a node has sent on one connection; ``records`` is None where only sums are wanted."""

    records: Records | None = None
    _sums: Sums = Factory(Sums)
    _first: int | None = None
    _last: int = 0
    _uses: defaultdict[PreparedPiece, list[int]] = Factory(lambda: defaultdict(list))

    def add(self, event: Event, event_id: int) -> None:
        """Add ``event``, the next in the order of time, with the time of the node's clock."""
        if self._first is None:
            self._first = event.time
        self._last = event.time
        self._sums.add(event)
        if self.records is not None:
            self.records.add(event, event_id)

    def add_piece(self, piece: PreparedPiece, time: int) -> None:
        """Add a whole ``piece``, used at ``time``, which is no node's clock but true."""
        self._uses[piece].append(time)

    def add_part(self, events: Sequence[Event], first_id: int) -> None:
        """Add ``events`` of a piece that is cut short."""
        for event_id, event in enumerate(events, first_id):
            self.add(event, event_id)

    def between(self) -> tuple[int, ...]:
        """When the first and the last event was, by the node's clock; nothing if there was none."""
        return () if self._first is None else (self._first, self._last)

    @classmethod
    def sums_of(cls, accountings: Iterable[Accounting]) -> Sums:
        """What all of them add up to."""
        total = Sums()
        uses: Counter[PreparedPiece] = Counter()
        for accounting in accountings:
            total.absorb(accounting._sums)
            for piece, times in accounting._uses.items():
                uses[piece] += len(times)
        for piece, number in uses.items():
            total.absorb(piece.sums, number)
        return total

    def all_records(self, network: Network, offset: int, known: PieceRecords) -> Records:
        """All single things, pieces included.

        :param offset: by how much the node's clock is ahead, in microseconds.
        :param known: what pieces tell, kept from connection to connection.
        """
        assert self.records is not None, "records are not kept"
        records = self.records.copy()
        uses: defaultdict[tuple[PreparedPiece, Moment], list[int]] = defaultdict(list)
        for piece, piece_times in self._uses.items():
            for time in piece_times:
                uses[piece, network.moment(time)].append(time + offset)
        for key, times in uses.items():
            if key not in known:
                piece, moment = key
                known[key] = _records_of(piece.events(moment))
            records.absorb(known[key], times)
        return records


def _records_of(events: Sequence[Event]) -> Records:
    sums, records = Sums(), Records()
    for event_id, event in enumerate(events):
        sums.add(event)
        records.add(event, event_id)
    return records
