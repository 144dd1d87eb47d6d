"""What a store process has taken, and the hub no longer keeps, before it is committed."""

from __future__ import annotations

from attrs import define, field

from .tally import Gap, Sampled, Tally, merged


@define
class Loss:
    """What is lost if some records are.

    ``gap`` is of what is in them, ``told`` of what was lost before them and they tell of; and they
    may say what became of raw events.
    """

    gap: Gap | None = None
    told: Gap | None = None
    sampled: Sampled = field(factory=Sampled)

    def merge(self, other: Loss) -> None:
        """Add ``other``, which is no longer to be used."""
        self.gap = merged(self.gap, other.gap)
        self.told = merged(self.told, other.told)
        self.sampled.add(other.sampled)


class AtRisk:
    """Tallies of records, by whether the commit that is under way may have them.

    A commit has all that the store process has taken when it begins, so what is at risk then is in
    it, whatever its number.
    """

    def __init__(self) -> None:
        self._last = 0
        self._attempting = 0
        self._attempted = Loss()
        self._others = Loss()

    @property
    def tally(self) -> Tally:
        """What is at risk."""
        tally = Tally()
        for loss in (self._attempted, self._others):
            if loss.gap is not None:
                tally.add(loss.gap.lost)
        return tally

    def add(self, number: int, loss: Loss) -> None:
        """Record ``number`` is at risk, and with it ``loss``."""
        self._last = max(self._last, number)
        (self._attempted if number <= self._attempting else self._others).merge(loss)

    def attempted(self, number: int) -> None:
        """A commit up to record ``number`` is under way; it may be said more than once."""
        if number != self._attempting:
            self._attempting = number
            self._join(self._attempted, self._others)

    def failed(self) -> None:
        """It has not come about."""
        self._attempting = 0
        self._join(self._others, self._attempted)

    def _join(self, into: Loss, other: Loss) -> None:
        into.merge(other)
        other.gap, other.told, other.sampled = None, None, Sampled()

    def committed(self, position: int) -> None:
        """All up to record ``position`` is in the database."""
        if position >= self._attempting:
            self._attempting = 0
            self._attempted = Loss()
        if position >= self._last:
            self._others = Loss()

    def take(self) -> Loss:
        """What is at risk; nothing is from then on."""
        self.failed()
        loss, self._others = self._others, Loss()
        return loss
