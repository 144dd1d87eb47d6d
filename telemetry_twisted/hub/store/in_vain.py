"""When to give up records that no store process survives."""

from __future__ import annotations

MOST_IN_VAIN = 3
"""Store processes in a row that may end over the same records."""

KILLED = "killed by SIGKILL"
"""How a process ends that somebody else than its supervisor has killed: for no fault of what it was
given, so that does not count."""


class InVain:
    """Counts the store processes in a row that have begun, and taken nothing of what they got."""

    def __init__(self) -> None:
        self._count = 0

    def ended(self, spoke: bool, untouched: bool, reason: str) -> bool:
        """A process has ended; returns whether what it got is to be given up.

        :param spoke: whether it has said anything.
        :param untouched: whether it got records and took none of them.
        """
        if not untouched:
            self._count = 0
        elif spoke and reason != KILLED:
            self._count += 1
        if self._count < MOST_IN_VAIN:
            return False
        self._count = 0
        return True
