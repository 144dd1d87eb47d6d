"""Times as people and subscribers read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone


def rfc3339(seconds: float) -> str:
    """Unix time as RFC 3339 in UTC, with microseconds and ``Z``."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def microseconds(text: str) -> int:
    """The microseconds of Unix time that :func:`rfc3339` wrote as ``text``."""
    moment = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=timezone.utc)
    return (moment - _UNIX_EPOCH) // timedelta(microseconds=1)


_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
