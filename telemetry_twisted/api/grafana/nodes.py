"""The nodes, and figures of the server."""

from __future__ import annotations

import msgspec

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.jip3.state_types import STATUS
from telemetry_twisted.store.read import windows
from telemetry_twisted.store.read.extent import extent
from telemetry_twisted.store.read.history import total
from telemetry_twisted.store.read.latencies import NUMBERS
from telemetry_twisted.store.read.network import network as network_now
from telemetry_twisted.store.read.nodes import SaidStatus
from telemetry_twisted.store.read.ranges import whole
from telemetry_twisted.store.read.shapes import micros
from telemetry_twisted.store.read.sums import rows_of
from telemetry_twisted.store.schema.policy import DAY
from telemetry_twisted.store.schema.sum_tables import OF_NODES
from telemetry_twisted.store.schema.tables import COUNTS, LATEST, NODES
from telemetry_twisted.store.tallies import Tally, add_packed, number_key

from .given import Given, RangeGiven, Text
from .latencies import mean_of
from .routes import Row, Rows, grafana
from .scope import scope_of

RECENT_SECONDS = DAY
"""Over how long the events of nodes are counted that are told with them."""

MOST_LISTED = 1200
"""Nodes that are listed, at most: those that are there, then those that were there last."""

MOST_INFO_BYTES = 300_000
"""How much nodes may tell of themselves in an answer: without parameters, if it is more."""

MOST_BUCKETS = 10
"""Buckets of all nodes' latencies that are read, at most, unless only those of a day are there."""


@grafana("nodes")
async def nodes(sources: Sources, given: Given) -> Rows:
    """All nodes. Events are those of the last day; who is there is heard of now."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    since = int(history.now()) - RECENT_SECONDS
    counted = dict(
        await history.query(
            f"SELECT node, {total('events')} FROM {COUNTS[3600].name} WHERE bucket >= ? "
            "GROUP BY node",
            (since,),
        )
    )
    present = sources.connected
    columns = ("node", "node_id", "implementation", "implementation_version", "address")
    rows = await history.query(NODES.select(*columns, "first_seen", "last_seen", "info"))
    rows = [row for row in rows if row[0] in scope.nodes]
    rows.sort(key=lambda row: (row[1] in present, row[6]), reverse=True)
    del rows[MOST_LISTED:]
    is_short = sum(len(row[-1] or "") for row in rows) > MOST_INFO_BYTES
    found = []
    async for node, node_id, name, version, address, first, seen, info in history.turns.steps(rows):
        is_connected = node_id in present
        heard = int(history.now() * 1_000_000) if is_connected else seen
        said = msgspec.Raw((info or "{}").encode())
        if is_short and info:
            said = msgspec.Raw(msgspec.json.encode({**msgspec.json.decode(info), "params": {}}))
        found.append(
            {
                "node_id": node_id,
                "peer_id": node_id,
                "implementation_name": name or "",
                "implementation_version": version or "",
                "node_info": said,
                "connected_at": micros(first),
                "disconnected_at": None if is_connected else micros(seen),
                "last_seen_at": micros(heard),
                "is_connected": is_connected,
                "total_event_count": counted.get(node, 0),
                "event_count": counted.get(node, 0),
                "address": address,
            }
        )
    return found


@grafana("stats")
async def stats(sources: Sources, given: RangeGiven) -> Row:
    """The network in few figures. ``slot_events`` are the most blocks of all nodes together that
    were authored in a minute."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    counts = await windows.counts_over(history, *given.range, scope.counted)
    minutes = await windows.counts_in(history, *given.range, 60, scope.counted)
    now = history.now()
    last = await windows.counts_in(history, now - 20, now - 10, 10, scope.counted)
    newest = last[min(last)] if last else {}
    connected = sources.connected & {*scope.nodes.values()}
    heads = await network_now(history, connected)
    slots = {"best_slot": heads.best, "finalized_slot": heads.finalized}
    return {
        "connected_nodes": len(connected),
        "slot_events": max((each.get(42, 0) for each in minutes.values()), default=0),
        "guarantees": counts.get(105, 0),
        "failures": counts.get(92, 0),
        "wp_events": counts.get(94, 0),
        "events_per_sec_10s": sum(newest.values()) / 10,
        "blocks_per_sec_10s": newest.get(11, 0) / 10,
        **{name: head.slot for name, head in slots.items() if head is not None},
        "active_nodes": len(connected),
    }


@grafana("db-stats")
async def db_stats(sources: Sources, _given: Given) -> Row:
    """How much history there is of what its size is known of: raw events."""
    known = await extent(sources.history)
    return {
        "tables": [
            {
                "table_name": "raw_chunks",
                "total_bytes": known.raw_bytes,
                "table_bytes": known.raw_bytes,
                "index_bytes": 0,
                "toast_bytes": 0,
            }
        ],
        "row_counts": [
            {"table_name": "nodes", "row_count": known.nodes_known},
            {"table_name": "raw_batches", "row_count": known.raw_batches},
        ],
        "compression": [
            {
                "table_name": "raw_chunks",
                "compressed_chunks": known.raw_batches,
                "before_compression_bytes": 0,
                "after_compression_bytes": known.raw_bytes,
            }
        ],
    }


class NodeGiven(RangeGiven, frozen=True, kw_only=True):
    """Of which node."""

    node: Text | None = None


_COUNTED = {
    "shard_requests_sent": 120,
    "shard_requests_received": 121,
    "shard_sent_confirmed": 123,
    "shard_received_confirmed": 124,
    "shards_transferred": 125,
    "shard_failures": 122,
    "preimage_ann_failures": 190,
    "preimages_announced": 191,
    "preimages_forgotten": 192,
}

_LEGS = {"assurer": "shard_out", "guarantor": "shard_in_request"}


@grafana("da-stats")
async def da_stats(sources: Sources, given: NodeGiven) -> Rows:
    """What each node did for availability. Latencies are of requests that succeeded, in a range
    widened to whole minutes, hours or days; shards are those that it had last."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    counts = await windows.each_over(history, *given.range, scope.nodes.keys())
    span = whole(*given.range, history.now(), history.policy.sums, MOST_BUCKETS)
    totals: dict[int, Tally] = {}
    first, last = (NUMBERS[name] for name in ("shard_out", "shard_in_request"))
    only = {"network": scope.network.number}
    rows = await rows_of(history, OF_NODES, span, ("node", "totals"), only)
    async for _, node, packed in history.turns.steps(rows):
        tally = totals.setdefault(node, {})
        add_packed(tally, packed, first, last + 1)
        add_packed(tally, packed, number_key(first), number_key(last) + 1)
    shards = await _shards(sources)
    found = []
    for node, node_id in scope.nodes.items():
        row: Row = {
            "node_id": node_id,
            **{name: counts.get(node, {}).get(kind, 0) for name, kind in _COUNTED.items()},
        }
        for side, name in _LEGS.items():
            row[f"{side}_avg_latency_ms"] = mean_of(totals.get(node, {}), name)
            row[f"{side}_latency_samples"] = totals.get(node, {}).get(number_key(NUMBERS[name]), 0)
        is_wanted = given.node in (None, node_id)
        if is_wanted and any(row[name] for name in (*_COUNTED, "assurer_latency_samples")):
            found.append({**row, "active_shards": shards.get(node, 0)})
    return sorted(found, key=lambda row: -int(row["shards_transferred"]))


_read_status = msgspec.json.Decoder(SaidStatus, strict=True).decode


async def _shards(sources: Sources) -> dict[int, int]:
    """How many shards each node said that it has."""
    rows = await sources.history.query(
        f"{LATEST.select('node', 'fields')} WHERE type = ?", (STATUS,)
    )
    return {
        node: _read_status(fields).num_shards
        async for node, fields in sources.history.turns.steps(rows)
    }


ENDPOINTS: tuple[Endpoint, ...] = (nodes, stats, db_stats, da_stats)
