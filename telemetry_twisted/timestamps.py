"""Times as people and subscribers read them."""

from __future__ import annotations

from datetime import datetime, timezone


def rfc3339(seconds: float) -> str:
    """Unix time as RFC 3339 in UTC, with microseconds and ``Z``."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
