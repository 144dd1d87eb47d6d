"""Times as people and subscribers read them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def rfc3339(seconds: float) -> str:
    """Unix time as RFC 3339 in UTC, with microseconds and ``Z``."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_to_the_second(whole)}.{micros:06}Z"


@lru_cache(maxsize=8)
def _to_the_second(seconds: int) -> str:
    # Every frame carries a time, and thousands of frames share a second.
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")


class Stamp:
    """The time as :func:`rfc3339` writes it, in bytes, made anew once a millisecond at most.

    :param now: tells Unix time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._made = 0.0
        self._text = b""

    def __call__(self) -> bytes:
        now = self._now()
        if not 0 <= now - self._made < 0.001 or not self._text:
            self._made = now
            self._text = rfc3339(now).encode()
        return self._text


def microseconds(text: str) -> int:
    """The microseconds of Unix time that :func:`rfc3339` wrote as ``text``."""
    moment = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=timezone.utc)
    return (moment - _UNIX_EPOCH) // timedelta(microseconds=1)
