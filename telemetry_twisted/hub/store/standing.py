"""How the store fares, judged by what was heard of it, and by what was not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime

STALE_SECONDS = 3.0
"""How old what the store process said may be to be believed; it says so every half second."""

SILENT = "nothing is heard of the store process"


class Standing:
    """What the store process has said last, as long as that can be believed."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._said: Mapping[str, Any] = {"state": "starting"}
        self._said_well = clock.seconds()

    @property
    def status(self) -> Mapping[str, Any]:
        """What it said; ``state`` is ``late`` where it was well and has said nothing lately."""
        if self._said["state"] == "ok" and self._unwell_for() > STALE_SECONDS:
            return {**self._said, "state": "late", "last_error": SILENT}
        return self._said

    def _unwell_for(self) -> float:
        return self._clock.seconds() - self._said_well

    def trouble(self) -> float:
        """For how many seconds it has not written as it should."""
        return 0.0 if self.status["state"] == "ok" else self._unwell_for()

    def told(self, status: Mapping[str, Any]) -> None:
        """It has said how it fares."""
        self._said = status
        if status["state"] == "ok":
            self._said_well = self._clock.seconds()

    def late(self) -> None:
        """Its supervisor takes it for stuck."""
        self._said = {**self._said, "state": "late", "last_error": SILENT}

    def ended(self, reason: str) -> None:
        """It is gone."""
        self._said = {"state": "restarting", "last_error": reason}
