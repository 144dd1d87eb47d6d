"""How runs of servers end that did not say so themselves."""

from __future__ import annotations

from collections.abc import Sequence

from telemetry_twisted.store.database.interface import Transaction
from telemetry_twisted.store.schema.network_tables import THINGS


def close_runs(
    transaction: Transaction, which: str, parameters: Sequence[object], at: int, reason: str
) -> None:
    """Runs have ended with the last that is seen of them, and with them their connections, and what
    they were in the midst of.

    :param which: SQL over ``runs`` for which of them, with its ``parameters``.
    :param at: when connections have ended, in microseconds, but for those that began later.
    :param reason: why they have.
    """
    open_ones = f"ended IS NULL AND run IN (SELECT run FROM runs WHERE {which})"
    transaction.execute(
        "UPDATE nodes SET last_seen = ? WHERE last_seen < ? AND node IN "
        f"(SELECT node FROM connections WHERE {open_ones})",
        (at, at, *parameters),
    )
    transaction.execute(
        "UPDATE connections SET reason = ?, ended = CASE WHEN started > ? THEN started ELSE ? END "
        f"WHERE {open_ones}",
        (reason, at, at, *parameters),
    )
    for table in THINGS:
        transaction.execute(
            f"UPDATE {table.name} SET closed = last "
            f"WHERE closed IS NULL AND run IN (SELECT run FROM runs WHERE {which})",
            tuple(parameters),
        )
    transaction.execute(
        f"UPDATE runs SET ended = seen WHERE ended IS NULL AND {which}", tuple(parameters)
    )
