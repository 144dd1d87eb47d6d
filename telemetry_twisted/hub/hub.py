"""The hub: one actor that owns the ring, the node table and the counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.jip3.codec import VIOLATION
from telemetry_twisted.quiet import QuietLog
from telemetry_twisted.transport import records
from telemetry_twisted.transport.totals import NodeCount

from .admission import Admission, AdmissionRules
from .histogram import Histogram
from .node_totals import AllTotals
from .nodes import Node, NodeTable
from .ring import Ring

LATENCY_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

_SAY_NODES_AFTER = 2.0

_TOLD_ELSEWHERE = frozenset({"left", "replaced", "refused", "id_taken", "node_not_allowed"})
"""Kinds of endings that are nothing unusual, or are logged with the node's ID."""


class History(Protocol):
    """What keeps history: is given what the hub receives, in order, where there is one.

    What is counted of a node comes before it is gone, and its coming before all else of it.
    """

    def node_connected(self, node: Node) -> None:
        """``node`` was admitted."""

    def node_gone(self, node: Node, kind: str, reason: str) -> None:
        """``node`` is gone; nothing of it follows."""

    def chunk(self, chunk: records.Chunk) -> None:
        """Events."""

    def record(self, kind: int, body: bytes) -> None:
        """A ``COUNTS``, ``FACTS``, ``STATE``, ``FAULTS`` or ``OBSERVATIONS`` record."""

    def chains_lost(self, number: int) -> None:
        """Of so many chains of events no record will tell how they end."""


class Hub:
    """Takes what the ingestion processes send and hands it on, never looking into an event.

    ``last_id`` is the highest event id so far. ``endings`` counts connections of nodes that ended,
    by kind, ``faults`` what nodes got wrong, by kind (``decode_error``, ``violation``).
    ``totals`` are of each node since the server began.
    ``latency`` is of the last events of each read from an ingestion process.
    ``errors`` counts mistakes of the server's own, those of its child processes included.
    """

    _log = Logger()

    def __init__(
        self,
        ring: Ring,
        rules: AdmissionRules,
        clock: IReactorTime,
        now: Now,
        errors: InternalErrors,
        history: History | None = None,
    ) -> None:
        self.ring = ring
        self.errors = errors
        self.nodes = NodeTable(rules.max_nodes, self, now, rules.takeover_any)
        self.totals = AllTotals(rules.max_nodes, now)
        self.admission = Admission(self.nodes, rules, self, clock)
        self.last_id = 0
        self.endings: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.latency = Histogram(
            "Seconds from reading events to having sent them to subscribers that keep up.",
            LATENCY_BOUNDS,
        )
        self._last_read = 0
        self._clock = clock
        self._history = history
        self._quiet = QuietLog(self._log, clock)
        self._news: Counter[str] = Counter()
        self._saying: IDelayedCall | None = None

    def chunk_received(self, chunk: records.Chunk, last_id: int) -> None:
        if last_id > self.last_id:
            self.last_id = last_id
        self.ring.publish(chunk)
        self._last_read = chunk.read
        if self._history is not None:
            with self.errors.kept_at("history"):
                self._history.chunk(chunk)

    def chunks_done(self) -> None:
        self.ring.wake()
        if self._last_read:
            # By now they are with all subscribers that keep up.
            self.latency.observe(self._clock.seconds() - self._last_read / 1_000_000)
            self._last_read = 0

    def report_received(self, kind: int, body: bytes) -> None:
        try:
            if kind == records.STATE:
                self._note_states(records.decode_json(body))
            elif kind == records.FAULTS:
                self._note_faults(records.decode_json(body))
            elif kind == records.OBSERVATIONS:
                self.totals.observe(body)
        finally:
            if self._history is not None:
                with self.errors.kept_at("history"):
                    self._history.record(kind, body)

    def counted(self, counts: Iterable[NodeCount]) -> None:
        self.totals.add(counts)

    def _note_states(self, states: dict[str, dict[str, Any]]) -> None:
        for handle, state in states.items():
            node = self.nodes.at_handle(int(handle))
            if node is not None:
                node.best = state.get("best", node.best)
                node.finalized = state.get("finalized", node.finalized)
                node.synced = state.get("synced", node.synced)
                node.peers = state.get("peers", node.peers)

    def _note_faults(self, faults: list[dict[str, Any]]) -> None:
        for fault in faults:
            self.faults[fault["kind"]] += fault["count"]
            self._quiet.warn(_fault_format(fault), **fault)

    def connection_ended(self, kind: str, reason: str) -> None:
        self.endings[kind] += 1
        if kind not in _TOLD_ELSEWHERE:
            self._quiet.warn("a connection was closed: {reason}", reason=reason)

    def connections_lost(self, number: int) -> None:
        if number:
            self.endings["lost"] += number

    def chains_lost(self, number: int) -> None:
        if self._history is not None:
            self._history.chains_lost(number)

    def node_connected(self, node: Node) -> None:
        with self.errors.kept_at("node"):
            self.ring.node_connected(node.node_id, node.handle, node.network)
            self.totals.node_connected(node)
        if self._history is not None:
            with self.errors.kept_at("history"):
                self._history.node_connected(node)
        self._say_nodes("connected")

    def node_gone(self, node: Node, kind: str, reason: str) -> None:
        with self.errors.kept_at("node"):
            self.ring.node_gone(node.node_id)
            self.totals.node_gone(node)
        if self._history is not None:
            with self.errors.kept_at("history"):
                self._history.node_gone(node, kind, reason)
        self._say_nodes("gone")

    def node_refused(self, node_id: str, reason: str) -> None:
        self._quiet.warn("node {node_id} was refused: {reason}", node_id=node_id, reason=reason)

    def _say_nodes(self, what: str) -> None:
        self._news[what] += 1
        if self._saying is None:
            self._saying = self._clock.callLater(_SAY_NODES_AFTER, self._say)

    def _say(self) -> None:
        self._saying = None
        news, self._news = self._news, Counter()
        self._log.info(
            "nodes: {connected} connected, {gone} gone, {now} of at most {most} now",
            connected=news["connected"],
            gone=news["gone"],
            now=len(self.nodes),
            most=self.nodes.max_nodes,
        )


def _fault_format(fault: dict[str, Any]) -> str:
    """How an item of a ``FAULTS`` record is logged.

    Each kind has a format of its own, so that many of one do not keep the others out of the log.
    """
    if fault["discriminator"] is not None:
        where = "events of type {discriminator}"
    elif fault["kind"] == VIOLATION:
        where = "its node information"
    else:
        where = "events too short to have a type"
    return (
        f"node {{node_id}}: {{count}} x {fault['kind']} in {where}: {{reason}} at offset "
        "{offset}, last in {excerpt}"
    )
