"""Exchanges, and the schedule that puts the events of many of them in the order of time.

An exchange is a story of events that refer to one another, such as a request and its answer. It is
a generator: it yields each event and is sent the event's ID, so it can refer to it later.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from typing import Any, NamedTuple

from .chains import Chain

NEVER = 1 << 62
"""A time after every other, in microseconds."""


class Event(NamedTuple):
    """Something to report at ``time``, with the fields of the table's event ``name``.

    ``chain`` is the chain that it belongs to, if any; ``ends`` says how it ends that, if it does.
    """

    time: int
    name: str
    fields: Mapping[str, Any]
    chain: Chain | None = None
    ends: str | None = None


def by_clock(event: Event, offset: int) -> Event:
    """``event`` as a node reports it whose clock is ``offset`` microseconds ahead."""
    fields = event.fields
    if "last_timestamp" in fields:
        fields = {**fields, "last_timestamp": fields["last_timestamp"] + offset}
    return event._replace(time=event.time + offset, fields=fields)


Exchange = Generator[Event, int, None]
"""Yields events whose times never go back; is sent the ID of each."""


class Schedule:
    """The exchanges that are under way at one node."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, Event, Exchange]] = []
        self._tickets = count()

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def time(self) -> int:
        """When the next event is due; :data:`NEVER` if there is none."""
        return self._entries[0][0] if self._entries else NEVER

    def begin(self, exchange: Exchange) -> None:
        """Take ``exchange`` up."""
        self._push(next(exchange, None), exchange)

    def emit(self, event_id: int) -> Event:
        """Take the next event off; it has the ID ``event_id``."""
        _, _, event, exchange = heappop(self._entries)
        with suppress(StopIteration):
            self._push(exchange.send(event_id), exchange)
        return event

    def _push(self, event: Event | None, exchange: Exchange) -> None:
        if event is not None:
            heappush(self._entries, (event.time, next(self._tickets), event, exchange))
