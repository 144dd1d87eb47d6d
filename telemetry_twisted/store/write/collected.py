"""Everything that history learns from records, merged by what it is written as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.state_types import STATUS
from telemetry_twisted.store.schema.sum_tables import (
    MINUTE,
    NETWORK_SUMS,
    OF_CORES,
    OF_EVENTS,
    OF_LATENCIES,
    OF_NODES,
    OF_PHASES,
    OF_SERVICES,
    SUMS_OPEN,
)
from telemetry_twisted.store.schema.tables import (
    CONNECTIONS,
    COUNTS,
    FAILURES,
    FAULTS,
    GAPS,
    LATEST,
    LOSSES,
    NODES,
    RAW_SHARE,
    SLOTS,
    STATES,
    TOTALS,
)
from telemetry_twisted.transport import records

from . import rows, sum_rows
from .changes import Changes
from .counts import Buckets, Counts
from .facts import Facts
from .faults import Faults
from .lines import Lines
from .listed import Listed, costs_by_service, events_by_core, latencies_by_node
from .losses import Gap, Losses
from .node_work import work_of
from .presence import Connection, Presence
from .rows import Section
from .share import Share
from .sum_values import NodeSums
from .sums import NodeIn, OpenBuckets, Sums
from .understood import Understood

MOST_GAPS = 1000
"""Gaps that wait to be written."""

STATUS_ALONE = {str(STATUS)}
"""The types that a node counts of which nothing is heard but that it is there."""

SHARE_SECONDS = 10
"""The width of a bucket of shares of raw events."""


class Collected:
    """Takes records and has, in ``sections``, what is to be written of them.

    :param lost: where is counted, by kind, what is let go of because there is too much.
    """

    def __init__(self, lost: Counter[str], lines: Lines) -> None:
        self.understood = Understood(lost)
        self._lately = self.understood.summaries.nodes_lately
        self.presence = Presence(lost, self._over)
        self.facts = Facts(lost, lines)
        self.share: Buckets[None, Share] = Buckets(SHARE_SECONDS, Share)
        self.sums = Sums(lost, self._added_up)
        self._counts = Counts(COUNTS, lost)
        self._faults = {width: Faults(width) for width in FAULTS}
        self._losses = {width: Losses(width) for width in LOSSES}
        self._gaps: Changes[int, Gap] = Changes("gaps", lost, MOST_GAPS)
        self._counted = self._news = False
        by_width, totals = self._counts.by_width, self._counts.totals
        self._by_clock = (
            Section(self.presence.nodes, NODES, rows.node_row),
            Section(self.presence.connections, CONNECTIONS, rows.connection_row),
            *(Section(by_width[width], table, rows.count_row) for width, table in COUNTS.items()),
            *(Section(totals[width], table, rows.total_row) for width, table in TOTALS.items()),
            Section(self.facts.latest, LATEST, rows.latest_row),
            Section(self.facts.states, STATES, rows.state_row),
            Section(self.facts.spreads, SLOTS, rows.slot_row),
            *(
                Section(self.facts.failures.by_width[width], table, rows.failure_row)
                for width, table in FAILURES.items()
            ),
            *(
                Section(self._faults[width], table, rows.fault_row)
                for width, table in FAULTS.items()
            ),
            *(
                Section(self._losses[width], table, rows.loss_row)
                for width, table in LOSSES.items()
            ),
            Section(self._gaps, GAPS, rows.gap_row),
            Section(self.share, RAW_SHARE, rows.share_row),
            *self._sections_of_sums(),
        )
        self.sections = (*self._by_clock, *self.understood.sections)

    def _sections_of_sums(self) -> Iterator[Section]:
        sums = self.sums
        for width, table in NETWORK_SUMS.items():
            yield Section(sums.networks[width], table, sum_rows.network_sums_row)
        yield Section(sums.nodes, OF_NODES.tables[MINUTE], sum_rows.node_sums_row)
        yield Section(sums.cores, OF_CORES.tables[MINUTE], sum_rows.core_sums_row)
        yield Section(sums.services, OF_SERVICES.tables[MINUTE], sum_rows.service_sums_row)
        for listed, kind, row in (
            (Listed(sums.nodes, latencies_by_node), OF_LATENCIES, sum_rows.latency_sums_row),
            (Listed(sums.cores, events_by_core), OF_EVENTS, sum_rows.event_sums_row),
            (Listed(sums.services, costs_by_service), OF_PHASES, sum_rows.phase_sums_row),
        ):
            yield Section(listed, kind.tables[MINUTE], row)
        yield Section(OpenBuckets(sums.by_kind), SUMS_OPEN, sum_rows.open_row)

    def take(self, kind: int, body: bytes | memoryview, now: float) -> None:
        """Take a record that came at ``now``; kinds that history does not keep are passed over."""
        if kind == records.FACTS:
            self._take_facts(records.Facts.decode(body))
        elif kind == records.COUNTS:
            self._take_counts(records.decode_json(body))
        elif kind == records.OBSERVATIONS:
            observed = Observations.decode(body)
            self.sums.take(observed, self.presence.origin)
            self.understood.take(observed, len(body), self.presence.origins)
        elif kind == records.STATE:
            self.presence.learn_cores(records.decode_json(body))
        elif kind == records.FAULTS:
            self._news = True
            for fault in records.decode_json(body):
                for faults in self._faults.values():
                    faults.enter(fault, int(now * 1_000_000))
                self._lately.add_faults(fault["node_id"] or "", fault["count"], now)
        elif kind == records.NODE_CONNECTED:
            self._news = True
            self.presence.connected(records.decode_json(body))
        elif kind == records.NODE_GONE:
            self._news = True
            gone = self.presence.gone(records.decode_json(body))
            if gone is not None:
                self.facts.forget(gone)
        elif kind == records.SAMPLED:
            sampled = records.decode_json(body)
            share = Share(sampled["seen"], sampled["kept"], sampled["lost"])
            self.share.add(int(sampled["received"]), None, share)

    def summarize(self, now: int) -> Iterator[None]:
        """Have the networks' summaries as of ``now`` (microseconds), in steps."""
        return self.understood.summaries.look(self.presence.networks(), now)

    def _added_up(self, node: NodeIn, sums: NodeSums, seconds: int) -> None:
        self._lately.add(node, work_of(sums), seconds)

    def _over(self, ended: Connection) -> None:
        self.understood.gone(ended.node_id, ended.started, ended.ended or ended.started)

    def resume(self, body: Mapping[str, Any], now: int) -> None:
        """Take a ``RESUME`` record that came at ``now``, in microseconds of Unix time."""
        self._news = True
        gap = body["gap"]
        if gap is not None:
            self._gaps[gap["began"]] = Gap.told(gap)
        for node_id in self.presence.resume(body["nodes"], gap["ended"] if gap else now):
            self.facts.forget(node_id)

    def _take_facts(self, facts: records.Facts) -> None:
        for handle, frames in facts.runs:
            origin = self.presence.origin(handle)
            if origin is not None and frames:
                self.facts.take(origin, frames, facts.received)

    def _take_counts(self, body: Mapping[str, Any]) -> None:
        received = int(body["received"])
        for handle, by_type in body["counts"].items():
            self._counts.add(received, self.presence.node_at(int(handle)), by_type)
            self._news = self._news or by_type.keys() != STATUS_ALONE
        self._counted = True
        self.facts.failures.add_others(received, body.get("unread") or {})
        dropped, limited = body.get("dropped") or {}, body.get("rate_limited") or {}
        for handle in {*dropped, *limited}:
            node_id = self.presence.node_at(int(handle))
            for losses in self._losses.values():
                losses.enter(received, node_id, dropped.get(handle) or {}, limited.get(handle, 0))

    @property
    def quiet(self) -> bool:
        """Whether all that came since changes were last taken is that nodes send their ``Status``.

        Of what else happens there are counts, so that most other records need not be looked at.
        """
        return self._counted and not self._news

    def take_changes(self) -> list[tuple[Section, list[Any]]]:
        """What is to be written, by section."""
        self.fold()
        self._counted = self._news = False
        return [(section, section.source.take()) for section in self.sections]

    def clock_set_back(self) -> None:
        """The wall clock was set back: seconds that have been will be again."""
        self.fold()
        for buckets in self._buckets():
            buckets.clock_set_back()

    def _buckets(self) -> Iterator[Buckets[Any, Any]]:
        return (s.source for s in self.sections if isinstance(s.source, Buckets))

    def fold(self) -> None:
        """Have all that came in ``sections``."""
        self._counts.fold()
        self.sums.fold()
        self.facts.fold()

    def settle(self, now: float) -> None:
        """Let go of what is written and changes no more at ``now``."""
        self.fold()
        self.facts.settle(now)
        for section in self._by_clock:
            section.source.settle(now)
        self.understood.settle(now)
