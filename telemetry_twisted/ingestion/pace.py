"""How soon nodes are read again: at once, unless that would be of no use to anybody."""

from __future__ import annotations

REST_SECONDS = 0.1
"""How long a process rests between turns where nobody listens; what it reads counts as of then."""

LITTLE = 2_048
"""Events a second of a process that are few enough: for more, a turn is worth its while anyway."""


class Pace:
    """Decides how long to rest between turns.

    A thousand nodes that say a little wake the server for each of their events, which takes much
    more than the event. While there is no subscriber they are read together, ten times a second.
    An event never waits for company longer than the protocol says while somebody listens.
    """

    def __init__(self) -> None:
        self._listening = True
        self._little = False
        self._events = 0

    @property
    def rest(self) -> float:
        """Seconds to rest between turns."""
        return REST_SECONDS if self._little and not self._listening else 0.0

    def listened_to(self, listening: bool) -> None:
        """There is a subscriber, or none."""
        self._listening = listening

    def second_over(self, events: int) -> None:
        """A second has passed; ``events`` have come since the process began."""
        self._little = events - self._events <= LITTLE
        self._events = events
