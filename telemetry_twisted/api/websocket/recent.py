"""The answer to ``GetRecentEvents``, which takes longer to make than a turn of the reactor may."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from .frames import recent_event

EVENTS_A_TURN = 1000
"""How many events are cut into shape before others have their turn: some milliseconds."""


class RecentEvents:
    """Events in the form of ``recent_events``, a part of them at a time.

    :param newest: tells the events; called when the first of them are wanted.
    """

    def __init__(self, newest: Callable[[], Iterable[bytes]]) -> None:
        self._newest = newest
        self._rest: Iterable[bytes] | None = None
        self._parts: list[bytes] = []

    def go_on(self) -> bool:
        """Make some more; whether that was all."""
        if self._rest is None:
            self._rest = iter(self._newest())
        part = [recent_event(event) for event in islice(self._rest, EVENTS_A_TURN)]
        self._parts += part
        return len(part) < EVENTS_A_TURN

    def data(self) -> bytes:
        """What there is, as the data of the message."""
        return b'{"count":%d,"events":[%b]}' % (len(self._parts), b",".join(self._parts))
