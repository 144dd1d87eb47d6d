"""Every store test runs on SQLite and on a real PostgreSQL that is started here."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, cast

import pytest
import pytest_twisted
from attrs import define
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, LoopingCall, deferLater

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.database.opening import open_database
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.store.write.pace import COMMIT_SECONDS
from telemetry_twisted.store.write.raw import Waiting
from telemetry_twisted.store.write.writer import Writer
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.transport import records


@pytest.fixture
def make_database() -> Iterator[Callable[[str], Database]]:
    """Makes databases that are closed when the test is over."""
    made: list[Database] = []

    def make(url: str) -> Database:
        database = open_database(url, cast(IServerReactor, reactor))
        made.append(database)
        return database

    yield make
    for database in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(database.close()))


@pytest.fixture
def database(database_url: str, make_database: Callable[[str], Database]) -> Database:
    """An empty database of either kind."""
    return make_database(database_url)


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits until a condition holds, for at most so many seconds."""

    async def wait(condition: Callable[[], object], seconds: float = 20) -> None:
        clock = cast(IServerReactor, reactor)
        deadline = clock.seconds() + seconds
        while not condition():
            assert clock.seconds() < deadline, "the condition did not come true"
            await deferLater(clock, 0.01)

    return wait


_servers = count()

NOW = 1_795_506_120
"""Unix time at which tests begin: a whole minute."""

CORES = 2
ZERO = "0x" + 64 * "0"


def genesis(network: int) -> str:
    """The genesis hash of a network."""
    return f"0x{network:064x}"


def _body(record: bytes) -> bytes:
    return record[records.PREFIX.size :]


@define
class Feed:
    """Gives a writer the records that a hub would."""

    take: Callable[[int, bytes], None]
    next_id: int = 1

    def _json(self, kind: int, value: object) -> None:
        self.take(kind, _body(records.encode_json(kind, value)))

    @staticmethod
    def node_id(handle: int) -> str:
        """The ID of the node that is always under ``handle``."""
        return f"{handle:02x}" * 32

    def connect(
        self, handle: int, at: float = NOW, cores: int | None = CORES, **info: object
    ) -> None:
        """A node comes."""
        known = {
            "implementation_name": "PolkaJam",
            "implementation_version": "0.1",
            "gp_version": "0.7.1",
            "flags": 0,
            "genesis": genesis(0),
        }
        self._json(
            records.NODE_CONNECTED,
            {
                "handle": handle,
                "node_id": self.node_id(handle),
                "connection": 1,
                "address": f"127.0.0.1:{5000 + handle}",
                "info": {**known, **info},
                "cores": cores,
                "version": 0,
                "connected": int(at * 1_000_000),
            },
        )

    def gone(self, handle: int, at: float = NOW, reason: str = "left") -> None:
        """It goes."""
        self._json(
            records.NODE_GONE,
            {
                "handle": handle,
                "node_id": self.node_id(handle),
                "connection": 1,
                "disconnected": int(at * 1_000_000),
                "reason": reason,
            },
        )

    def counts(self, counts: dict[int, dict[int, int]], at: float = NOW) -> None:
        """Counts by handle and type."""
        self._json(records.COUNTS, {"received": at, "counts": counts})

    def fact(self, handle: int, event: str, at: float = NOW, /, **fields: object) -> None:
        """A message, stamped by the node and read by the server ``at`` the same time."""
        self.fact_stamped(handle, event, at, at, **fields)

    def fact_stamped(
        self, handle: int, event: str, at: float, stamp: float, /, **fields: object
    ) -> None:
        """A message read ``at`` a time, with another ``stamp`` of the node's own clock."""
        time = round(stamp * 1_000_000) - COMMON_ERA
        content = frame(encode_event(event, time, fields, cores=CORES))
        received = round(at * 1_000_000)
        self.take(records.FACTS, _body(records.Facts(received, ((handle, content),)).encode()))

    def observed(self, at: float = NOW, **found: Any) -> None:
        """What was found by following chains in the second before ``at``: the fields of
        :class:`Observations`."""
        ended = round(at * 1_000_000)
        self.take(records.OBSERVATIONS, Observations(ended - 1_000_000, ended, **found).encode())

    def state(self, handle: int, **state: object) -> None:
        """What the hub was told of a node within a second."""
        self._json(records.STATE, {handle: state})

    def faults(self, *faults: dict[str, object]) -> None:
        """Faults."""
        self._json(records.FAULTS, faults)

    def sampled(self, seen: int, kept: int, at: float = NOW, lost: int = 0) -> None:
        """How many events were seen, and how many of them the store was given; ``lost`` were given
        to one before."""
        tally = {"received": at, "seen": seen, "kept": kept, "lost": lost}
        self._json(records.SAMPLED, tally)

    def losses(
        self,
        unread: dict[int, int],
        dropped: dict[int, dict[str, int]],
        rate_limited: dict[int, int] | None = None,
        at: float = NOW,
    ) -> None:
        """Failures whose reasons are not told by type, and what is not there by handle."""
        told = {"unread": unread, "dropped": dropped, "rate_limited": rate_limited or {}}
        self._json(records.COUNTS, {"received": at, "counts": {}, **told})

    def chunk(self, *events: tuple[int, int], at: float = NOW) -> None:
        """A chunk of events, each ``(handle, type)``."""
        messages = []
        for number, (handle, kind) in enumerate(events, self.next_id):
            name = TABLE.events[kind].name
            messages.append(
                f'{{"type":"event","data":{{"id":{number},"node_id":"{self.node_id(handle)}",'
                f'"event_id":{number},"event_type":{kind},"event":{{"{name}":{{"timestamp":1}}}}}},'
                f'"timestamp":"{rfc3339(at)}"}}'.encode()
            )
        chunk = records.Chunk(
            self.next_id,
            len(events),
            records.encode_runs((handle, 1) for handle, _ in events),
            bytes(kind for _, kind in events),
            struct.pack(f"<{len(messages)}I", *map(len, messages)),
            b",".join(messages),
        )
        self.next_id += len(events)
        self.take(records.CHUNK, _body(b"".join(chunk.encode())))


@pytest.fixture
def clock() -> Clock:
    """The time that writers live in."""
    clock = Clock()
    clock.advance(NOW)
    return clock


@pytest.fixture
def make_writer(clock: Clock) -> Iterator[Callable[..., Writer]]:
    """Starts writers that are stopped when the test is over."""
    made: list[Writer] = []

    def make(
        database: Database, now: Now = clock.seconds, server: str = "", **policy: Any
    ) -> Writer:
        server = server or f"server {next(_servers)}"
        writer = Writer(database, server, clock, Policy(**policy), now, InternalErrors(clock))
        writer.start()
        made.append(writer)
        return writer

    yield make
    for writer in reversed(made):
        stopped = Deferred.fromCoroutine(writer.stop(5))
        # One that cannot write, since another has taken over, tries again until its time is up.
        passing = LoopingCall(clock.advance, 1)
        begin = cast(IServerReactor, reactor).callLater(0.5, passing.start, 0.05)
        pytest_twisted.blockon(stopped)
        if begin.active():
            begin.cancel()
        if passing.running:
            passing.stop()


@pytest.fixture
def make_feed() -> Callable[[Writer], Feed]:
    """Feeds a writer."""
    return lambda writer: Feed(writer.take)


@pytest.fixture
def commit(clock: Clock, until: Callable[..., Any]) -> Callable[[Writer], Any]:
    """Lets a writer commit what it was given, and waits for it."""

    async def commit_now(writer: Writer) -> None:
        await until(lambda: writer.status()["commits"])
        before = writer.status()["commits"]
        writer._pace.hurry()  # whatever the one before took by this clock
        clock.advance(COMMIT_SECONDS)
        await until(lambda: writer.status()["commits"] > before)
        await until(lambda: not writer.status()["queue_events"])

    return commit_now


@pytest.fixture
def gather_chunks() -> Callable[..., list[Waiting]]:
    """Chunks as they wait to be written, ``every`` so many seconds, each of ``(handle, type)``."""

    def gather(*chunks: list[tuple[int, int]], every: float = 1.5) -> list[Waiting]:
        gathered: list[Waiting] = []

        def take(_: int, body: bytes) -> None:
            chunk = records.Chunk.decode(body)
            gathered.append(Waiting(chunk, tuple(Feed.node_id(handle) for handle, _ in chunk.runs)))

        feed = Feed(take)
        for number, events in enumerate(chunks):
            feed.chunk(*events, at=NOW + every * number)
        return gathered

    return gather
