"""Which packages work reports are of."""

from __future__ import annotations

from collections.abc import Collection

from telemetry_twisted.store.schema.network_tables import JOURNEYS

from .history import History
from .networks import Network
from .sampled import some_of

MOST_PACKAGES = 2500
"""Packages that are looked at, at most."""

EARLIER_SECONDS = 60
"""How long before its report was guaranteed a package may have come."""


async def packages_of_reports(
    history: History, network: Network, begin: float, end: float, reports: Collection[bytes]
) -> dict[bytes, tuple[int | None, bytes]]:
    """The core and the hash of the package of each of some reports that are known."""
    wanted = {*reports}
    columns = ("report", "core", "hash")
    begin -= EARLIER_SECONDS
    rows = await some_of(history, JOURNEYS, columns, network, begin, end, MOST_PACKAGES)
    return {
        bytes(report): (core, bytes(hash))
        for report, core, hash in rows
        if report is not None and bytes(report) in wanted
    }
