"""How networks fare, for those who asked: all of it first, then once a second what has changed."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.rounds import Rounds

from .context import Gauges
from .frames import encode
from .merge_patch import merge_patch

ROUND_SECONDS = 1.0
"""How often it is told what has changed."""


class Asker(Protocol):
    """Who is told of networks."""

    @property
    def keeps_up(self) -> bool:
        """Whether what it is told goes out at once."""

    def send_network(self, figures: bytes) -> None:
        """Tell ``figures``, a JSON object made for all."""


class NetworkNews:
    """Tells of networks in rounds, in which what has changed is made once for all.

    Who does not keep up is told nothing meanwhile, and all of it anew when it does again.
    """

    def __init__(self, gauges: Gauges, clock: IReactorTime, errors: InternalErrors) -> None:
        self._gauges = gauges
        self._askers: dict[Asker, bool] = {}  # whether each has been told all that there was
        self._figures: dict[str, Any] = {}
        self._snapshot: bytes | None = None
        self._rounds = Rounds(self._tell, "networks", clock, errors)

    def begin(self, asker: Asker) -> None:
        """Tell ``asker`` all now, and every second what has changed."""
        if not self._askers:
            self._take()
        self._askers[asker] = False
        self._rounds.start(ROUND_SECONDS)
        self._tell_all(asker)

    def end(self, asker: Asker) -> None:
        """Tell ``asker`` no more, if it was told."""
        if self._askers.pop(asker, None) is not None and not self._askers:
            self._rounds.stop()
            self._figures, self._snapshot = {}, None

    def _take(self) -> None:
        self._figures, self._snapshot = self._gauges.network(), None

    def _tell(self) -> None:
        before = self._figures
        self._take()
        changed = merge_patch(before, self._figures)
        news = encode({"snapshot": False, **changed})
        for asker, told_all in list(self._askers.items()):
            if not told_all:
                self._tell_all(asker)
            elif changed:
                self._askers[asker] = asker.keeps_up
                if asker.keeps_up:
                    asker.send_network(news)

    def _tell_all(self, asker: Asker) -> None:
        if not asker.keeps_up:
            return
        if self._snapshot is None:
            self._snapshot = encode({"snapshot": True, **self._figures})
        self._askers[asker] = True
        asker.send_network(self._snapshot)
