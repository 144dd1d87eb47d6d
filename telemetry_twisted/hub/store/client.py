"""The hub's side of the store process: hands it what history keeps, and never waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import ujson
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.child import ChildState, Condition, Launch
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.hub.silence import Patience, processor_seconds
from telemetry_twisted.rounds import Rounds
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link

from .in_vain import MOST_IN_VAIN, InVain
from .losses import Losses
from .networks import ToldNetworks
from .outbox import Outbox
from .pending import Pending
from .raw import RawEvents
from .record import Record, connected_body, gone_body
from .sampling import Sampling
from .standing import Standing
from .tally import Tally

PATIENCE = Patience(busy_late=30.0, busy_dead=90.0)
"""Writing history is work in long pieces, at a low priority; the stream does not wait for it.

On a machine that is full, half a second of work takes ten, and nothing is wrong with that."""

SAMPLED_SECONDS = 1.0


@implementer(IPushProducer)
class StoreClient:
    """Hands records over to the store process, through all of its runs.

    Records are kept until the process says that they are committed (:class:`~.pending.Pending`), so
    that the next one can be given those that are not. Raw events go beside them as far as there is
    room for them (:class:`~.raw.RawEvents`) and the stream has time for them
    (:class:`~.sampling.Sampling`), and are not kept.

    :param settings: for the store process; they go over the link, since they may hold a password.
    :param raw_events: whether raw events are kept at all.
    :param errors: where what the store process counts of its own mistakes is added.
    """

    _log = Logger()

    def __init__(
        self,
        settings: bytes,
        raw_events: bool,
        clock: IReactorTime,
        now: Now,
        errors: InternalErrors,
    ) -> None:
        self.condition = Condition("store", "store process")
        self.patience = PATIENCE
        self.losses = Losses(clock)
        self.networks = ToldNetworks(clock)
        self.raw = RawEvents(clock)
        self.sampling = Sampling(clock)
        self.pending = Pending(now, self.losses.add, self.raw.put_back)
        self.server = uuid4().hex
        self._settings = ujson.dumps({**ujson.loads(settings), "server": self.server}).encode()
        self._raw_events = raw_events
        self._clock = clock
        self._now = now
        self._standing = Standing(clock)
        self._outbox: Outbox | None = None
        self._flowing = False
        self._resumed = False
        self._draining = False
        self._drained = False
        self._spoke = False
        self._untouched = False
        self._last_sent = 0
        self._heard = 0
        self._in_vain = InVain()
        self._errors = errors
        self._errors_before: Mapping[str, int] = {}
        self._samples = Rounds(self._send_sampled, "tally of raw events", clock, errors)

    # The process

    def launch(self) -> Launch:
        """What the next run of the store process needs."""
        return Launch(["-m", "telemetry_twisted.store"], {})

    def process_started(self) -> None:
        self._log.info("{title}: pid {pid}", title=self.condition.title, pid=self.condition.pid)
        if self._raw_events:
            self._samples.start(SAMPLED_SECONDS)

    def state_changed(self) -> None:
        if self.condition.state is ChildState.LATE:
            self._standing.late()

    def link_made(self, link: Link) -> None:
        self._outbox = Outbox(link, self._clock)
        self._flowing = True
        self._spoke = False
        link.register_producer(self)
        self._outbox.put(records.encode_record(records.SETTINGS, self._settings))
        if not self.pending.in_doubt:
            self._resume()

    def _resume(self) -> None:
        self._resumed = True
        self._send(self.pending.resume())
        self._send_waiting()

    def link_lost(self, reason: Failure) -> None:
        self._last_sent = self.pending.sent
        self._untouched = self.pending.ended()
        self.raw.process_ended()
        if self._outbox is not None:
            self._outbox.close()
            self._outbox = None
        self._flowing = self._resumed = False

    def process_ended(self, reason: str) -> None:
        self._errors_before = {}
        self.losses.process_ended()
        self.networks.ended()
        self._standing.ended(f"the store process ended: {reason}")
        if self._in_vain.ended(self._spoke, self._untouched, reason):
            self.pending.give_up(
                self._last_sent, f"{MOST_IN_VAIN} store processes in a row ended over it"
            )
        self._spoke = self._untouched = False
        if self._draining:
            self._tell_what_is_left(reason)

    # What it tells

    chunk_received = None

    def record_received(self, kind: int, body: bytes) -> None:
        self._heard += 1
        if kind == records.NETWORK:
            self.networks.told(records.decode_json(body))
            return
        if kind != records.STORE_STATUS:
            self._log.error("store process sent a record of kind {kind}", kind=kind)
            return
        status = records.decode_json(body)
        counted = status.pop("internal_errors", {})
        self._errors.add(counted, self._errors_before)
        self._errors_before = counted
        self.losses.process_told(status.pop("lost", {}))
        self.networks.heard()
        self._spoke = True
        self.pending.told(
            status.pop("taken", None), status.pop("attempting", None), status.pop("position", None)
        )
        lost = self.raw.told(
            status.pop("raw_room"),
            status.pop("raw_taken", None),
            status.pop("raw_written", None),
            status.pop("raw_dropped", None),
        )
        if lost:
            self._log.error(
                "{lost} raw events cannot be browsed: a store process ended before they were "
                "written",
                lost=lost,
            )
        self._standing.told(status)
        if self._outbox is not None and not self._resumed and not self.pending.in_doubt:
            self._resume()
        else:
            self._send_waiting()

    def records_done(self) -> None:
        pass

    @property
    def status(self) -> Mapping[str, Any]:
        """How the store fares, for ``health/detailed``.

        It is what the store process has told, with what the hub knows: ``state`` is ``ok`` only if
        that was told lately. ``pending`` is what is kept until it is committed, ``at_risk`` what is
        not kept any more, and lost if the process ends before it commits; ``lost`` is what history
        has lost so far, by kind. Of raw events, ``raw_events_waiting`` wait in the hub, and
        ``raw_events_withheld`` were not handed over, since there was no room.
        """
        raw = self.raw
        return {
            **self._standing.status,
            "pending": {"records": len(self.pending), "bytes": self.pending.bytes},
            "at_risk": self.pending.at_risk.as_json(),
            "lost": dict(self.losses.total),
            "raw_events_written": raw.written,
            "raw_events_dropped": raw.dropped,
            "raw_events_lost": raw.lost,
            "raw_events_waiting": raw.waiting,
            "raw_events_withheld": raw.withheld,
        }

    def progress(self) -> object:
        """How much was heard of the store process, and how much of the processor it has used.

        One that has neither does nothing: it says twice a second how it fares, and ends by itself
        if the database stands still.
        """
        pid = self.condition.pid
        return self._heard, processor_seconds(pid) if pid else 0.0

    def trouble(self) -> float:
        """For how many seconds the store has not written as it should."""
        return self._standing.trouble()

    # What it is given

    def node_connected(self, node: Node) -> None:
        self.pending.node_connected(node.handle, node.node_id, connected_body(node))
        self._send_waiting()

    def node_gone(self, node: Node, kind: str, reason: str) -> None:
        self.pending.node_gone(node.handle, gone_body(node, self._now(), reason))
        self._send_waiting()

    def chunk(self, chunk: records.Chunk) -> None:
        if not self._raw_events:
            return
        if self.pending.gap_is_open:
            # The store will not be told whose it is.
            self.raw.withhold(chunk.count)
            return
        if not self.sampling.all_pass:
            sampled = self.raw.cut(chunk, self.sampling.most(chunk))
            if sampled is None:
                return
            chunk = sampled
        if self._flowing and self._resumed and self.raw.pass_on(chunk):
            assert self._outbox is not None
            self._outbox.put(*chunk.encode())
        else:
            self.raw.wait(chunk, self.pending.last)
            self._send_waiting()

    def record(self, kind: int, body: bytes) -> None:
        self.pending.add(kind, body)
        self._send_waiting()

    def chains_lost(self, number: int) -> None:
        self.losses.add_untold(Tally(chains=number), "an ingestion process ended and took it along")

    def stream_is_busy(self, busy: float) -> None:
        """How busy the busiest process of the stream is, from 0 to 1; told twice a second."""
        self.sampling.stream_is_busy(busy, self.raw.given)

    def _send_sampled(self) -> None:
        if self.pending.gap_is_open:
            return
        sampled = self.raw.take_sampled()
        if sampled:
            self.record(records.SAMPLED, records.json_body(sampled.as_json(self._now())))

    def pauseProducing(self) -> None:
        self._flowing = False

    def resumeProducing(self) -> None:
        self._flowing = True
        self._send_waiting()

    def stopProducing(self) -> None:
        self._flowing = False

    def _send_waiting(self) -> None:
        """Send what waits, in order, while the link takes it."""
        outbox = self._outbox
        if outbox is None or not self._resumed or self.raw.waits_to_hear:
            return
        while self._flowing:
            chunk = self.raw.next(self.pending.sent)
            if chunk is not None:
                outbox.put(*chunk.encode())
            elif self.pending.waits:
                self._send(self.pending.next())
            else:
                break
        if self._draining:
            self._send_last()

    def _send(self, record: Record) -> None:
        assert self._outbox is not None
        connection = record.connection
        if record.state is not None:
            nodes = {handle: each.node_id for handle, each in record.state.items()}
            self.raw.owners.resumed(record.number, nodes)
        elif connection is not None and record.kind == records.NODE_CONNECTED:
            self.raw.owners.connected(record.number, connection.handle, connection.node_id)
        self._outbox.put(record.encode())

    # The end

    def drain(self) -> None:
        """Have the store process write all that there is, and end.

        What it does not get to is told in the log once it has ended.
        """
        self._draining = True
        self._samples.stop()
        self.raw.finish()
        if self._outbox is None and self.condition.pid is None:
            self._tell_what_is_left("there was no store process")
        self._send_waiting()

    def _send_last(self) -> None:
        """Send what says that it was all, once all else was sent."""
        if self._drained or not self._flowing or self.pending.waits or self.raw.waiting:
            return
        assert self._outbox is not None
        self._drained = True
        self._send_sampled()
        self._outbox.put(records.encode_record(records.DRAIN))
        self._outbox.flush()

    def _tell_what_is_left(self, reason: str) -> None:
        left = self.pending.remains()
        if left:
            self.losses.add(
                left, f"the server ended before this was known to be committed ({reason})"
            )
