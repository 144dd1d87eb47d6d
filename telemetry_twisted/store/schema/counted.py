"""Tables of what events are counted by: nodes, or nothing at all."""

from __future__ import annotations

from .table import BLOB, INTEGER, Table

RESOLUTIONS = {10: "10s", 60: "1m", 3600: "1h"}
"""What the buckets are called that are so many seconds wide."""

LONG = 60
"""From which width on buckets are kept for long: those of one node are soon on disk then."""

SERIES_SINCE = 3
"""The version of the schema that brought indexes for them."""


def counted(name: str, *by: str, since: int = 1) -> dict[int, Table]:
    """Tables of events by type, counted ``by`` something, by the width of their buckets in seconds.

    Rows of a bucket lie together. What is asked for over long ranges has tables of its own, though
    others could be added up for it: a row of each bucket is a page to read of each, where these lie
    among the rows of a thousand nodes.

    :param by: the columns that say whose events they are; none where all are counted together.
    :param since: the version of the schema that brought them.
    :return: tables with the columns ``bucket``, ``by``, ``run``, ``events`` (their number) and
        ``counts`` (:mod:`..packed`).
    """
    return {
        width: Table(
            f"{name}_{resolution}",
            {
                "bucket": INTEGER,
                **dict.fromkeys(by, INTEGER),
                "run": INTEGER,
                "events": INTEGER,
                "counts": BLOB,
            },
            ("bucket", *by, "run"),
            series={(*by, "bucket"): max(since, SERIES_SINCE)} if by and width >= LONG else {},
            since=since,
        )
        for width, resolution in RESOLUTIONS.items()
    }
