"""Which raw events are handed on while the stream has no time to spare for them.

They are a sample, and the stream is not. It is decided when they come, chunk by chunk, since to
keep them until it is known who else sends would take longer than the stream does.
"""

from __future__ import annotations

from math import inf

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.transport.records import Chunk

from .shares import shares

SATURATED = 0.9
"""How busy the stream's busiest process is where the stream has no time to spare: in a flood it was
0.94 to 1.0, and at most 0.86 with a tenth of that beside others who used all processors."""

LESS, MORE = 0.2, 1.25
"""By what the rate is multiplied at each look: while the stream has no time, and while it has."""

LEAST = 10_000
"""Raw events a second that are handed on however busy the stream is."""

ENOUGH = 2_000_000
"""A rate above which there is none."""

SHARE_SECONDS = 0.25
"""How long what may pass is shared out for."""


FIRST_SHARE = int(LEAST * SHARE_SECONDS)
"""How many events of each node pass at first."""


class Sampling:
    """Lets so many raw events a second pass, ``rate``, of each node as many as of any other.

    Nodes that send less than their share pass whole. Of others, runs of events pass whole as well,
    and a node that has had more than its share waits for its turn until all have.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.rate = inf
        self._clock = clock
        self._looked = clock.seconds()
        self._given = 0
        self._restart()

    def _restart(self) -> None:
        # Of each node, events since it was shared out, and those that have passed; the latter go
        # on from one time to the next, and so does the level that they are compared with.
        self._seen: dict[int, int] = {}
        self._passed: dict[int, int] = {}
        # Until it is known who sends how much, each may have what all may have later.
        self._share = self._level = FIRST_SHARE
        self._left = 0.0
        self._end = self._clock.seconds()

    @property
    def all_pass(self) -> bool:
        """Whether there is no bound."""
        return self.rate == inf

    def stream_is_busy(self, busy: float, given: int) -> None:
        """The stream's busiest process is so busy, from 0 to 1; judged by that, and told often.

        :param given: raw events that were handed on so far.
        """
        now = self._clock.seconds()
        seconds, self._looked = max(now - self._looked, 1e-3), now
        came, self._given = (given - self._given) / seconds, given
        if busy >= SATURATED:
            if self.all_pass:
                self._restart()
            self.rate = max(LEAST, min(self.rate, came) * LESS)
        elif self.rate > ENOUGH:
            self.rate = inf
        else:
            self.rate *= MORE

    def most(self, chunk: Chunk) -> list[int]:
        """How many events of each run of ``chunk``, which has just come, pass: all or none."""
        now = self._clock.seconds()
        if now >= self._end:
            self._share_out(now)
        seen, passed, share, level = self._seen, self._passed, self._share, self._level
        most = []
        for handle, count in chunk.runs:
            of_node = seen[handle] = seen.get(handle, 0) + count
            before = max(passed.get(handle, 0), level - share)  # who sent less has not saved it
            if of_node <= share or (self._left > 0 and before < level):
                passed[handle] = before + count
                self._left -= count
                most.append(count)
            else:
                most.append(0)
        return most

    def _share_out(self, now: float) -> None:
        room = self.rate * SHARE_SECONDS
        if self._seen:
            seen, self._seen = self._seen, {}
            self._share = max(1, *shares(seen, int(room)).values())
            self._level += self._share
        self._left = min(self._left, 0.0) + room
        self._end = now + SHARE_SECONDS
