"""Reading from a database, taken up in turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from telemetry_twisted.store.database.interface import Readable
from telemetry_twisted.turns import Turns


class InTurns:
    """Hands the rows of ``database`` to those who asked one after the other.

    Answers of several threads may come in the same moment; what is done with their rows is done in
    the reactor.
    """

    def __init__(self, database: Readable, turns: Turns) -> None:
        self._database = database
        self._turns = turns

    async def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        rows = await self._database.query(sql, parameters)
        await self._turns.taken()
        return rows
