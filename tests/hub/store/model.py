"""A model of the store process and its database, by which the hub's client of it is tried."""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define, evolve, field
from twisted.python.failure import Failure

from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.hub.store.tally import Sampled, Tally, tally_of
from telemetry_twisted.testing import MemoryLink
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import hand_over

Told = tuple[int, dict[int, str]]
"""What a RESUME has told: the number up to which all is taken, and who is connected there."""


@define
class Written:
    """What a commit adds to the database."""

    tally: Tally = field(factory=Tally)
    gaps: Tally = field(factory=Tally)
    connections: set[str] = field(factory=set)
    sampled: Sampled = field(factory=Sampled)

    def add(self, other: Written) -> None:
        self.tally.add(other.tally)
        self.gaps.add(other.gaps)
        self.connections |= other.connections
        self.sampled.add(other.sampled)


@define
class ModelDatabase:
    """What is committed; ``tallies`` is what was written in all at each position."""

    position: int = 0
    written: Written = field(factory=Written)
    tallies: dict[int, Tally] = field(factory=lambda: {0: Tally()})
    raw: Counter[str] = field(factory=Counter)

    def commit(self, position: int, more: Written) -> None:
        self.written.add(more)
        self.position = position
        self.tallies[position] = evolve(self.written.tally)


class ModelProcess(MemoryLink):
    """One run of the store process. What it has not read lies in ``inbox``.

    ``resumes`` are what it was told by ``RESUME``.
    """

    def __init__(
        self, client: StoreClient, database: ModelDatabase, room: int, window: int
    ) -> None:
        super().__init__()
        self.database = database
        self.resumes: list[Told] = []
        self.drained = False
        self._client = client
        self._room = room
        self._window = window
        self._inbox: list[tuple[int, bytes]] = []
        self._paused = False
        self._taken: int | None = None
        self._attempt: tuple[int, Written] | None = None
        self._fresh = Written()
        self._view: dict[int, str] = {}
        self._handles: dict[int, str] = {}
        self._opened = False
        self._raw: Counter[str] = Counter()
        self._raw_taken = 0
        self._raw_dropped = 0
        client.link_made(self)

    @property
    def unread(self) -> int:
        return len(self._inbox)

    @property
    def opened(self) -> bool:
        return self._opened

    @property
    def attempts(self) -> bool:
        return self._attempt is not None

    def send(self, *pieces: bytes) -> None:
        before = len(self.sent)
        super().send(*pieces)
        self._inbox += self.sent[before:]
        self.sent.clear()
        if len(self._inbox) > self._window and not self._paused:
            self._paused = True
            assert self.producer is not None
            self.producer.pauseProducing()

    def read(self, number: int) -> None:
        """Take so many records into memory."""
        some, self._inbox = self._inbox[:number], self._inbox[number:]
        for kind, body in some:
            self._take(kind, body)
        if self._paused and len(self._inbox) <= self._window // 2:
            self._paused = False
            assert self.producer is not None
            self.producer.resumeProducing()

    def _take(self, kind: int, body: bytes) -> None:
        if kind == records.SETTINGS:
            assert records.decode_json(body)["server"]
        elif kind == records.DRAIN:
            self.drained = True
        elif kind == records.RESUME:
            self._resume(records.decode_json(body))
        elif kind == records.CHUNK:
            self._take_chunk(records.Chunk.decode(body))
        else:
            assert self._taken is not None, "a record came before RESUME"
            self._taken += 1
            self._fresh.tally.add(tally_of(kind, body))
            self._note(kind, body)

    def _note(self, kind: int, body: bytes) -> None:
        if kind == records.NODE_CONNECTED:
            self._connected(records.decode_json(body))
        elif kind == records.NODE_GONE:
            gone = records.decode_json(body)
            # The handle goes on standing for the node, for what is still on its way.
            assert self._view.pop(gone["handle"]) == gone["node_id"]
        elif kind == records.SAMPLED:
            self._fresh.sampled.add(Sampled.of(body))

    def _resume(self, told: dict[str, Any]) -> None:
        number = told["first"] - 1
        assert self._taken is None or number == self._taken + 1, "records are missing"
        assert number >= self.database.position
        self._taken = number
        self._view = {}
        self._handles = {}
        for node in told["nodes"]:
            self._connected(node)
        self.resumes.append((number, dict(self._view)))
        if told["gap"] is not None:
            assert told["gap"]["began"] <= told["gap"]["ended"]
            self._fresh.gaps.add(Tally(**told["gap"]["lost"]))

    def _connected(self, node: dict[str, Any]) -> None:
        self._view[node["handle"]] = self._handles[node["handle"]] = node["node_id"]
        self._fresh.connections.add(f"{node['node_id']} {node['connection']}")

    def _take_chunk(self, chunk: records.Chunk) -> None:
        self._raw_taken += chunk.count
        names = [self._handles[handle] for handle, count in chunk.runs for _ in range(count)]
        assert [message.decode() for message in chunk.each()] == names, "events of another node"
        room = max(0, self._room - self._raw.total())
        self._raw.update(names[:room])
        self._raw_dropped += len(names[room:])

    def open(self) -> None:
        """The database is there."""
        self._opened = True
        self.say()

    def begin(self) -> None:
        """Say what is to be committed."""
        assert self._taken is not None
        self._attempt = self._taken, self._fresh
        self._fresh = Written()
        self.say()

    def end(self, committed: bool, known: bool = True) -> None:
        """The commit has come about or not, which is known to the process or not."""
        assert self._attempt is not None
        position, written = self._attempt
        if committed:
            self.database.commit(position, written)
        if known:
            self._attempt = None
            if not committed:
                written.add(self._fresh)
                self._fresh = written
            self.say()

    def write_raw(self) -> None:
        """Write the raw events that it has."""
        self.database.raw.update(self._raw)
        self.database.raw["dropped"] += self._raw_dropped
        self._raw.clear()
        self._raw_dropped = 0

    def say(self) -> None:
        """Tell the hub how it fares."""
        raw = self.database.raw
        dropped = raw["dropped"]
        status = {
            "state": "ok" if self._opened else "starting",
            "taken": self._taken,
            "attempting": None if self._attempt is None else self._attempt[0],
            "position": self.database.position if self._opened else None,
            "raw_room": max(0, self._room - self._raw.total()),
            "raw_taken": self._raw_taken,
            "raw_written": raw.total() - dropped if self._opened else None,
            "raw_dropped": dropped + self._raw_dropped if self._opened else None,
        }
        record = records.encode_json(records.STORE_STATUS, status)
        hand_over(memoryview(record), self._client)

    def die(self, reason: str = "killed by SIGKILL") -> None:
        """End without another word."""
        self._client.link_lost(Failure(ConnectionError()))
        self._client.process_ended(reason)
