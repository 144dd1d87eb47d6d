"""Work for many who ask, a little of it in each turn of the reactor.

What strangers ask for runs in the reactor that the stream runs in. However many ask at once, no
more than :data:`TURN_SECONDS` of a turn go to all of them together, and the step that is under way
when the time is up: then links and subscribers have theirs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

T = TypeVar("T")

TURN_SECONDS = 0.004
"""How much of a turn of the reactor goes to answers, together."""

STEP_SECONDS = 0.002
"""How long one of them goes on before the others have their turn."""

PIECE = 256
"""Of how many items a step consists where each takes a few microseconds."""


class Turns:
    """Lets those who wait for their turn go on in order.

    How many wait is bounded by how many may ask: each has one turn to wait for at a time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: deque[Deferred[None]] = deque()
        self._next: IDelayedCall | None = None

    def taken(self) -> Deferred[None]:
        """Fires, in a later turn of the reactor, when the caller may go on; may be cancelled."""
        turn: Deferred[None] = Deferred()
        self._waiting.append(turn)
        if self._next is None:
            self._next = self._clock.callLater(0, self._go)
        return turn

    async def steps(self, items: Iterable[T]) -> AsyncIterator[T]:
        """Each of ``items``, and a turn for the others in between when it takes long."""
        end = self._clock.seconds() + STEP_SECONDS
        for item in items:
            yield item
            if self._clock.seconds() >= end:
                await self.taken()
                end = self._clock.seconds() + STEP_SECONDS

    def _go(self) -> None:
        self._next = None
        end = self._clock.seconds() + TURN_SECONDS
        # Those who come while others go on have the next one.
        for _ in range(len(self._waiting)):
            turn = self._waiting.popleft()
            if not turn.called:
                turn.callback(None)
            if self._clock.seconds() >= end:
                break
        if self._waiting and self._next is None:
            self._next = self._clock.callLater(0, self._go)


def pieces(items: Iterable[T]) -> Iterator[list[T]]:
    """``items`` in lists of :data:`PIECE`."""
    rest = iter(items)
    while piece := list(islice(rest, PIECE)):
        yield piece
