"""What history is asked for. Every answer comes from what was added up when events arrived.

Times that go in are seconds of Unix time, times in answers RFC 3339, delays milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import ujson
from attrs import frozen

from telemetry_twisted.clock import Now
from telemetry_twisted.jip3.moment import newest_slot
from telemetry_twisted.jip3.state_types import (
    BEST_BLOCK,
    FINALIZED_BLOCK,
    STATUS,
    SYNC_STATUS,
)
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.database.interface import Readable
from telemetry_twisted.store.histogram import BOUNDS, Histogram
from telemetry_twisted.store.packed import add_up
from telemetry_twisted.store.schema.policy import DAY, Policy
from telemetry_twisted.store.schema.tables import (
    COUNTS,
    FAILURES,
    FAULTS,
    STATE_COLUMNS,
    WHOLE_NETWORK,
)
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.turns import Turns

from . import answers
from .browse import Found, Place, Wanted, browse
from .in_turns import InTurns
from .ranges import Span, span_of

MOST_BUCKETS = 1500
"""Buckets that an answer reads, at most."""

MOST_OF_A_NODE = 720
"""Buckets that an answer about one node reads, at most: its own lie far apart."""

MOST_PROBES = 4000
"""Buckets of all nodes together that an answer about several nodes reads, at most."""

STATE_SECONDS = 20
"""How far back from the end of a step a state is looked for."""

NODES_SHOWN = 10
"""Nodes of a chart by node for which none were asked for."""

BLOCK_TYPES = {"best": BEST_BLOCK, "finalized": FINALIZED_BLOCK}

_GROUP_OF = {kind: event.group for kind, event in TABLE.events.items()}
_LATEST = {
    STATUS: "status",
    BEST_BLOCK: "best",
    FINALIZED_BLOCK: "finalized",
    SYNC_STATUS: "synced",
}
_NODE_COLUMNS = (
    "node, node_id, address, implementation, implementation_version, gp_version, "
    "protocol_version, cores, flags, first_seen, last_seen"
)


@frozen
class Page:
    """Some of the rows that were asked for, and where the next ones begin, None after the last."""

    rows: list[dict[str, Any]]
    next: int | None


class History:
    """Answers questions from ``database``.

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
        self.database = InTurns(database, turns)
        self.policy = policy
        self._now = now
        self._reached = reached or now
        self.turns = turns

    async def browse(self, wanted: Wanted, before: Place, limit: int) -> Found:
        """At most ``limit`` raw events that are ``wanted`` and come before a place."""
        return await browse(self.database, wanted, before, limit, self.turns)

    # Nodes

    async def node_number(self, node_id: str) -> int | None:
        """The number of a node in the database, None if it never connected."""
        rows = await self.database.query("SELECT node FROM nodes WHERE node_id = ?", (node_id,))
        return int(rows[0][0]) if rows else None

    async def nodes(
        self,
        after: int,
        limit: int,
        present: Collection[str] = (),
        connected: bool | None = None,
        implementation: str | None = None,
    ) -> Page:
        """Nodes in the order in which they first came, from the one after number ``after``.

        :param present: the IDs of those that are there now.
        :param connected: whether to list just those, or just the others; all if None.
        """
        conditions: list[str] = ["node > ?"]
        parameters: list[Any] = [after]
        if connected is not None and (connected or present):
            # An empty list is no SQL; no node has an empty ID.
            among = tuple(present) or ("",)
            conditions.append(f"node_id {'' if connected else 'NOT '}IN ({_marks(among)})")
            parameters += among
        if implementation is not None:
            conditions.append("implementation = ?")
            parameters.append(implementation)
        rows = await self.database.query(
            f"SELECT {_NODE_COLUMNS} FROM nodes WHERE {' AND '.join(conditions)} "
            "ORDER BY node LIMIT ?",
            (*parameters, limit + 1),
        )
        page = rows[:limit]
        latest = await self._latest([row[0] for row in page])
        shown = [answers.node(row, latest.get(row[0], {})) async for row in self.turns.steps(page)]
        return Page(shown, page[-1][0] if len(rows) > limit else None)

    async def node(self, number: int) -> dict[str, Any]:
        """All that is known of one node, with its newest connections."""
        ((*row, info),) = await self.database.query(
            f"SELECT {_NODE_COLUMNS}, info FROM nodes WHERE node = ?", (number,)
        )
        latest = (await self._latest([number])).get(number, {})
        connections = await self.database.query(
            "SELECT started, ended, address, reason FROM connections WHERE node = ? "
            "ORDER BY started DESC LIMIT 20",
            (number,),
        )
        return {
            **answers.node(row, latest),
            "status": latest.get("status"),
            "info": ujson.loads(info) if info else None,
            "connections": [answers.connection(*connection) for connection in connections],
        }

    async def _latest(self, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
        """The newest status, blocks and sync state of nodes, by number and name."""
        if not numbers:
            return {}
        found: dict[int, dict[str, Any]] = {}
        rows = await self.database.query(
            f"SELECT node, type, at, fields FROM latest WHERE node IN ({_marks(numbers)})", numbers
        )
        async for number, kind, at, fields in self.turns.steps(rows):
            found.setdefault(number, {})[_LATEST[kind]] = {
                **ujson.loads(fields),
                "at": answers.micros(at),
            }
        return found

    async def network(self, connected: Collection[str]) -> dict[str, Any]:
        """The network as its nodes tell of it; ``connected`` are the IDs of those that are there.

        The network's best and finalized slots are those that a twentieth of the nodes have reached,
        so that one that lies does not set them. Blocks ahead of the clock do not count.
        """
        rows = await self.database.query(
            "SELECT node, node_id, implementation, implementation_version, gp_version FROM nodes"
        )
        present = {row[0]: row[2:] for row in rows if row[1] in connected}
        versions: dict[Any, int] = {}
        for version in present.values():
            versions[version] = versions.get(version, 0) + 1
        names = ("implementation", "implementation_version", "gp_version")
        blocks: dict[int, dict[int, tuple[int, str]]] = {BEST_BLOCK: {}, FINALIZED_BLOCK: {}}
        synced = 0
        newest = newest_slot(self._reached())
        states = await self.database.query(
            "SELECT node, type, fields FROM latest WHERE type IN (?, ?, ?)",
            (BEST_BLOCK, FINALIZED_BLOCK, SYNC_STATUS),
        )
        async for number, kind, fields in self.turns.steps(states):
            if number in present:
                said = ujson.loads(fields)
                if kind == SYNC_STATUS:
                    synced += said["synced"]
                elif said["slot"] <= newest:
                    blocks[kind][number] = said["slot"], said["hash"]
        return {
            "nodes": {"known": len(rows), "connected": len(present), "synced": synced},
            "best": answers.head(blocks[BEST_BLOCK].values()),
            "finalized": answers.head(blocks[FINALIZED_BLOCK].values()),
            "implementations": [
                {**dict(zip(names, version, strict=True)), "nodes": nodes}
                for version, nodes in sorted(versions.items(), key=lambda item: -item[1])
            ],
        }

    async def timeline(self, number: int, begin: float, end: float) -> dict[str, Any]:
        """What one node sent, what state it was in, and when it was connected."""
        span = self._span(begin, end, MOST_OF_A_NODE)
        series = await self._by_type(span, [number], None)
        groups = answers.grouped(series, _GROUP_OF.get)
        states = await self._states(span, number)
        connections = await self.database.query(
            "SELECT started, ended, address, reason FROM connections WHERE node = ? "
            "AND started < ? AND (ended IS NULL OR ended >= ?) ORDER BY started DESC LIMIT 100",
            (number, span.end * 1_000_000, span.begin * 1_000_000),
        )
        return {
            **answers.range_of(span),
            "groups": [
                {"group": group, **answers.series(counts)} for group, counts in groups.items()
            ],
            "states": states,
            "connections": [answers.connection(*row) for row in connections],
        }

    async def _states(self, span: Span, number: int) -> list[dict[str, Any]]:
        """The last state of each step. A node says something of it every 2 s when all is well."""
        now = int(self._now()) // 10 * 10 + 10
        ends = [min(start + span.step, now) for start in span.times]
        buckets = [
            bucket
            for start, end in zip(span.times, ends, strict=True)
            for bucket in range(max(start, end - STATE_SECONDS), end, 10)
        ]
        if not buckets:
            return []
        rows = await self.database.query(
            f"SELECT bucket, {', '.join(STATE_COLUMNS)} FROM states "
            f"WHERE node = ? AND bucket IN ({_marks(buckets)}) ORDER BY bucket",
            (number, *buckets),
        )
        return list({span.index(row[0]): answers.state(*row) for row in rows}.values())

    # Counts

    async def by_type(
        self,
        begin: float,
        end: float,
        types: Collection[int] | None,
        nodes: Sequence[int] | None,
        group: bool,
    ) -> dict[str, Any]:
        """Events over time by type, or by ``group`` of types, of some nodes or all together."""
        numbers = [WHOLE_NETWORK] if nodes is None else list(nodes)
        span = self._span(begin, end, min(MOST_BUCKETS, MOST_PROBES // max(len(numbers), 1)))
        series = await self._by_type(span, numbers, types)
        if group:
            shown = [
                {"group": name, **answers.series(counts)}
                for name, counts in answers.grouped(series, _GROUP_OF.get).items()
            ]
        else:
            shown = [
                {"event_type": kind, "name": answers.event_name(kind), **answers.series(counts)}
                for kind, counts in sorted(series.items())
            ]
        return {**answers.range_of(span), "series": shown}

    async def by_node(
        self, begin: float, end: float, nodes: Sequence[int] | None
    ) -> dict[str, Any]:
        """Events over time by node: those asked for, or those that sent most in the last hour."""
        shown = await self._busiest(begin, end) if nodes is None else list(nodes)
        span = self._span(begin, end, min(MOST_BUCKETS, MOST_PROBES // max(len(shown), 1)))
        series = {number: [0] * len(span.times) for number in shown}
        if shown:
            for bucket, number, events in await self.database.query(
                f"SELECT bucket, node, events FROM {COUNTS[span.width].name} WHERE "
                f"bucket IN ({_marks(span.buckets)}) AND node IN ({_marks(shown)})",
                (*span.buckets, *shown),
            ):
                series[number][span.index(bucket)] += events
        ids = dict(
            await self.database.query(
                f"SELECT node, node_id FROM nodes WHERE node IN ({_marks(shown)})", shown
            )
            if shown
            else ()
        )
        return {
            **answers.range_of(span),
            "series": [
                {"node_id": ids[number], **answers.series(counts)}
                for number, counts in series.items()
            ],
        }

    async def _busiest(self, begin: float, end: float) -> list[int]:
        """The nodes that sent most in the last hour of a range."""
        last = int(min(end, self._now())) - 1
        rows = await self.database.query(
            f"SELECT node FROM {COUNTS[3600].name} WHERE bucket = ? AND node <> ? "
            "GROUP BY node ORDER BY sum(events) DESC, node LIMIT ?",
            (last - last % 3600, WHOLE_NETWORK, NODES_SHOWN),
        )
        return [number for (number,) in rows]

    async def _by_type(
        self, span: Span, nodes: Sequence[int], types: Collection[int] | None
    ) -> dict[int, list[int]]:
        steps: dict[int, list[bytes]] = {}
        rows = await self._rows(span, nodes)
        async for bucket, packed in self.turns.steps(rows):
            steps.setdefault(span.index(bucket), []).append(packed)
        series: dict[int, list[int]] = {}
        async for index, step in self.turns.steps(steps.items()):
            for kind, count in add_up(step).items():
                if kind in series:
                    series[kind][index] = count
                elif types is None or kind in types:
                    series[kind] = [0] * len(span.times)
                    series[kind][index] = count
        return series

    async def _rows(self, span: Span, nodes: Sequence[int]) -> list[tuple[Any, ...]]:
        """Buckets of some nodes with their packed counts."""
        return await self.database.query(
            f"SELECT bucket, counts FROM {COUNTS[span.width].name} WHERE "
            f"bucket IN ({_marks(span.buckets)}) AND node IN ({_marks(nodes)})",
            (*span.buckets, *nodes),
        )

    async def totals(self, begin: float, end: float) -> dict[int, int]:
        """Events by type over a range, of all nodes."""
        rows = await self._rows(self._span(begin, end, MOST_BUCKETS), [WHOLE_NETWORK])
        return add_up(packed for _, packed in rows)

    def _span(self, begin: float, end: float, most_buckets: int) -> Span:
        return span_of(begin, end, self._now(), self.policy.counts, most_buckets)

    # Blocks

    async def slot(self, number: int) -> dict[str, Any] | None:
        """How the blocks of a slot spread; None if nobody reported it."""
        found: dict[str, Any] = {}
        for name, kind in BLOCK_TYPES.items():
            rows = await self.database.query(
                "SELECT first, nodes, p50, p95, p99, last, off_clock, blocks, histogram FROM slots "
                "WHERE type = ? AND slot = ? ORDER BY nodes DESC LIMIT 1",
                (kind, number),
            )
            if rows:
                ((*spread, off_clock, blocks, histogram),) = rows
                found[name] = {
                    **answers.spread(*spread),
                    "off_clock": off_clock,
                    "blocks": [
                        {"hash": block, "nodes": nodes} for block, nodes in ujson.loads(blocks)
                    ],
                    "histogram": [
                        {"up_to_ms": BOUNDS[index] / 1000, "nodes": nodes}
                        for index, nodes in Histogram.decode(histogram).bins()
                    ],
                }
        return {"slot": number, **dict.fromkeys(BLOCK_TYPES), **found} if found else None

    async def propagation(self, begin: float, end: float, kind: str) -> dict[str, Any]:
        """How blocks spread over time: slot by slot for an hour, in merged windows beyond it."""
        if end - begin <= 3600:
            return await self._propagation_by_slot(begin, end, kind)
        width = 600 if end - begin <= 2 * DAY else 3600
        first = int(begin // width * width)
        whole = Histogram()
        points = []
        slots_seen = 0
        rows = await self.database.query(
            "SELECT bucket, slots, nodes, histogram FROM spreads "
            "WHERE width = ? AND type = ? AND bucket >= ? AND bucket < ? ORDER BY bucket",
            (width, BLOCK_TYPES[kind], first, end),
        )
        async for bucket, slots, nodes, encoded in self.turns.steps(rows):
            histogram = Histogram.decode(encoded)
            whole.update(histogram)
            slots_seen += slots
            points.append(
                {
                    "time": rfc3339(bucket),
                    "slots": slots,
                    "nodes": nodes,
                    **answers.delays_of(histogram),
                }
            )
        return {
            "from": rfc3339(first),
            "to": rfc3339(end),
            "resolution_seconds": width,
            "total": {"slots": slots_seen, "nodes": whole.total, **answers.delays_of(whole)},
            "points": points,
        }

    async def _propagation_by_slot(self, begin: float, end: float, kind: str) -> dict[str, Any]:
        whole = Histogram()
        points = []
        rows = await self.database.query(
            "SELECT slot, first, nodes, p50, p95, p99, last, histogram FROM slots "
            "WHERE type = ? AND first >= ? AND first < ? ORDER BY first LIMIT 2000",
            (BLOCK_TYPES[kind], int(begin * 1_000_000), int(end * 1_000_000)),
        )
        async for slot, first, nodes, p50, p95, p99, last, histogram in self.turns.steps(rows):
            whole.add_encoded(histogram)
            spread = answers.spread(first, nodes, p50, p95, p99, last)
            points.append({"time": spread.pop("first"), "slot": slot, "slots": 1, **spread})
        return {
            "from": rfc3339(begin),
            "to": rfc3339(end),
            "resolution_seconds": None,
            "total": {"slots": len(points), "nodes": whole.total, **answers.delays_of(whole)},
            "points": points,
        }

    # What went wrong

    async def failures(
        self,
        begin: float,
        end: float,
        types: Collection[int] | None,
        offset: int,
        limit: int,
    ) -> tuple[tuple[int, int], Page]:
        """Failures by type and reason, the most frequent first, and the range they are of."""
        width = 60 if end - begin <= 7200 else 3600 if end - begin <= 4 * DAY else DAY
        first, last = _whole(begin, end, width)
        chosen = f"AND type IN ({_marks(types)}) " if types is not None else ""
        rows = await self.database.query(
            "SELECT type, reason, CAST(sum(failures) AS BIGINT) AS total "
            f"FROM {FAILURES[width].name} WHERE bucket >= ? AND bucket < ? {chosen}"
            "GROUP BY type, reason ORDER BY total DESC, type, reason LIMIT ? OFFSET ?",
            (first, last, *(types or ()), limit + 1, offset),
        )
        shown = [
            {"event_type": kind, "name": answers.event_name(kind), "reason": reason, "count": count}
            for kind, reason, count in rows[:limit]
        ]
        return (first, last), Page(shown, offset + limit if len(rows) > limit else None)

    async def protocol_errors(
        self,
        begin: float,
        end: float,
        node: int | None,
        kind: str | None,
        offset: int,
        limit: int,
    ) -> tuple[tuple[int, int], Page]:
        """What nodes got wrong, the most frequent first, and the range it is of."""
        width = 3600 if end - begin <= 4 * DAY else DAY
        first, last = _whole(begin, end, width)
        table = FAULTS[width].name
        conditions, parameters = ["bucket >= ?", "bucket < ?"], [first, last]
        for column, value in (("node", node), ("kind", kind)):
            if value is not None:
                conditions.append(f"f.{column} = ?")
                parameters.append(value)  # type: ignore[arg-type]
        rows = await self.database.query(
            "SELECT f.node, node_id, kind, discriminator, reason, "
            "CAST(sum(faults) AS BIGINT) AS total, max(f.last_seen), max(bucket) "
            f"FROM {table} f LEFT JOIN nodes n ON n.node = f.node WHERE {' AND '.join(conditions)} "
            "GROUP BY f.node, node_id, kind, discriminator, reason "
            "ORDER BY total DESC, f.node, kind, discriminator, reason LIMIT ? OFFSET ?",
            (*parameters, limit + 1, offset),
        )
        shown = rows[:limit]
        excerpts = await self._excerpts(table, shown) if shown else {}
        faults = []
        for number, node_id, kind_of, discriminator, reason, total, latest, _ in shown:
            key = number, kind_of, discriminator, reason, latest
            place = excerpts.get(key, (None, None))
            faults.append(
                answers.fault(node_id, kind_of, discriminator, reason, total, latest, *place)
            )
        return (first, last), Page(faults, offset + limit if len(rows) > limit else None)

    async def _excerpts(
        self, table: str, faults: list[tuple[Any, ...]]
    ) -> dict[tuple[Any, ...], tuple[int, bytes]]:
        """Where and in which bytes each of the faults was seen last."""
        marks = _marks(faults)
        return {
            tuple(key): (place, excerpt)
            for *key, place, excerpt in await self.database.query(
                "SELECT node, kind, discriminator, reason, last_seen, last_offset, excerpt "
                f"FROM {table} WHERE bucket IN ({marks}) AND node IN ({marks}) "
                f"AND last_seen IN ({marks})",
                [row[column] for column in (7, 0, 6) for row in faults],
            )
        }

    async def raw_share(self, begin: float, end: float) -> dict[str, Any]:
        """How many raw events were seen in a range, and how many of them were kept."""
        ((seen, offered, dropped),) = await self.database.query(
            "SELECT CAST(coalesce(sum(seen), 0) AS BIGINT), "
            "CAST(coalesce(sum(offered), 0) AS BIGINT), "
            "CAST(coalesce(sum(dropped), 0) AS BIGINT) "
            "FROM raw_share WHERE bucket >= ? AND bucket < ?",
            (int(begin // 10 * 10), int(end)),
        )
        return {"seen": seen, "kept": offered - dropped}

    async def totals_of_history(self) -> dict[str, Any]:
        """How much history there is."""
        ((nodes,),) = await self.database.query("SELECT count(*) FROM nodes")
        ((batches, events, size, oldest),) = await self.database.query(
            "SELECT count(*), CAST(coalesce(sum(events), 0) AS BIGINT), "
            "CAST(coalesce(sum(bytes), 0) AS BIGINT), min(first) FROM raw_batches"
        )
        return {
            "nodes_known": nodes,
            "raw_events": events,
            "raw_bytes": size,
            "raw_batches": batches,
            "raw_oldest": None if oldest is None else answers.micros(oldest),
        }


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)


def _whole(begin: float, end: float, width: int) -> tuple[int, int]:
    """The range widened to whole buckets."""
    return int(begin // width * width), int(-(-end // width) * width)
