"""How assurances spread: receptions after their sender said that it began, offsets of clocks taken
out. Of longer ranges some anchors are taken from all over."""

from __future__ import annotations

from collections import defaultdict

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.jip3.moment import COMMON_ERA, SLOT
from telemetry_twisted.store.read import assurances as read
from telemetry_twisted.store.read.assurances import ANCHOR, Anchor, read_anchor
from telemetry_twisted.store.read.sampled import some_of
from telemetry_twisted.store.read.shapes import micros
from telemetry_twisted.store.schema.network_tables import ANCHORS
from telemetry_twisted.timestamps import microseconds, rfc3339

from .given import Interval, Text, fitting
from .guarantees import MOST_SHOWN, ConvergenceGiven
from .packages import hash_of
from .pooled import pooled
from .routes import Row, Rows, grafana
from .scope import Scope, scope_of

MOST_ANCHORS = 600
"""Anchors that are looked at, at most."""

MOST_DETAILED = 1
"""Anchors that are told sender by sender where none is asked for: the newest."""

MOST_OF_ONE = 3
"""Anchors that are told of one sender, likewise."""

MOST_SENDERS = 500
"""Rows of an answer sender by sender, at most."""


async def _anchors(sources: Sources, scope: Scope, begin: float, end: float) -> list[Anchor]:
    history = sources.history
    rows = await some_of(history, ANCHORS, ANCHOR, scope.network, begin, end, MOST_ANCHORS)
    found: dict[str, Anchor] = {}
    async for row in history.turns.steps(rows):
        anchor = read_anchor(row)
        before = found.get(anchor.anchor)
        if before is None or before.receptions < anchor.receptions:
            found[anchor.anchor] = anchor
    return [*found.values()]


def _delays(delays: read.Delays | None, receptions: int) -> Row:
    if delays is None:
        return pooled([])
    each = (delays.p50_ms, delays.p95_ms, delays.p99_ms, delays.greatest_ms)
    p50, p95, p99, last = (max(delay, 0.0) for delay in each)
    return pooled([(receptions, (p50, p95, p99, last))])


def _over_time(anchors: list[Anchor], step: int) -> Rows:
    together: defaultdict[int, list[Anchor]] = defaultdict(list)
    for anchor in anchors:
        if anchor.corrected or anchor.reported:
            together[microseconds(anchor.first) // 1_000_000 // step * step].append(anchor)
    rows = []
    for at, each in sorted(together.items()):
        told = []
        for anchor in each:
            delays = anchor.corrected or anchor.reported
            assert delays is not None
            of_one = (delays.p50_ms, delays.p95_ms, delays.p99_ms, delays.greatest_ms)
            told.append((anchor.receptions, of_one))
        count = sum(anchor.receptions for anchor in each)
        rows.append({"ts": rfc3339(at), **pooled(told), "sample_count": count})
    return rows


@grafana("assurance-convergence")
async def convergence(sources: Sources, given: ConvergenceGiven) -> Rows:
    """How assurances spread, by anchor or over time. How far apart senders began is not kept for
    all anchors; when the first began is told by when it was heard of."""
    scope = await scope_of(sources, given.network)
    anchors = await _anchors(sources, scope, *given.range)
    if given.interval is not None:
        return _over_time(anchors, fitting(*given.range, given.interval, 1, MOST_SHOWN))
    anchors.sort(key=lambda each: (each.slot is None, each.slot or 0))
    return [
        {
            "anchor": anchor.anchor[2:],
            "slot": anchor.slot,
            "slot_timestamp": _began(anchor.slot),
            "sender_count": anchor.senders,
            "receiver_count": anchor.receptions,
            **_delays(anchor.corrected or anchor.reported, anchor.receptions),
            "dist_start_p50_ms": None,
            "dist_start_p95_ms": None,
            "dist_start_p99_ms": None,
            "dist_start_p100_ms": None,
            "first_distributed_at": anchor.first,
            "last_distributed_at": None,
        }
        for anchor in anchors
        if anchor.corrected or anchor.reported
    ]


def _began(slot: int | None) -> str | None:
    return None if slot is None else micros(COMMON_ERA + slot * SLOT)


class SendersGiven(ConvergenceGiven, frozen=True, kw_only=True):
    """Of which anchor and sender."""

    anchor: Text | None = None
    node: Text | None = None
    interval: Interval | None = None


@grafana("assurance-convergence/senders")
async def senders(sources: Sources, given: SendersGiven) -> Rows:
    """How the assurance of each sender spread: those of one anchor, or of the newest. Over time it
    is that of all senders together."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    if given.interval is not None and given.node is None:
        anchors = await _anchors(sources, scope, *given.range)
        return _over_time(anchors, fitting(*given.range, given.interval, 1, MOST_SHOWN))
    hash = None if given.interval is not None else hash_of(given.anchor or "")
    if hash is not None:
        hashes = [hash]
    else:
        most = MOST_DETAILED if given.node is None else MOST_OF_ONE
        newest = await read.assurances(history, scope.network, *given.range, 0, most)
        hashes = [bytes.fromhex(each.anchor[2:]) for each in newest.anchors]
    rows: Rows = []
    for each in hashes:
        found = await read.senders(history, scope.network, each, 0, MOST_SENDERS)
        if found is not None:
            rows += [
                _sender(found.anchor, sender)
                for sender in found.senders
                if sender.began is not None and given.node in (None, sender.node_id)
            ]
    rows = [row for row in rows if row["p50_ms"] is not None]
    rows.sort(key=lambda row: str(row["distributed_at"]))
    if given.interval is None:
        return rows[:MOST_SENDERS]
    return _of_sender(rows, fitting(*given.range, given.interval, 1, MOST_SHOWN))


def _of_sender(rows: Rows, step: int) -> Rows:
    together: defaultdict[int, Rows] = defaultdict(list)
    for row in rows:
        together[microseconds(row["distributed_at"]) // 1_000_000 // step * step].append(row)
    names = ("node_count", "p50_ms", "p95_ms", "p99_ms", "p100_ms")
    rows = []
    for at, each in sorted(together.items()):
        told = []
        for row in each:
            count, p50, p95, p99, last = (row[name] for name in names)
            told.append((count, (p50, p95, p99, last)))
        samples = sum(count for count, _ in told)
        rows.append({"ts": rfc3339(at), **pooled(told), "sample_count": samples})
    return rows


def _sender(anchor: Anchor, sender: read.Sender) -> Row:
    return {
        "anchor": anchor.anchor[2:],
        "slot": anchor.slot,
        "sender_node_id": sender.node_id,
        "node_count": sender.receptions,
        **_delays(sender.corrected or sender.reported, sender.receptions),
        "distributed_at": sender.began_corrected or sender.began,
    }


ENDPOINTS: tuple[Endpoint, ...] = (convergence, senders)
