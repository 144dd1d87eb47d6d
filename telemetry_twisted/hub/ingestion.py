"""The hub's side of the ingestion processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import evolve
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.ingestion.settings import LISTEN_FD, Settings
from telemetry_twisted.jip3.observations import chains_in
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link
from telemetry_twisted.transport.totals import NodeCount, decode_totals

from .admission import Admission
from .child import ChildState, Condition, Launch
from .node_totals import counts_by_node
from .nodes import NodeTable
from .permits import Permits
from .silence import Patience
from .uncounted import Uncounted

REPORTS = frozenset(
    {records.COUNTS, records.FACTS, records.STATE, records.FAULTS, records.OBSERVATIONS}
)
"""Records in which a process reports of its nodes."""


class IngestionSink(Protocol):
    """Where an ingestion process's records go."""

    nodes: NodeTable
    admission: Admission

    def chunk_received(self, chunk: records.Chunk, last_id: int) -> None:
        """Events; ``last_id`` is the highest id in them."""

    def chunks_done(self) -> None:
        """The chunks of one read have all been handed over."""

    def report_received(self, kind: int, body: bytes) -> None:
        """What the process reports of its nodes: one of :data:`REPORTS`."""

    def counted(self, counts: Iterable[NodeCount]) -> None:
        """What came of nodes, beside the ``COUNTS`` that follow: every event once."""

    def connection_ended(self, kind: str, reason: str) -> None:
        """The connection of a node has ended, admitted or not."""

    def connections_lost(self, number: int) -> None:
        """So many connections of nodes, admitted or not, have ended with their process."""

    def chains_lost(self, number: int) -> None:
        """Of so many chains of events it will not be told how they end."""


class IngestionServer:
    """One of the ingestion processes, through all of its runs.

    ``pulse`` holds the newest counters that it sent, and is empty before the first; ``silent``
    for how many seconds nodes have said nothing that have been silent for long, by connection.

    :param permits: where it is reckoned how many connections it may accept.
    :param errors: where what goes wrong with it stays, and what it counts itself is added.
    """

    _log = Logger()

    def __init__(
        self,
        number: int,
        settings: Settings,
        sink: IngestionSink,
        permits: Permits,
        errors: InternalErrors,
    ) -> None:
        self.number = number
        self.condition = Condition(f"ingestion {number}", f"ingestion process {number}")
        self.patience = Patience()
        self.pulse: dict[str, Any] = {}
        self.silent: dict[int, float] = {}
        self.past: dict[str, int] = {}
        self._settings = settings
        self._id_step = settings.id_step  # looked up for every chunk, as the next one is
        self._history = settings.history
        self._sink = sink
        self._permits = permits
        self._permits_changed = False
        self._wants_permits = True
        self._has_audience = True
        self._draining = False
        self._listening: socket.socket | None = None
        self._errors = errors
        self._errors_before: Mapping[str, int] = {}
        self._last_id = number + 1 - settings.id_step
        self._uncounted = Uncounted()
        self._chains_ended = 0
        self._totals: bytes | None = None
        self._link: Link | None = None

    @property
    def connections(self) -> int:
        """How many connections the present one has."""
        return self._permits.connections(self)

    def listen(self, listening: socket.socket) -> None:
        """Accept from ``listening``, a listening socket that stays the caller's."""
        self._listening = listening

    @property
    def accepts(self) -> bool:
        """Whether it can be expected to accept (:class:`~.permits.Holder`).

        One that starts will in a moment. It is reckoned with from the first, or else the first of
        several that start together would get what waits for all.
        """
        state = self.condition.state
        return (
            self._link is not None
            and state in (ChildState.STARTING, ChildState.RUNNING)
            and self._wants_permits
            and not self._draining
        )

    def permit(self, count: int) -> None:
        """Let it accept ``count`` connections more."""
        self._send(records.PERMIT, {"count": count})

    def launch(self) -> Launch:
        """What its next run needs."""
        assert self._listening is not None
        settings = evolve(self._settings, first_id=self._last_id + self._settings.id_step)
        arguments = ["-m", "telemetry_twisted.ingestion", settings.encode()]
        return Launch(arguments, {LISTEN_FD: os.dup(self._listening.fileno())})

    def process_started(self) -> None:
        self._log.info("{title}: pid {pid}", title=self.condition.title, pid=self.condition.pid)

    def state_changed(self) -> None:
        # While several are started one after another, the first is not to get what is for all.
        if self.condition.state is not ChildState.STARTING:
            self._permits.give()

    def process_ended(self, reason: str) -> None:
        # Whatever goes wrong, its nodes are gone with it, and so is all else that was its.
        lost = self.connections
        ended, self.pulse, self.silent = self.pulse, {}, {}
        self._errors_before = {}
        self._wants_permits = True
        with self._errors.kept_at("history"):
            self._count_the_rest()
        with self._errors.kept_at("history"):
            self._tell_lost_chains()
        try:
            self._sink.admission.server_lost(self)
        finally:
            self._permits.leave(self)
            self._permits.give()
            self._sink.connections_lost(lost)
            for counter in ("events", "rate_limited"):
                self.past[counter] = self.past.get(counter, 0) + ended.get(counter, 0)

    def counter(self, name: str) -> int:
        """A counter of the ``PULSE`` record, summed over all runs."""
        return self.past.get(name, 0) + int(self.pulse.get(name, 0))

    def listened_to(self, listening: bool) -> None:
        """Tell it whether there is any subscriber; as long as it does not know, there is one."""
        if listening is not self._has_audience:
            self._has_audience = listening
            self._send(records.AUDIENCE, {"listening": listening})

    def link_made(self, link: Link) -> None:
        self._link = link
        if not self._has_audience:
            self._send(records.AUDIENCE, {"listening": False})
        self._permits.join(self)

    def link_lost(self, reason: Failure) -> None:
        self._link = None

    def chunk_received(self, chunk: records.Chunk) -> None:
        self._last_id = chunk.first_id + (chunk.count - 1) * self._id_step
        if self._history:
            self._uncounted.chunk(chunk)
        self._sink.chunk_received(chunk, self._last_id)

    def record_received(self, kind: int, body: bytes) -> None:
        if kind in REPORTS:
            self._report_received(kind, body)
        elif kind == records.TOTALS:
            self._totals = body  # of what the COUNTS that follow count, if they come
        elif kind == records.PULSE:
            self._pulse_received(records.decode_json(body))
        elif kind == records.HELLO:
            hello = records.decode_json(body)
            self._sink.admission.introduced(
                self,
                hello["connection"],
                hello["node_id"],
                hello["address"],
                hello["info"],
            )
        elif kind == records.GONE:
            gone = records.decode_json(body)
            try:
                self._sink.admission.ended(self, gone["connection"], gone["kind"], gone["reason"])
            finally:
                self._permits.ended(self)
                self._permits_changed = True
                self._sink.connection_ended(gone["kind"], gone["reason"])
        elif kind == records.ACCEPTED:
            accepted = records.decode_json(body)
            self._permits.accepted(self)
            self._permits_changed = True
            self._sink.admission.connection_accepted(self, accepted["connection"], accepted["host"])
        elif kind == records.RETURNED:
            returned = records.decode_json(body)
            self._wants_permits = returned["more"]
            self._permits.returned(self, returned["count"])
            self._permits_changed = True
        elif kind == records.ACTIVITY:
            activity = records.decode_json(body)
            self._sink.nodes.answered(self, activity["connection"], activity["silent"])
        else:
            self._log.error("ingestion process sent a record of kind {kind}", kind=kind)

    def _report_received(self, kind: int, body: bytes) -> None:
        if kind == records.COUNTS:
            self._uncounted.counted()
            totals, self._totals = self._totals, None
            if totals is not None:
                with self._errors.kept_at("totals"):
                    self._sink.counted(decode_totals(totals))
        elif kind == records.FACTS:
            self._uncounted.facts(body)
        elif kind == records.OBSERVATIONS:
            self._chains_ended += chains_in(body)
        self._sink.report_received(kind, body)

    def _count_the_rest(self) -> None:
        """Have history count what has come and what the process does not count any more."""
        counts = self._uncounted.take()
        self._totals = None
        if counts is not None:
            with self._errors.kept_at("totals"):
                self._sink.counted(counts_by_node(counts["counts"]))
            self._sink.report_received(records.COUNTS, records.json_body(counts))

    def _tell_lost_chains(self) -> None:
        """Tell how many chains have begun whose end the process has not told, and takes along."""
        lost = self._uncounted.begun - self._chains_ended
        self._uncounted.begun = self._chains_ended = 0
        if lost > 0 and not self._draining:
            self._sink.chains_lost(lost)

    def _pulse_received(self, pulse: dict[str, Any]) -> None:
        counted = pulse.pop("internal_errors", {})
        self._errors.add(counted, self._errors_before)
        self._errors_before = counted
        silent = pulse.pop("silent", {})
        self.silent = {int(connection): seconds for connection, seconds in silent.items()}
        self.pulse = pulse
        self._permits.heard(self)

    def records_done(self) -> None:
        self._sink.chunks_done()
        if self._permits_changed:
            self._permits_changed = False
            self._permits.give()

    def _send(self, kind: int, message: dict[str, Any]) -> None:
        if self._link is not None:
            self._link.send(records.encode_json(kind, message))

    def admit(self, connection: int, handle: int, after_id: int) -> None:
        admitted = {"connection": connection, "handle": handle, "after_id": after_id}
        self._send(records.ADMIT, admitted)

    def dismiss(self, connection: int, kind: str, reason: str) -> None:
        self._send(records.DISMISS, {"connection": connection, "kind": kind, "reason": reason})

    def challenge(self, connection: int) -> None:
        self._send(records.CHALLENGE, {"connection": connection})

    def drain(self) -> None:
        """Have it send what it has read, and end."""
        self._draining = True
        if self._link is not None:
            self._link.send(records.encode_record(records.DRAIN))
