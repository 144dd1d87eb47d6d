"""What was sent, counted as it is handed to the network, to compare with what a server received."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from attrs import Factory, define

from .accounting import Accounting
from .context import Moment
from .mistakes import Fault
from .prepared import Failure, PreparedPiece, failure_of
from .schedule import Event

_T = TypeVar("_T")


@define(eq=False)
class Tally:
    """The events of one node.

    ``began`` is when it begins, in true microseconds of the JAM Common Era. ``events`` and
    ``bytes`` count messages without node information. ``best`` and ``finalized`` hold, for each
    slot, the time of ``BestBlockChanged`` and ``FinalizedBlockChanged`` in microseconds of the JAM
    Common Era, unless ``keeps_times`` is off, which a run without end needs to be. ``dropped`` sums
    what the node said that it dropped, ``orphans`` counts the events that refer to such, or to
    another orphan, ``faults`` what it got wrong; messages that are no events for that are not among
    ``events``. ``is_whole`` says that the connection ended in peace, after the server had read all
    of it, ``ended`` when it ended, in microseconds of the Common Era, None while it lasts.
    ``accounting`` keeps the account of what the events mean, if it is wanted.
    """

    began: int = 0
    keeps_times: bool = True
    events: int = 0
    bytes: int = 0
    best: dict[int, int] = Factory(dict)
    finalized: dict[int, int] = Factory(dict)
    orphans: int = 0
    dropped: Counter[str] = Factory(Counter)
    faults: Counter[Fault] = Factory(Counter)
    is_whole: bool = False
    ended: int | None = None
    accounting: Accounting | None = None
    _names: Counter[str] = Factory(Counter)
    _failures: Counter[Failure] = Factory(Counter)
    _pieces: Counter[PreparedPiece] = Factory(Counter)

    def add_event(self, event: Event, size: int, event_id: int) -> None:
        """Count ``event``, sent in ``size`` bytes."""
        if self.accounting is not None:
            self.accounting.add(event, event_id)
        self.events += 1
        self.bytes += size
        self._names[event.name] += 1
        if (failure := failure_of(event)) is not None:
            self._failures[failure] += 1
        if event.name == "Dropped":
            self.dropped.update(events=event.fields["num"], spans=1)
        if not self.keeps_times:
            return
        if event.name == "BestBlockChanged":
            self.best[event.fields["slot"]] = event.time
        elif event.name == "FinalizedBlockChanged":
            self.finalized[event.fields["slot"]] = event.time

    def add_piece(self, piece: PreparedPiece, time: int) -> None:
        """Count a whole ``piece``, used at ``time``."""
        if self.accounting is not None:
            self.accounting.add_piece(piece, time)
        self.events += len(piece)
        self.bytes += piece.size
        self._pieces[piece] += 1

    def add_part(self, piece: PreparedPiece, moment: Moment, events: int) -> None:
        """Count the first ``events`` events of ``piece`` at ``moment``."""
        if self.accounting is not None:
            self.accounting.add_part(piece.events(moment)[:events], moment.first_id)
        self.events += events
        self.bytes += piece.ends[events - 1]
        self._names.update(piece.names[:events])
        self._failures.update(filter(None, piece.failures[:events]))

    def names(self) -> Counter[str]:
        """How many events of each type."""
        return self._total(self._names, lambda piece: piece.counts)

    def failures(self) -> Counter[Failure]:
        """How many failures of each type and reason."""
        return self._total(self._failures, lambda piece: piece.failure_counts)

    def absorb(self, other: Tally) -> None:
        """Count what ``other`` has counted too, without the times of blocks."""
        self.events += other.events
        self.bytes += other.bytes
        self._names.update(other._names)
        self._failures.update(other._failures)
        self._pieces.update(other._pieces)

    def _total(
        self, single: Counter[_T], of_piece: Callable[[PreparedPiece], Mapping[_T, int]]
    ) -> Counter[_T]:
        total = Counter(single)
        for piece, times in self._pieces.items():
            for key, count in of_piece(piece).items():
                total[key] += count * times
        return total
