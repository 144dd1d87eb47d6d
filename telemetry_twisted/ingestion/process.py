"""One ingestion process: it accepts connections of nodes and sends the hub their events."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.busy import Busy
from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.jip3.codec import FACT_TYPES, Dialect, load_codec
from telemetry_twisted.jip3.node_information import NodeInformation
from telemetry_twisted.networks import Networks
from telemetry_twisted.rounds import Rounds
from telemetry_twisted.transport import records
from telemetry_twisted.transport.certificates import CertificateFiles
from telemetry_twisted.transport.link import Link

from .accept import Acceptor
from .assembler import Assembler, Source
from .backends import build_pool, build_unattended, build_writer
from .connections import Connections
from .faults import FaultLedger, FaultReports
from .gate import Gate
from .history import NODE, HistoryReports
from .intake import Intake
from .node import MISTAKE, Ending, NodeProtocol
from .observing import ObservationReports
from .pace import Pace
from .pool import NodePool
from .pool_reader import PoolReader
from .settings import Settings
from .silent import silent

if TYPE_CHECKING:
    from .secured import Secured

REPORT_SECONDS = 1.0
"""How often the counters of a process are sent to the hub."""


class IngestionProcess:
    """Owns the node connections of this process and its end of the link.

    It is the link's record handler and the registry of its node connections. ``ended`` fires when
    the link is gone.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IServerReactor,
        settings: Settings,
        listening: socket.socket,
        errors: InternalErrors,
        now: Now = time.time,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._errors = errors
        self._now = now
        self._codec = load_codec(settings.codec)
        self._listening = listening
        self._secured = (
            None if settings.certificates is None else _secured(settings.certificates, reactor)
        )
        self._information: dict[int, NodeInformation] = {}
        self._reports = Rounds(self._report, "report of an ingestion process", reactor, errors)
        self._pace = Pace()
        self._busy = Busy(reactor)
        self._draining = False
        self.ended: Deferred[None] = Deferred()

    def link_made(self, link: Link) -> None:
        self._link = link
        settings = self._settings
        self._writer = build_writer(self._codec, settings.first_id, settings.id_step)
        # What TLS brings has to be decrypted first, which its transport does.
        pool = (
            build_pool(self._writer, settings.max_message_size) if self._secured is None else None
        )
        self._assembler = Assembler(link.send, self._writer, pool, self._reactor, self._now)
        self._pool = None if pool is None else self._read_pool(pool, link)
        self._gate = Gate(self._pool)
        self._faults = FaultReports(link, self._reactor, self._errors)
        self._history = HistoryReports(link, self._assembler, self._now, self._errors)
        self._observations = (
            ObservationReports(link, self._codec, self._reactor, self._now)
            if settings.history
            else None
        )
        link.register_producer(self._gate)
        networks = settings.networks
        self._connections = Connections(
            self._reactor,
            link,
            self._build_node,
            settings.most_silent,
            Networks.parse(networks) if networks else None,
            self._secured,
        )
        self._acceptor = Acceptor(self._reactor, self._listening, self._connections)
        self._log.info("the {codec} codec decodes", codec=self._codec.name)
        # The first one tells the hub that this process works.
        self._reports.start(REPORT_SECONDS, now=True)

    def _read_pool(self, pool: NodePool, link: Link) -> PoolReader:
        # By itself it goes by the clocks of the system.
        unattended = (
            build_unattended(pool, link, self._reactor, self._assembler.moments)
            if self._now is time.time
            else None
        )
        return PoolReader(pool, self._assembler, self._reactor, self._errors, unattended)

    def record_received(self, kind: int, body: bytes) -> None:
        if kind == records.DRAIN:
            self.drain()
            return
        message = records.decode_json(body)
        if kind == records.PERMIT:
            self._acceptor.permit(message["count"])
            return
        if kind == records.AUDIENCE:
            self._pace.listened_to(message["listening"])
            self._keep_pace()
            return
        node = self._connections.nodes.get(message["connection"])
        if node is None:
            return
        if kind == records.ADMIT:
            try:
                self._admit(node, message["handle"], message["after_id"])
            except Exception:
                self.node_failed(node, Failure())
                node.end(MISTAKE)
        elif kind == records.DISMISS:
            node.end(Ending(message["kind"], message["reason"]))
        elif kind == records.CHALLENGE:
            activity = {"connection": node.connection, "silent": node.silent}
            self._link.send(records.encode_json(records.ACTIVITY, activity))

    def records_done(self) -> None:
        pass

    def link_lost(self, reason: Failure) -> None:
        if not self._draining:
            self._log.warn("the hub is gone, so this process ends")
        self.ended.callback(None)

    def _build_node(self, connection: int) -> NodeProtocol:
        settings = self._settings
        return NodeProtocol(
            connection,
            self,
            self._assembler,
            self._pool,
            self._gate,
            self._reactor,
            settings.max_message_size,
            settings.rate_limit,
        )

    def node_introduced(self, node: NodeProtocol, information: NodeInformation) -> None:
        self._connections.introduced(node)
        self._information[node.connection] = information
        hello = {
            "connection": node.connection,
            "node_id": information.node_id,
            "address": node.address,
            "info": information.as_json(),
        }
        self._link.send(records.encode_json(records.HELLO, hello))

    def _admit(self, node: NodeProtocol, handle: int, after_id: int) -> None:
        information = self._information[node.connection]
        faults = FaultLedger(information.node_id, self._faults)
        faults.enter(information.faults)
        dialect = Dialect(
            information.node_id,
            information.cores,
            information.version,
            self._settings.byte_arrays,
            self._settings.max_message_size,
            FACT_TYPES if self._settings.history else frozenset(),
            information.layout is not None and information.cores is not None,
        )
        following = None
        if self._observations is not None:
            following = self._observations.following(node.connection, handle, information.genesis)
        stream = self._codec.open(dialect, following)
        limit = self._settings.rate_limit
        intake = Intake(self._writer, stream, handle, limit, 0, self._reactor.seconds())
        source = Source(node.connection, handle, stream, faults, intake)
        self._assembler.add(source)
        self._assembler.begin_after(after_id)
        node.admit(source)

    def node_ended(self, node: NodeProtocol, ending: Ending) -> None:
        self._information.pop(node.connection, None)
        # Whatever goes wrong with what it leaves, the hub is told that it is gone.
        with self._errors.kept_at(NODE):
            self._tell_history([] if node.source is None else [node.source])
        with self._errors.kept_at(NODE):
            self._tell_observations([node])
        if self._observations is not None:
            self._observations.ended(node.connection)
        if node.source is not None:
            with self._errors.kept_at(NODE):
                self._faults.node_ended(node.source.faults)
            self._assembler.forget(node.source)
        self._connections.ended(node, ending)

    def node_failed(self, node: NodeProtocol, failure: Failure) -> None:
        self._errors.note(NODE, failure)

    def _keep_pace(self) -> None:
        if self._pool is not None:
            self._pool.rest(self._pace.rest)

    def _report(self) -> None:
        nodes = self._connections.nodes.values()
        self._faults.send()
        self._tell_history([node.source for node in nodes if node.source is not None])
        self._tell_observations([])
        self._pace.second_over(self._assembler.events)
        self._keep_pace()
        if self._pool is not None:
            self._pool.look_for_ends()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pulse = {
            "codec": self._codec.name,
            "connections": len(nodes),
            "events": self._assembler.events,
            "rate_limited": self._assembler.rate_limited,
            "held_back": self._gate.closed,
            "link_backlog_bytes": self._link.backlog,
            "busy": round(self._busy.share(), 3),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "memory_bytes": resident_bytes(),
            "internal_errors": self._errors.counts,
            "silent": silent(node for node in nodes if node.source is not None),
        }
        self._link.send(records.encode_json(records.PULSE, pulse))

    def _tell_history(self, sources: list[Source]) -> None:
        """Send what the turn has gathered, and what history is told of ``sources`` after it."""
        if self._settings.history:
            self._history.send(sources)
        else:
            self._assembler.end_turn()
            self._assembler.take_changed()

    def _tell_observations(self, ended: Iterable[NodeProtocol]) -> None:
        """Send what has been found by following chains, those of nodes that ``ended`` included."""
        for node in ended:
            if node.source is not None:
                node.source.stream.end_chains()
        if self._observations is not None:
            self._observations.send()

    def drain(self) -> None:
        """Read no more, send what was read, and let go of the link."""
        if self._draining:
            return
        self._draining = True
        self._acceptor.stop()
        if self._pool is not None:
            self._pool.stop()
        self._gate.open_for_good()
        for node in list(self._connections.nodes.values()):
            node.hold()
        self._assembler.end_turn()
        if self._reports.running:
            self._reports.stop()
            self._tell_observations(self._connections.nodes.values())
            self._report()
        self._link.close()


def _secured(files: CertificateFiles, reactor: IServerReactor) -> Secured:
    # Here, so that OpenSSL is only imported where TLS is spoken.
    from .secured import Secured

    return Secured(files, reactor)


def resident_bytes() -> int:
    """Memory of this process that is in RAM, in bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
