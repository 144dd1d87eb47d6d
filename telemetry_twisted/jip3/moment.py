"""The moment at which something was read: how it is shown, and what nodes may say at it.

What a node says of time is compared with the server's wall clock and never corrected. A timestamp
further from it than :data:`TOLERANCE`, or a slot further ahead of it than :data:`SLOTS_AHEAD`, is
delivered as it is and is a violation (protocol, "What bad input gets").
"""

from __future__ import annotations

from typing import NamedTuple

COMMON_ERA = 1_735_732_800_000_000
"""The JAM Common Era, 2025-01-01T12:00:00Z, in microseconds of Unix time."""

TOLERANCE = 24 * 3600 * 1_000_000
"""How far a timestamp may be from the server's clock, in microseconds: a day."""

SLOT = 6_000_000
"""A slot, in microseconds; slot 0 begins with the Common Era."""

SLOTS_AHEAD = 10
"""How many slots a node may be ahead of the server's clock."""

ANY_TIME = 2**64 - 1
"""The largest timestamp that there is."""

ANY_SLOT = 2**32 - 1
"""The largest slot that there is."""


class Moment(NamedTuple):
    """What a codec needs to know of the wall clock; made once a turn.

    ``received`` is the RFC 3339 time that is shown. Timestamps lie from ``earliest`` to ``latest``,
    in microseconds of the Common Era, slots up to ``newest_slot``: with the defaults, any do. What
    breaks this is told once for each value of ``minute``. ``second`` counts the seconds of a clock
    that nobody sets; with each, a node may have more facts passed on (:mod:`.thinning`).
    ``arrived`` is the same as ``received``, in microseconds of Unix time.
    """

    received: bytes
    minute: int = 0
    earliest: int = 0
    latest: int = ANY_TIME
    newest_slot: int = ANY_SLOT
    second: int = 0
    arrived: int = 0

    @classmethod
    def at(
        cls, now: float, received: bytes, reached: float | None = None, second: int = 0
    ) -> Moment:
        """The moment of ``now``, in seconds of Unix time, which is ``received`` in RFC 3339.

        ``reached`` is the time that nodes may have reached, ``now`` unless it is given.
        """
        time = int(now * 1_000_000) - COMMON_ERA
        return cls(
            received,
            int(now // 60),
            max(time - TOLERANCE, 0),
            max(time + TOLERANCE, 0),
            newest_slot(now if reached is None else reached),
            second,
            int(now * 1_000_000),
        )


def newest_slot(now: float) -> int:
    """The last slot that a node may be at when it is ``now``, in seconds of Unix time."""
    slot = (int(now * 1_000_000) - COMMON_ERA) // SLOT + SLOTS_AHEAD
    return min(max(slot, 0), ANY_SLOT)


def is_unix_time(timestamp: int, earliest: int, latest: int) -> bool:
    """Whether ``timestamp`` would lie from ``earliest`` to ``latest`` if it counted from 1970."""
    return earliest <= timestamp - COMMON_ERA <= latest
