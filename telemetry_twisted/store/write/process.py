"""The store process: it takes records from the hub and writes history."""

from __future__ import annotations

import time

import ujson
from attrs import asdict, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.rounds import Rounds
from telemetry_twisted.store.database.opening import open_database
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link
from telemetry_twisted.turns import Turns

from .listener import Listener
from .networks_told import NetworksTold
from .writer import Writer

STATUS_SECONDS = 0.5
"""How often the hub is told how the store fares, and how many raw events it has room for."""

NETWORK_SECONDS = 1.0
"""How often the hub is told how networks fare."""

UNHEARD_SECONDS = 0.05
"""How often to look whether the hub has read what it was told."""

STANDSTILL_SECONDS = 2.0
"""How long writing what is left may stand still when the server ends."""


@frozen
class Settings:
    """What the hub tells the store process first; never logged, for the password in it.

    ``server`` is a token of this life of the server, which the hub's client fills in.
    """

    database: str = field(repr=False)
    policy: Policy
    server: str = ""

    def encode(self) -> bytes:
        """The body of a ``SETTINGS`` record."""
        return ujson.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> Settings:
        """The settings in the body of a ``SETTINGS`` record."""
        value = ujson.loads(body)
        policy = value["policy"]
        policy["counts"] = {int(width): kept for width, kept in policy["counts"].items()}
        return cls(value["database"], Policy(**policy), value["server"])


class StoreProcess(Listener):
    """Feeds the writer from its end of the link, whose record handler it is, and tells the hub.

    ``ended`` fires when the link is gone and what was taken is written.
    """

    _log = Logger()

    def __init__(
        self, reactor: IServerReactor, errors: InternalErrors, now: Now = time.time
    ) -> None:
        self._reactor = reactor
        self._errors = errors
        self._now = now
        self._writer: Writer | None = None
        self._gone = False
        self._stopping: Deferred[None] | None = None
        self.ended: Deferred[None] = Deferred()

    def link_made(self, link: Link) -> None:
        self._link = link

    def record_received(self, kind: int, body: bytes) -> None:
        if kind == records.DRAIN:
            self.drain()
        elif kind == records.SETTINGS:
            self._start(Settings.decode(bytes(body)))
        elif self._writer is not None:
            self._writer.take(kind, body)

    def _start(self, settings: Settings) -> None:
        database = open_database(settings.database, self._reactor)
        self._most_raw = settings.policy.queue_events
        self._writer = Writer(
            database,
            settings.server,
            self._reactor,
            settings.policy,
            self._now,
            self._errors,
        )
        self._writer.start(self)
        self._reports = Rounds(self.tell, "report of the store", self._reactor, self._errors)
        self._reports.start(STATUS_SECONDS, now=True)
        told = NetworksTold(self._writer.collected, Turns(self._reactor), self._now, self._tell)
        self._networks = Rounds(told.look, "summary of networks", self._reactor, self._errors)
        self._networks.start(NETWORK_SECONDS)

    def _tell(self, record: bytes) -> None:
        if not self._gone:
            self._link.send(record)

    def tell(self) -> None:
        """Tell the hub how the store fares."""
        if self._writer is None or self._gone:
            return
        status = self._writer.status()
        room = max(0, self._most_raw - status["queue_events"])
        more = {"raw_room": room, "internal_errors": self._errors.counts}
        self._link.send(records.encode_json(records.STORE_STATUS, {**status, **more}))

    async def heard(self) -> None:
        """Wait until what was told is out of this process, or there is nobody to hear it."""
        while self._link.backlog and not self._gone:
            await deferLater(self._reactor, UNHEARD_SECONDS)

    def over(self) -> None:
        """Have the hub start another process."""
        self.drain()

    def records_done(self) -> None:
        pass

    def link_lost(self, reason: Failure) -> None:
        self._gone = True
        self.drain().addCallback(self.ended.callback)

    def drain(self) -> Deferred[None]:
        """Write what was taken, then let go of the link; the Deferred fires when that is done."""
        if self._stopping is None:
            self._stopping = Deferred.fromCoroutine(self._stop())
        done: Deferred[None] = Deferred()
        self._stopping.addBoth(done.callback)
        return done

    async def _stop(self) -> None:
        if self._writer is not None:
            self._networks.stop()
            try:
                await self._writer.stop(STANDSTILL_SECONDS)
            except Exception:
                self._log.failure("the last of history was not written")
            self._reports.stop()  # until then the hub hears that it goes on
        self._link.close()
