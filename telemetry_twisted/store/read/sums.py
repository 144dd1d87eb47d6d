"""Sums of what was observed, of whatever a question is about, bucket by bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from telemetry_twisted.store.schema.sum_tables import (
    NETWORK_SUMS,
    OF_CORES,
    OF_NODES,
    SUMS_OPEN,
    WIDER,
    Kind,
)
from telemetry_twisted.store.schema.table import marks

from .history import History
from .networks import Network
from .ranges import Span, Window, span_of, whole, window_of

MOST_BUCKETS = 750
"""Buckets that a chart reads, at most."""

MOST_HISTOGRAMS = 200
"""Buckets of a whole network that a chart reads, at most, if it needs their histograms."""

MOST_IN_ALL = 60
"""Buckets that an answer about a whole range reads, at most, unless only wider ones are there."""


@frozen
class Subject:
    """What a question is about: a network, or a node or a core of it, each by its number."""

    network: Network
    node: int | None = None
    core: int | None = None

    @property
    def kind(self) -> Kind | None:
        """Which of its sums are told one by one; None if it is the network as a whole."""
        if self.node is not None:
            return OF_NODES
        return None if self.core is None else OF_CORES

    def span(self, history: History, begin: float, end: float) -> Span:
        """The buckets of a chart of counts."""
        return span_of(begin, end, history.now(), self._kept(history), MOST_BUCKETS)

    def span_of_histograms(self, history: History, begin: float, end: float) -> Span:
        """The buckets of a chart that is made of histograms."""
        return span_of(begin, end, history.now(), self._kept(history), MOST_HISTOGRAMS)

    def window(
        self, history: History, begin: float, end: float, step: int, most: int = MOST_BUCKETS
    ) -> Window:
        """The buckets of a chart in windows of ``step`` seconds, at most ``most`` of them."""
        return window_of(begin, end, step, history.now(), self._kept(history), most)

    def whole(self, history: History, begin: float, end: float) -> Span:
        """The buckets of an answer about a whole range, in one step."""
        return whole(begin, end, history.now(), self._kept(history), MOST_IN_ALL)

    def _kept(self, history: History) -> Any:
        policy = history.policy
        return policy.network_sums if self.kind is None else policy.sums

    async def rows(
        self, history: History, span: Span, columns: Sequence[str]
    ) -> list[tuple[Any, ...]]:
        """The bucket and some ``columns`` of each row, of which a bucket may have several."""
        if self.kind is None:
            return await history.query(
                f"{NETWORK_SUMS[span.width].select('bucket', *columns)} WHERE "
                f"bucket IN ({marks(span.buckets)}) AND network = ?",
                (*span.buckets, self.network.number),
            )
        only = {"network": self.network.number}
        if self.node is not None:
            only = {"node": self.node, **only}
        else:
            assert self.core is not None
            only["core"] = self.core
        return await rows_of(history, self.kind, span, columns, only)


async def rows_of(
    history: History,
    kind: Kind,
    span: Span,
    columns: Sequence[str],
    only: Mapping[str, int | Sequence[int]],
) -> list[tuple[Any, ...]]:
    """The bucket and some ``columns`` of each row of a kind of sums.

    What is in no bucket of the span's width yet is told of the narrower ones that are open, in the
    same breath: what becomes part of a wider one meanwhile is told once.

    :param only: the columns of the key that are given: a value, or several.
    """
    told = ", ".join(f"s.{column}" for column in ("bucket", *columns))
    among = {name: (of,) if isinstance(of, int) else of for name, of in only.items()}
    given = " AND ".join(f"s.{name} IN ({marks(of)})" for name, of in among.items())
    values = [value for of in among.values() for value in of]
    table = kind.tables[span.width]
    if all(isinstance(only.get(name), int) for name in kind.key):
        within, buckets = history.over(table, span)
    else:
        within, buckets = "bucket >= ? AND bucket < ?", (span.begin, span.end)
    parts = [f"SELECT {told} FROM {table.name} s WHERE {within} AND {given}"]
    parameters: list[int] = [*buckets, *values]
    for width in WIDER:
        if width < span.width:
            parts.append(
                f"SELECT {told} FROM {SUMS_OPEN.name} o CROSS JOIN {kind.tables[width].name} s "
                "WHERE o.kind = ? AND o.width = ? AND o.bucket >= ? AND o.bucket < ? "
                f"AND s.bucket = o.bucket AND s.run = o.run AND {given}"
            )
            parameters += (kind.number, width, span.begin, span.end, *values)
    return await history.query(" UNION ALL ".join(parts), parameters)
