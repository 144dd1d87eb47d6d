"""How much history is kept."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

HOUR = 3600
DAY = 24 * HOUR


@frozen
class Policy:
    """How long each kind of history is kept, in seconds, and how much may wait for the database.

    ``counts`` is by width of bucket; ``states`` is also how long shares of raw events are kept;
    ``slots`` also how long failures by the minute, ``yearly`` how long those by the hour and day,
    faults and connections. ``raw_seconds`` is 0 where no raw events are kept; they are also held to
    ``raw_events`` and, compressed, ``raw_bytes``. ``queue_events`` and ``queue_bytes`` bound the
    raw events that wait in memory.
    """

    counts: Mapping[int, int] = field(factory=lambda: {10: DAY, 60: 30 * DAY, 3600: 365 * DAY})
    states: int = DAY
    slots: int = 30 * DAY
    yearly: int = 365 * DAY
    raw_seconds: int = HOUR
    raw_events: int = 50_000_000
    raw_bytes: int = 4 << 30
    queue_events: int = 200_000
    queue_bytes: int = 128 << 20

    @property
    def network_sums(self) -> Mapping[int, int]:
        """For how long what is observed in whole networks is kept, by width of bucket."""
        return {**self.counts, DAY: self.counts[HOUR]}

    @property
    def sums(self) -> Mapping[int, int]:
        """For how long what is observed of single nodes, cores and services is kept, by width of
        bucket: each as long as ``counts`` of the next narrower ones, and no less than it takes
        until they are part of wider ones."""
        return {
            60: max(self.counts[10], DAY // 2),
            HOUR: max(self.counts[60], 2 * DAY),
            DAY: self.counts[HOUR],
        }
