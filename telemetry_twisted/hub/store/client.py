"""The hub's side of the store process: hands it what history keeps, and never waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.child import ChildState, Condition, Launch
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.hub.silence import Patience
from telemetry_twisted.rounds import Rounds
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link

WAITING_BYTES = 64 << 20
"""How much waits here for a store process that does not read, at most."""

COMINGS_AND_GOINGS_BYTES = 16 << 20
"""What may wait beyond that of the comings and goings of nodes, which all the rest refers to."""

MOST_IN_VAIN = 3
"""Store processes that may end over the same records, which are given to no other then."""

PATIENCE = Patience(busy_late=10.0, busy_dead=60.0)
"""Writing history is work in long pieces, at a low priority; the stream does not wait for it."""

SAMPLED_SECONDS = 1.0


class _Record(NamedTuple):
    """A record for the store; one about a node's coming or going says in which ``handle``."""

    whole: bytes
    handle: int = -1
    connects: bool = False


@implementer(IPushProducer)
class StoreClient:
    """Passes records on to the store process, through all of its runs.

    Raw events are handed over as far as the store has said that it has room for them; the rest is
    counted as seen. Everything else waits its turn when the link is down or full, in order, up to
    :data:`WAITING_BYTES`; what goes beyond that is counted in ``records_lost``. What was sent is
    kept until the store says that it has taken it, so that what a process that hangs has not read
    is read by the next.

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
        self.status: Mapping[str, Any] = {"state": "starting"}
        self.records_lost = 0
        self.condition = Condition("store", "store process")
        self.patience = PATIENCE
        self._settings = settings
        self._raw_events = raw_events
        self._clock = clock
        self._now = now
        self._link: Link | None = None
        self._flowing = False
        self._draining = False
        self._waiting: deque[_Record] = deque()
        self._waiting_bytes = 0
        self._sent: deque[_Record] = deque()
        self._taken = 0
        self._told_again = 0
        self._spoke = False
        self._in_vain = 0
        self._told: dict[int, bytes] = {}
        self._room = 0
        self._seen = 0
        self._kept = 0
        self._troubled_since: float | None = clock.seconds()
        self._errors = errors
        self._errors_before: Mapping[str, int] = {}
        self._tally = Rounds(self._send_tally, "tally of raw events", clock, errors)

    def launch(self) -> Launch:
        """What the next run of the store process needs."""
        return Launch(["-m", "telemetry_twisted.store"], {})

    def process_started(self) -> None:
        self._log.info("{title}: pid {pid}", title=self.condition.title, pid=self.condition.pid)
        self._tally.start(SAMPLED_SECONDS)

    def state_changed(self) -> None:
        if self.condition.state is ChildState.LATE:
            error = "nothing is heard of the store process"
            self._note({**self.status, "state": "late", "last_error": error})

    def process_ended(self, reason: str) -> None:
        self._errors_before = {}
        self._note({"state": "restarting", "last_error": f"the store process ended: {reason}"})

    def link_made(self, link: Link) -> None:
        self._link = link
        self._flowing = True
        link.register_producer(self)
        link.send(records.encode_record(records.SETTINGS, self._settings))
        # It must read what waits as the store process before it would have.
        link.send(*self._told.values())
        self._told_again = len(self._told)
        self._spoke = False
        self._taken = 0
        self._send_waiting()

    def link_lost(self, reason: Failure) -> None:
        if self._taken or not self._sent:
            self._in_vain = 0
        elif self._spoke:  # it began, and ended over what it was given
            self._in_vain += 1
        if self._in_vain == MOST_IN_VAIN:
            self._in_vain = 0
            self.records_lost += len(self._sent)
            self._log.error(
                "{runs} store processes in a row took none of {records} records, which are not "
                "given to another; history has a gap",
                runs=MOST_IN_VAIN,
                records=len(self._sent),
            )
            self._sent.clear()
        self._waiting.extendleft(reversed(self._sent))
        self._waiting_bytes += sum(len(record.whole) for record in self._sent)
        self._sent.clear()
        self._link = None
        self._flowing = False
        self._room = 0

    def record_received(self, kind: int, body: memoryview) -> None:
        if kind == records.STORE_STATUS:
            status = records.decode_json(body)
            counted = status.pop("internal_errors", {})
            self._errors.add(counted, self._errors_before)
            self._errors_before = counted
            self._spoke = True
            self._note_taken(status.pop("taken"))
            self._note(status)
            self._room = self.status["raw_room"] if self._raw_events else 0

    def _note_taken(self, number: int) -> None:
        """The present store process has taken so many records, raw events not among them."""
        of_those_sent = number - self._told_again
        while self._sent and self._taken < of_those_sent:
            self._taken += 1
            record = self._sent.popleft()
            if record.connects:
                self._told[record.handle] = record.whole
            elif record.handle >= 0:
                # It may not have been told of the node's coming, if that was one too many.
                self._told.pop(record.handle, None)

    def _note(self, status: Mapping[str, Any]) -> None:
        self.status = status
        if status["state"] == "ok":
            self._troubled_since = None
        elif self._troubled_since is None:
            self._troubled_since = self._clock.seconds()

    def trouble(self) -> float:
        """For how many seconds the store has not written as it should."""
        return 0.0 if self._troubled_since is None else self._clock.seconds() - self._troubled_since

    def records_done(self) -> None:
        pass

    def pauseProducing(self) -> None:
        self._flowing = False

    def resumeProducing(self) -> None:
        self._flowing = True
        self._send_waiting()

    def stopProducing(self) -> None:
        self._flowing = False

    def node_connected(self, node: Node) -> None:
        record = records.encode_json(
            records.NODE_CONNECTED,
            {
                "handle": node.handle,
                "node_id": node.node_id,
                "connection": node.connection,
                "address": node.address,
                "info": node.info,
                "cores": node.info["params"]["core_count"],
                "version": node.info["version"],
                "connected": int(node.connected * 1_000_000),
            },
        )
        self._pass_on(_Record(record, node.handle, connects=True))

    def node_gone(self, node: Node, kind: str, reason: str) -> None:
        record = records.encode_json(
            records.NODE_GONE,
            {
                "handle": node.handle,
                "node_id": node.node_id,
                "connection": node.connection,
                "disconnected": int(self._now() * 1_000_000),
                "reason": reason,
            },
        )
        self._pass_on(_Record(record, node.handle))

    def chunk(self, chunk: records.Chunk) -> None:
        self._seen += chunk.count
        if self._flowing and chunk.count <= self._room:
            assert self._link is not None
            self._room -= chunk.count
            self._kept += chunk.count
            self._link.send(*chunk.encode())

    def record(self, kind: int, body: bytes) -> None:
        self._pass_on(_Record(records.encode_record(kind, body)))

    def _send_tally(self) -> None:
        if self._raw_events:
            tally = {"received": self._now(), "seen": self._seen, "kept": self._kept}
            self._seen = self._kept = 0
            self._pass_on(_Record(records.encode_json(records.SAMPLED, tally)))

    def _pass_on(self, record: _Record) -> None:
        if self._flowing and not self._waiting:
            self._send(record)
        elif self._waiting_bytes + len(record.whole) > self._most_waiting(record):
            if not self.records_lost:
                self._log.error("the store process does not read; history has gaps from now on")
            self.records_lost += 1
        else:
            self._waiting.append(record)
            self._waiting_bytes += len(record.whole)

    def _most_waiting(self, record: _Record) -> int:
        return WAITING_BYTES + (COMINGS_AND_GOINGS_BYTES if record.handle >= 0 else 0)

    def _send_waiting(self) -> None:
        while self._flowing and self._waiting:
            record = self._waiting.popleft()
            self._waiting_bytes -= len(record.whole)
            self._send(record)
        if self._draining and not self._waiting:
            self.drain()

    def _send(self, record: _Record) -> None:
        assert self._link is not None
        self._sent.append(record)
        self._link.send(record.whole)

    def drain(self) -> None:
        """Have the store process write what it was given, and end."""
        self._draining = True
        if self._tally.running:
            self._send_tally()
            self._tally.stop()
        if self._link is not None and not self._waiting:
            self._link.send(records.encode_record(records.DRAIN))
