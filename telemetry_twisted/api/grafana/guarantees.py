"""How guarantees travel.

Delays are from when the first of a report's guarantees was built to when each node first received
one, offsets of clocks taken out; where nobody told that one was built, from the first reception.
Several reports are put together from the shares that are known of each, so that what is told is
never less than it was. Of ranges with very many reports some are taken from all over.
"""

from __future__ import annotations

from collections import defaultdict

from attrs import frozen

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.jip3.moment import COMMON_ERA, SLOT
from telemetry_twisted.store.read import windows
from telemetry_twisted.store.read.guarantees import GUARANTEE, Guarantee, read_guarantee
from telemetry_twisted.store.read.reports import packages_of_reports
from telemetry_twisted.store.read.sampled import some_of
from telemetry_twisted.store.read.shapes import micros
from telemetry_twisted.store.schema.network_tables import GUARANTEES
from telemetry_twisted.store.schema.tables import FAILURES
from telemetry_twisted.timestamps import microseconds, rfc3339

from .given import ChartGiven, Core, Interval, RangeGiven, Text, fitting
from .packages import hash_of
from .pooled import Delays, pooled
from .routes import Row, Rows, grafana
from .scope import Scope, scope_of

MOST_REPORTS = 500
"""Reports that are looked at, at most."""

MOST_SHOWN = 4000
"""Rows of an answer over time, at most."""

TOTALS = {
    "built": 105,
    "sending": 106,
    "send_failed": 107,
    "sent": 108,
    "distributed": 109,
    "receiving": 110,
    "receive_failed": 111,
    "received": 112,
    "discarded": 113,
}

REASONS = (
    "PackageReportedOnChain",
    "ReplacedByBetter",
    "CannotReportOnChain",
    "TooManyGuarantees",
    "Other",
)
"""Why guarantees are thrown away, in the order of their codes (JIP-3, event 113)."""


@grafana("guarantees")
async def guarantees(sources: Sources, given: RangeGiven) -> Row:
    """How many guarantees were built, sent, received and thrown away."""
    scope = await scope_of(sources, given.network)
    counts = await windows.counts_over(sources.history, *given.range, scope.counted)
    totals = {name: counts.get(kind, 0) for name, kind in TOTALS.items()}
    sending = totals["sending"] + totals["send_failed"] + totals["sent"]
    receiving = totals["receiving"] + totals["receive_failed"] + totals["received"]
    return {
        "totals": totals,
        "success_rates": {
            "send_success_rate": totals["sent"] / sending if sending else 1.0,
            "receive_success_rate": totals["received"] / receiving if receiving else 1.0,
        },
    }


@frozen
class Report:
    """The guarantees of a report: when the first was built, in microseconds, and after how long
    nodes had one."""

    told: Guarantee
    built: int
    delays: Delays | None

    @property
    def nodes(self) -> int:
        """How many nodes received one."""
        return self.told.received.nodes


def _report(told: Guarantee) -> Report:
    spread = told.received
    ranks = spread.corrected or spread.reported
    is_right = spread.corrected is not None
    times = [(each.corrected if is_right else None) or each.built for each in told.builders]
    built = min(map(microseconds, times)) if times else None
    if ranks is None:
        return Report(told, microseconds(told.first) if built is None else built, None)
    first = microseconds(ranks.first)
    built = first if built is None else built
    before = (first - built) / 1000
    delays = (ranks.p50_ms, ranks.p95_ms, ranks.p99_ms, ranks.last_ms)
    p50, p95, p99, last = (before + delay for delay in delays)
    return Report(told, built, (p50, p95, p99, last))


async def _reports(sources: Sources, scope: Scope, begin: float, end: float) -> list[Report]:
    """Reports of a range of which nodes received guarantees."""
    history = sources.history
    rows = await some_of(history, GUARANTEES, GUARANTEE, scope.network, begin, end, MOST_REPORTS)
    found: dict[str, Report] = {}
    async for row in history.turns.steps(rows):
        report = _report(read_guarantee(*row))
        before = found.get(report.told.report)
        if report.delays and (before is None or before.nodes < report.nodes):
            found[report.told.report] = report
    return [*found.values()]


class ConvergenceGiven(RangeGiven, frozen=True, kw_only=True):
    """In windows of which width, by slot if none is given."""

    interval: Interval | None = None


@grafana("guarantee-convergence")
async def convergence(sources: Sources, given: ConvergenceGiven) -> Rows:
    """How long guarantees took to nodes, by slot or over time."""
    scope = await scope_of(sources, given.network)
    reports = await _reports(sources, scope, *given.range)
    together: defaultdict[int, list[Report]] = defaultdict(list)
    if given.interval is not None:
        step = fitting(*given.range, given.interval, 1, MOST_SHOWN)
        for report in reports:
            together[report.built // 1_000_000 // step * step].append(report)
        return [
            {
                "ts": rfc3339(at),
                **_pooled(each),
                "sample_count": sum(report.nodes for report in each),
            }
            for at, each in sorted(together.items())
        ]
    for report in reports:
        if report.told.slot is not None:
            together[report.told.slot].append(report)
    return [
        {
            "slot": slot,
            "slot_timestamp": micros(COMMON_ERA + slot * SLOT),
            "guarantee_count": len(each),
            "node_count": min(report.nodes for report in each),
            **_pooled(each),
            "built_at": micros(min(report.built for report in each)),
        }
        for slot, each in sorted(together.items())
    ]


def _pooled(reports: list[Report]) -> Row:
    return pooled([(each.nodes, each.delays) for each in reports if each.delays])


class DetailGiven(RangeGiven, frozen=True, kw_only=True):
    """Of which core or package."""

    core: Core | None = None
    wp_hash: Text | None = None


@grafana("guarantee-convergence/detail")
async def detail(sources: Sources, given: DetailGiven) -> Rows:
    """How long the guarantees of each report took to nodes."""
    scope = await scope_of(sources, given.network)
    reports = await _reports(sources, scope, *given.range)
    hashes = [bytes.fromhex(each.told.report[2:]) for each in reports]
    known = await packages_of_reports(sources.history, scope.network, *given.range, hashes)
    text = given.wp_hash or ""
    wanted = None if text.startswith("0x") else hash_of(text)
    rows = []
    for report in reports:
        core, package = known.get(bytes.fromhex(report.told.report[2:]), (None, None))
        if given.core not in (None, core) or wanted not in (None, package):
            continue
        row = {
            "work_report_hash": report.told.report[2:],
            "slot": report.told.slot or 0,
            "core": core,
            "wp_hash": None if package is None else package.hex(),
            "builder_node_id": report.told.builders[0].node_id if report.told.builders else None,
            "node_count": report.nodes,
            **_pooled([report]),
            "built_at": micros(report.built),
        }
        rows.append(row)
    return sorted(rows, key=lambda row: (row["slot"], row["built_at"]))


class DiscardsGiven(ChartGiven, frozen=True, kw_only=True):
    """In windows of which width."""

    interval: Interval = Interval(30)


@grafana("guarantee-discards")
async def discards(sources: Sources, given: DiscardsGiven) -> Rows:
    """Guarantees that were thrown away over time, by reason; of all networks together, and in no
    narrower windows than a minute."""
    history = sources.history
    begin, end = given.range
    step = max(given.step(len(REASONS), MOST_SHOWN), 60)
    width = max(each for each in FAILURES if each <= step)
    rows = await history.query(
        f"SELECT bucket / ? * ?, reason, CAST(sum(failures) AS BIGINT) FROM {FAILURES[width].name} "
        "WHERE bucket >= ? AND bucket < ? AND type = 113 GROUP BY 1, 2 ORDER BY 1, 2",
        (step, step, int(begin // width * width), end),
    )
    return [
        {"ts": rfc3339(at), "reason": _coded(reason), "count": count} for at, reason, count in rows
    ]


def _coded(reason: str) -> str:
    return f"{reason}({REASONS.index(reason)})" if reason in REASONS else reason


ENDPOINTS: tuple[Endpoint, ...] = (guarantees, convergence, detail, discards)
