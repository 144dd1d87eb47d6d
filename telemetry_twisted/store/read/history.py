"""What questions about history are asked of, and what all answers to them share.

Each question stands beside the SQL that answers it: :mod:`.nodes`, :mod:`.network`,
:mod:`.timeline`, :mod:`.counts`, :mod:`.blocks`, :mod:`.failures`, :mod:`.losses`, :mod:`.raw`,
:mod:`.latencies`, :mod:`.chains`, :mod:`.cores`, :mod:`.services`, :mod:`.clocks`.
Every answer comes from what was added up when events arrived. Times that go in are seconds of Unix
time, times in answers RFC 3339, delays milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from telemetry_twisted.clock import Now
from telemetry_twisted.store.database.interface import Condition, Readable
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.store.schema.table import Table
from telemetry_twisted.turns import Turns

from .ranges import Span, Window, pieces_of, span_of, window_of


class History:
    """Reads from ``database``.

    :param policy: says for how long what is kept.
    :param now: tells Unix time.
    :param turns: in which rows are looked at, however many ask.
    :param reached: tells the time that nodes may have reached, ``now`` unless it is given.
    """

    def __init__(
        self,
        database: Readable,
        policy: Policy,
        now: Now,
        turns: Turns,
        reached: Now | None = None,
    ) -> None:
        self._database = database
        self.policy = policy
        self.now = now
        self.reached = reached or now
        self.turns = turns

    async def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that the database answers ``sql`` with, handed over in turn.

        Answers of several threads may come in the same moment; what is done with their rows is
        done in the reactor.

        :raises DatabaseError: if it does not answer.
        """
        rows = await self._database.query(sql, parameters)
        await self.turns.taken()
        return rows

    def over(self, table: Table, span: Span) -> Condition:
        """What holds for the rows of ``table`` in the buckets of ``span``."""
        return self._database.over(table, span.buckets)

    def window(self, begin: float, end: float, step: int, most_buckets: int) -> Window:
        """The buckets of counts that tell of a range in windows of ``step`` seconds."""
        return window_of(begin, end, step, self.now(), self.policy.counts, most_buckets)

    def pieces(self, begin: float, end: float, most_buckets: int) -> list[Span]:
        """Few buckets of counts that hold a range of time."""
        return pieces_of(begin, end, self.now(), self.policy.counts, most_buckets)

    def span(self, begin: float, end: float, most_buckets: int) -> Span:
        """The buckets of counts that answer a question about a range of time."""
        return span_of(begin, end, self.now(), self.policy.counts, most_buckets)


def total(column: str) -> str:
    """SQL for the sum of ``column``, 0 where there are no rows; an integer in both databases."""
    return f"CAST(coalesce(sum({column}), 0) AS BIGINT)"
