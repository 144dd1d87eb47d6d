"""What history has lost on its way to the database: counted, and told in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from .tally import Tally

PERIOD_SECONDS = 10.0
"""How long losses are added up before they are told, but for the first."""


class Losses:
    """Adds up what is lost, and tells of all of it in the log: how much, and why.

    ``total`` has by name what was lost so far: what a :class:`~.tally.Tally` has, and what store
    processes say that they had to let go of. ``of_records`` is what was lost with records alone:
    store processes let go of what is more than history has room for, which strangers can bring
    about, and what an ingestion process takes along when it ends was in none.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.total: Counter[str] = Counter(Tally().as_json())
        self.of_records = Tally()
        self._clock = clock
        self._untold: dict[str, Tally] = {}
        self._of_process: Mapping[str, int] = {}

    def add(self, tally: Tally, why: str) -> None:
        """``tally`` is lost, for one of few reasons."""
        self.of_records.add(tally)
        self.add_untold(tally, why)

    def add_untold(self, tally: Tally, why: str) -> None:
        """``tally`` is lost, but no record has told of it that could have been kept."""
        self.total.update(tally.as_json())
        if why in self._untold:
            self._untold[why].add(tally)
        else:
            self._tell(tally, why)

    def _tell(self, tally: Tally, why: str) -> None:
        self._log.error("history has lost {tally}: {why}", tally=tally, why=why)
        self._untold[why] = Tally()
        self._clock.callLater(PERIOD_SECONDS, self._period_over, why)

    def _period_over(self, why: str) -> None:
        tally = self._untold.pop(why)
        if tally:
            self._tell(tally, why)

    def process_told(self, lost: Mapping[str, int]) -> None:
        """The present store process has let go of so much, all in all; it logs that itself."""
        for what, count in lost.items():
            self.total[what] += max(0, count - self._of_process.get(what, 0))
        self._of_process = lost

    def process_ended(self) -> None:
        """The next one counts from nothing."""
        self._of_process = {}
