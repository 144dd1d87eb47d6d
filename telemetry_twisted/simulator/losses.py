"""What a node drops of its events, and what then can be understood of the others.

For a while it sends none, as a node does whose telemetry server does not keep up. ``Dropped`` then
stands for them: it has the ID of the first, and the next event the one that it would have had
otherwise (JIP-3, Event IDs). So later events refer to some that nobody was told of.
"""

from __future__ import annotations

from collections import deque
from random import Random

from attrs import Factory, define

from ..jip3.chains import CHAINS
from ..jip3.table import TABLE
from .blockchain import SECOND
from .schedule import NEVER, Event

LONGEST = SECOND
"""Microseconds that a node drops events for at most."""

_MOST_UNKNOWN = 64
"""Spans of event IDs that may still be referred to: a node has one in a slot, and few others."""

_LINKS = {TABLE.events[kind].name for kind in CHAINS.links}
_REFERENCES = {
    TABLE.events[kind].name: name
    for kind, reference in CHAINS.references.items()
    for name, _ in TABLE.events[kind].fields
    if TABLE.events[kind].offset_of(name) == reference.offset
}
"""By the name of an event, the field that names the ID of an earlier one."""


@define
class Losses:
    """What one node drops, in a ``share`` of slots, as ``random`` has it.

    Nothing else depends on that ``random``: what is not dropped is what would have been sent
    anyway. Times are true ones, in microseconds, and not by the node's clock. ``total`` counts what
    was dropped so far.
    """

    share: float
    random: Random
    total: int = 0
    _begins: int = NEVER
    _ends: int = NEVER
    _first: int = 0
    _last: int = 0
    _ids: range = range(0)
    _unknown: deque[range] = Factory(lambda: deque(maxlen=_MOST_UNKNOWN))

    def enter_slot(self, begins: int) -> None:
        """A slot begins: maybe drop what falls due for some time in it."""
        if self.random.random() < self.share:
            self._begins = begins + self.random.randrange(4 * SECOND)
            self._ends = self._begins + self.random.randrange(LONGEST // 10, LONGEST)

    def affect(self, first: int, last: int) -> bool:
        """Whether events from ``first`` to ``last`` may be dropped, or have some before them of
        which that has yet to be said."""
        return bool(self._ids) or (self._begins <= last and first < self._ends)

    def drop(self, event: Event, event_id: int) -> bool:
        """Whether ``event`` is dropped, and counted as such."""
        if not self._begins <= event.time < self._ends:
            return False
        if not self._ids:
            self._first, self._ids = event.time, range(event_id, event_id)
        self._last, self._ids = event.time, range(self._ids.start, event_id + 1)
        self.total += 1
        return True

    def told(self) -> tuple[Event, int] | None:
        """The event that stands for what was dropped, and its ID, if it has not been said yet."""
        if not self._ids:
            return None
        ids, self._ids = self._ids, range(0)
        self._unknown.append(ids)
        return Event(self._first, "Dropped", {"last_timestamp": self._last, "num": len(ids)}), ids[
            0
        ]

    def has(self, event_id: int) -> bool:
        """Whether nothing can be understood of who refers to the event ``event_id``."""
        return any(event_id in ids for ids in self._unknown)

    def is_orphan(self, event: Event) -> bool:
        """Whether ``event`` refers to one of which nothing is known."""
        name = _REFERENCES.get(event.name)
        return name is not None and self.has(event.fields[name])

    def alone(self, event: Event, event_id: int) -> Event:
        """The orphan ``event`` as it can be understood: outside the chain that it was meant for."""
        chain = event.chain
        if chain is not None and chain.root == event.name:
            chain.top = chain
            return event
        if event.name in _LINKS:
            self._unknown.append(range(event_id, event_id + 1))
        return event._replace(chain=None, ends=None)
