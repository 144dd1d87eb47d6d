"""How often history is written: the longer that takes, the less often."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.interfaces import IReactorTime

COMMIT_SECONDS = 2.0
"""How long it is from one commit to the next at least. What is said again meanwhile is written
once."""

LONGEST_SECONDS = 15.0
"""How long it is at most, and where nodes say nothing but that they are there. So old may what is
read from the database be, and so much can ``kill -9`` of the whole server lose, and a little."""

MOST_BYTES = 24 << 20
"""As many bytes of records are committed before that: the hub, which keeps them until then, keeps
32 MiB of what is observed (:data:`telemetry_twisted.hub.store.pending.PENDING_BYTES`), and 100,000
events a second come to 2."""

REST = 9
"""How many times as long as a commit took nothing is committed.

A commit costs by the nodes and things of which something is new, not by how much is: the rows of
all of them are written whole. So one for more seconds costs little more, and where the machine is
busy, history keeps up by writing less often."""


class Pace:
    """Tells when a commit is due, by ``clock``."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._soonest = self._due = self._due_if_quiet = 0.0
        self._hurried = False

    def due(self, quiet: bool) -> float:
        """When a commit is, or was, due.

        :param quiet: nothing has come but that nodes are there.
        """
        return self._due_if_quiet if quiet else self._due

    def is_due(self, quiet: bool, size: int = 0) -> bool:
        """Whether a commit is due now, of so many bytes of records."""
        due = self.due(quiet) if size < MOST_BYTES else self._soonest
        return self._hurried or self._clock.seconds() >= due

    def hurry(self) -> None:
        """A commit is due that begins from now on."""
        self._hurried = True

    @contextmanager
    def commit(self) -> Iterator[None]:
        """A commit is the body; where it fails, it is due as before."""
        hurried, self._hurried = self._hurried, False
        began = self._clock.seconds()
        try:
            yield
        except BaseException:
            self._hurried = self._hurried or hurried
            raise
        ended = self._clock.seconds()
        rest = max(COMMIT_SECONDS, REST * (ended - began))
        self._soonest = ended + COMMIT_SECONDS
        self._due = ended + min(rest, LONGEST_SECONDS)
        self._due_if_quiet = ended + LONGEST_SECONDS
