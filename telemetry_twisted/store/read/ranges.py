"""Which buckets answer a question about a range of time."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

STEPS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 604800)
"""Distances that the points of a chart may have, in seconds."""

MOST_POINTS = 360
"""Points of a chart, at most, and perhaps one more where the range begins within a step."""


@frozen
class Span:
    """A range of time in steps: ``begin`` to ``end`` in seconds of Unix time, whole ``step`` s.

    ``width`` is that of the buckets to read; ``step`` is a multiple of it.
    """

    begin: int
    end: int
    step: int
    width: int

    @property
    def buckets(self) -> range:
        """Where the buckets begin that are to be read."""
        return range(self.begin, self.end, self.width)

    @property
    def times(self) -> range:
        """Where the steps begin."""
        return range(self.begin, self.end, self.step)

    def index(self, bucket: int) -> int:
        """The number of the step that a bucket belongs to."""
        return (bucket - self.begin) // self.step


def span_of(
    begin: float, end: float, now: float, kept: Mapping[int, int], most_buckets: int
) -> Span:
    """The finest span that covers ``begin`` to ``end`` and can be answered quickly.

    :param kept: for how many seconds buckets are kept, by their width.
    :param most_buckets: how many buckets may be read.
    """
    spans = [
        _span(begin, end, step, max(w for w in kept if step % w == 0))
        for step in STEPS
        if any(step % width == 0 for width in kept)
    ]
    for span in spans:
        if (
            (end - begin) / span.step <= MOST_POINTS
            and len(span.buckets) <= most_buckets
            and begin >= now - kept[span.width]
        ):
            return span
    coarse = [span for span in spans if span.width == max(kept)]
    return next((span for span in coarse if (end - begin) / span.step <= MOST_POINTS), coarse[-1])


def whole(begin: float, end: float, now: float, kept: Mapping[int, int], most_buckets: int) -> Span:
    """One step that covers ``begin`` to ``end`` in whole buckets, the narrowest of which there are
    no more than ``most_buckets``; the widest are taken if there are."""
    for width in sorted(kept):
        if (end - begin) / width <= most_buckets and begin >= now - kept[width]:
            break
    first = int(begin // width * width)
    last = max(int(-(-end // width) * width), first + width)
    return Span(first, last, last - first, width)


def _span(begin: float, end: float, step: int, width: int) -> Span:
    first = int(begin // step * step)
    return Span(first, max(int(-(-end // step) * step), first + step), step, width)


@frozen
class Window(Span):
    """A range in windows of ``step`` seconds, whatever the ``width`` of buckets.

    Buckets that begin in a window belong to it; it begins at a multiple of ``step``.
    """

    def at(self, bucket: int) -> int:
        """Where the window begins that a bucket belongs to."""
        return bucket // self.step * self.step


def window_of(
    begin: float, end: float, step: int, now: float, kept: Mapping[int, int], most_buckets: int
) -> Window:
    """Windows of ``step`` seconds, of the widest buckets that are no wider, unless those are kept
    no longer, or there are more than ``most_buckets`` of them: wider ones then.

    :param kept: for how many seconds buckets are kept, by their width.
    """
    widths = sorted(kept)
    least = max((width for width in widths if width <= step), default=widths[0])
    for width in widths[widths.index(least) :]:
        if begin >= now - kept[width] and (end - begin) / width <= most_buckets:
            break
    first = int(begin // width * width)
    last = int(-(-min(end, now + width) // width) * width)
    return Window(first, max(last, first + width), step, width)


def pieces_of(
    begin: float, end: float, now: float, kept: Mapping[int, int], most_buckets: int
) -> list[Span]:
    """Few buckets that hold a range: wide ones within it, and narrow ones where it begins and ends.

    They hold the range widened to whole buckets of the narrow ones, which are the narrowest that
    are kept for long enough and of which there are not too many. Wide ones may go past an end that
    is now.

    :param kept: for how many seconds buckets are kept, by their width.
    """
    widths = sorted(kept)
    end = min(end, now + 1)
    pieces: list[Span] = []
    for index, narrow in enumerate(widths):
        first = int(begin // narrow * narrow)
        last = max(int(-(-end // narrow) * narrow), first)
        for wide in (*widths[index + 1 :], narrow):
            pieces = _within(first, last, narrow, wide, end >= now)
            if begin >= now - kept[narrow] and sum(len(p.buckets) for p in pieces) <= most_buckets:
                return pieces
    return pieces


def _within(first: int, last: int, narrow: int, wide: int, is_open: bool) -> list[Span]:
    """Buckets of ``narrow`` around those of ``wide``."""
    inner = -(-first // wide) * wide
    until = -(-last // wide) * wide if is_open else last // wide * wide
    if inner >= until or wide == narrow:
        parts = [(first, last, narrow)]
    else:
        parts = [(first, inner, narrow), (inner, until, wide), (until, last, narrow)]
    return [Span(a, b, max(b - a, 1), width) for a, b, width in parts if b > a]
