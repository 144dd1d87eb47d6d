"""The way of one admitted node's messages into chunks, under its rate limit."""

from __future__ import annotations

from telemetry_twisted.jip3.codec import FrameTooLong, Stream

from .chunks import ChunkWriter, Fed
from .rate import RateLimit


class Intake:
    """Writes what a node sends as far as its rate limit lets it, and passes over the rest.

    ``events`` is how many were written.

    :param rate: events a second, 0 where there is no limit.
    :param spent: how many of those that may pass at once have passed before.
    """

    __slots__ = ("_handle", "_limit", "_passed_over", "_stream", "_writer", "events")

    def __init__(
        self, writer: ChunkWriter, stream: Stream, handle: int, rate: int, spent: int, now: float
    ) -> None:
        self.events = 0
        self._writer = writer
        self._stream = stream
        self._handle = handle
        self._limit = RateLimit(rate, spent, now) if rate else None
        self._passed_over = 0

    def feed(self, data: bytes, now: float) -> Fed:
        """Consume the whole frames of ``data``, of which some may be passed over.

        :param now: seconds of the clock that nobody sets.
        :raises FrameTooLong: if the first frame is too long.
        """
        limit = self._limit
        most = None if limit is None else limit.allowance(now)
        fed = self._writer.feed(self._stream, self._handle, data, 0, most)
        self.events += fed.events
        return fed if limit is None else self._limited(limit, data, fed)

    def _limited(self, limit: RateLimit, data: bytes, fed: Fed) -> Fed:
        limit.spend(fed.events)
        try:
            end, skipped = self._stream.skip(data, fed.end, len(data))
        except FrameTooLong:
            if fed.end == 0:
                raise
            return fed
        self._passed_over += skipped
        return fed._replace(end=end)

    def take_passed_over(self) -> int:
        """How many messages were passed over since the last call."""
        count, self._passed_over = self._passed_over, 0
        return count
