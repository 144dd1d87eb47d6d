"""Everything history learns from the link but raw events, merged in memory until it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ujson
from attrs import define, evolve, frozen

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.jip3.cores import believed
from telemetry_twisted.store.packed import pack
from telemetry_twisted.store.schema.tables import (
    CONNECTIONS,
    COUNTS,
    FAILURES,
    FAULTS,
    LATEST,
    NODES,
    RAW_SHARE,
    SLOTS,
    STATE_COLUMNS,
    STATES,
    WHOLE_NETWORK,
    Row,
    Table,
)
from telemetry_twisted.transport import records

from .changes import Changes, Section
from .counts import Buckets, Counts, Place, Sum
from .facts import Facts, Origin, clean
from .faults import FaultCount, FaultKey, Faults
from .spread import Slot

MOST_NUMBERS = 100_000
"""Numbers of nodes that are remembered; the database has those of all others."""


@define
class Share:
    """Of the events of a while: those the hub saw, offered to the store, and the store dropped."""

    seen: int = 0
    offered: int = 0
    dropped: int = 0

    def update(self, other: Share) -> None:
        """Add ``other``."""
        self.seen += other.seen
        self.offered += other.offered
        self.dropped += other.dropped

    @property
    def kept(self) -> float | None:
        """The share that the store kept; None where there was nothing."""
        return (self.offered - self.dropped) / self.seen if self.seen else None


@frozen
class Connection:
    """A connection of a node: where from, and how it ended if it has. Times in microseconds."""

    node_id: str
    started: int
    address: str
    ended: int | None = None
    reason: str | None = None


@frozen
class Node:
    """What a node said of itself when it last connected, and when it was seen (microseconds)."""

    address: str
    info: dict[str, Any]
    cores: int | None
    version: int
    first_seen: int
    last_seen: int


@frozen
class Numbers:
    """What makes rows of what was gathered: the run of each stretch of the wall clock, and the
    number of each node ID.

    The first run is that of the process; the others are there for buckets alone.
    """

    runs: Sequence[int]
    nodes: Mapping[str, int]

    @property
    def run(self) -> int:
        """The run of the process."""
        return self.runs[0]


class Gathering:
    """Takes the records of the link and lists, in ``sections``, what there is to write.

    ``nodes`` holds the numbers of node IDs, as far as they are known here: of those that are gone
    they are forgotten when there are more than :data:`MOST_NUMBERS`. ``stretch`` numbers the
    stretches in which the wall clock only went forward, from 0.
    """

    def __init__(self) -> None:
        self.stretch = 0
        self.nodes: dict[str, int] = {"": WHOLE_NETWORK}
        self.share: Buckets[None, Share] = Buckets(10, Share)
        self._origins: dict[int, Origin] = {}
        self._connected: dict[int, tuple[Node, Connection]] = {}
        self._nodes: Changes[str, Node] = Changes()
        self._connections: Changes[tuple[str, int], Connection] = Changes()
        self._counts = Counts(COUNTS)
        self._facts = Facts()
        self._faults = {width: Faults(width) for width in FAULTS}
        self.sections = (
            Section(self._nodes, NODES, _node_row),
            Section(self._connections, CONNECTIONS, _connection_row, lambda item: item[1].node_id),
            *(
                Section(self._counts.by_width[width], table, _count_row, lambda item: item[1])
                for width, table in COUNTS.items()
            ),
            Section(self._facts.latest, LATEST, _latest_row, lambda item: item[0][0]),
            Section(self._facts.states, STATES, _state_row, lambda item: item[1]),
            Section(self._facts.spreads, SLOTS, _slot_row),
            *(
                Section(self._facts.failures[width], table, _failure_row)
                for width, table in FAILURES.items()
            ),
            *(
                Section(self._faults[width], table, _fault_row, lambda item: item[1][0])
                for width, table in FAULTS.items()
            ),
            Section(self.share, RAW_SHARE, _share_row),
        )

    def take(self, kind: int, body: bytes, now: float) -> None:
        """Take a record that came at ``now``; kinds that are not gathered are passed over."""
        if kind == records.FACTS:
            self._take_facts(records.Facts.decode(body))
        elif kind == records.COUNTS:
            self._take_counts(records.decode_json(body))
        elif kind == records.STATE:
            self._take_states(records.decode_json(body))
        elif kind == records.FAULTS:
            self._take_faults(records.decode_json(body), int(now * 1_000_000))
        elif kind == records.NODE_CONNECTED:
            self._node_connected(records.decode_json(body))
        elif kind == records.NODE_GONE:
            self._node_gone(records.decode_json(body))
        elif kind == records.SAMPLED:
            sampled = records.decode_json(body)
            share = Share(sampled["seen"], sampled["kept"])
            self.share.at(int(sampled["received"]), None).update(share)

    def clock_set_back(self) -> None:
        """The wall clock was set back: seconds that have been will be again."""
        self._fold()
        self.stretch += 1
        for buckets in self._buckets():
            buckets.clock_set_back()

    def _buckets(self) -> Iterator[Buckets[Any, Any]]:
        yield from self._counts.by_width.values()
        yield self._facts.states
        yield from self._facts.failures.values()
        yield from self._faults.values()
        yield self.share

    def node_at(self, handle: int) -> str:
        """The ID of the node that ``handle`` stands for, empty if there was none."""
        origin = self._origins.get(handle)
        return origin.node_id if origin else ""

    def _take_facts(self, facts: records.Facts) -> None:
        for handle, content in facts.messages:
            origin = self._origins.get(handle)
            if origin is not None:
                self._facts.take(origin, content, facts.received)

    def _take_counts(self, body: dict[str, Any]) -> None:
        received = int(body["received"])
        for handle, by_type in body["counts"].items():
            node_id = self.node_at(int(handle))
            if node_id:
                self._counts.add(received, node_id, by_type)
            self._counts.add(received, "", by_type)

    def _take_states(self, states: dict[str, dict[str, Any]]) -> None:
        for handle, state in states.items():
            node, connection = self._connected.get(int(handle), (None, None))
            cores = state.get("cores")
            if node is not None and node.cores is None and cores is not None:
                assert connection is not None
                node = evolve(node, cores=cores)
                self._connected[int(handle)] = node, connection
                self._nodes[connection.node_id] = node

    def _take_faults(self, faults: list[dict[str, Any]], now: int) -> None:
        for fault in faults:
            for faults_by_time in self._faults.values():
                faults_by_time.enter(fault, now)

    def _node_connected(self, body: dict[str, Any]) -> None:
        node_id, started, handle = body["node_id"], body["connected"], body["handle"]
        address = clean(body["address"])
        cores = believed(body["cores"])
        node = Node(address, body["info"], cores, body["version"], started, started)
        connection = Connection(node_id, started, address)
        self._origins[handle] = Origin(node_id, cores, body["version"])
        self._connected[handle] = node, connection
        self._nodes[node_id] = node
        self._connections[node_id, started] = connection

    def _node_gone(self, body: dict[str, Any]) -> None:
        # The handle goes on standing for the node, for what is still on its way from its process.
        node, connection = self._connected.get(body["handle"], (None, None))
        if node is None or connection is None or connection.node_id != body["node_id"]:
            return  # its coming was lost on the way here
        del self._connected[body["handle"]]
        ended = body["disconnected"]
        self._nodes[connection.node_id] = evolve(node, last_seen=ended)
        self._connections[connection.node_id, connection.started] = evolve(
            connection, ended=ended, reason=clean(body["reason"])
        )
        self._facts.forget(connection.node_id)

    def take_changes(self) -> list[tuple[Section, list[Any]]]:
        """What has changed since it was last taken, by section."""
        self._fold()
        return [(section, section.source.take()) for section in self.sections]

    def _fold(self) -> None:
        self._counts.fold()
        self._facts.fold()

    def put_back(self, taken: list[tuple[Section, list[Any]]]) -> None:
        """What was taken could not be written, or perhaps was."""
        for section, items in taken:
            section.source.put_back(items)

    def node_ids(self, taken: list[tuple[Section, list[Any]]]) -> set[str]:
        """Whose numbers the rows hold that what was taken is written as."""
        return {
            section.node_id(item)
            for section, items in taken
            if section.node_id is not None
            for item in items
        }

    def rows(
        self,
        taken: list[tuple[Section, list[Any]]],
        runs: Sequence[int],
        errors: InternalErrors,
    ) -> list[tuple[Table, list[Row]]]:
        """The rows by table that what was taken is written as, ``runs`` being those by stretch.

        What cannot be made a row of is left out, and counted among ``errors``.
        """
        numbers = Numbers(runs, self.nodes)

        def one_by_one(section: Section, items: list[Any]) -> Iterator[Row]:
            for item in items:
                with errors.kept_at("row of history"):
                    yield section.row(item, numbers)

        def made(section: Section, items: list[Any]) -> list[Row]:
            try:
                return [section.row(item, numbers) for item in items]
            except Exception:
                return [*one_by_one(section, items)]

        return [(section.table, made(section, items)) for section, items in taken if items]

    def settle(self, now: float) -> None:
        """Let go of what is written and changes no more."""
        self._fold()
        for section in self.sections:
            section.source.settle(now)
        if len(self.nodes) > MOST_NUMBERS:
            kept = {"", *(origin.node_id for origin in self._origins.values())}
            self.nodes = {key: self.nodes[key] for key in kept & self.nodes.keys()}


def _node_row(item: tuple[str, Node], _: Numbers) -> Row:
    node_id, node = item
    info = node.info
    return (
        node_id,
        node.address,
        clean(info["implementation_name"]),
        clean(info["implementation_version"]),
        clean(info["gp_version"]),
        node.version,
        node.cores,
        info["flags"],
        ujson.dumps(info, escape_forward_slashes=False),
        node.first_seen,
        node.last_seen,
    )


def _connection_row(item: tuple[tuple[str, int], Connection], numbers: Numbers) -> Row:
    _, made = item
    node = numbers.nodes[made.node_id]
    return (node, made.started, numbers.run, made.address, made.ended, made.reason)


def _count_row(item: tuple[Place, str, Counter[int]], numbers: Numbers) -> Row:
    (stretch, bucket), node_id, counts = item
    node = numbers.nodes[node_id]
    return (bucket, node, numbers.runs[stretch], sum(counts.values()), pack(counts))


def _latest_row(item: tuple[tuple[str, int], tuple[int, dict[str, Any]]], numbers: Numbers) -> Row:
    (node_id, kind), (at, fields) = item
    return (numbers.nodes[node_id], kind, at, ujson.dumps(fields))


def _state_row(item: tuple[Place, str, dict[str, int]], numbers: Numbers) -> Row:
    (stretch, bucket), node_id, state = item
    return (bucket, numbers.nodes[node_id], numbers.runs[stretch], *map(state.get, STATE_COLUMNS))


def _slot_row(item: tuple[int, int, Slot], numbers: Numbers) -> Row:
    kind, number, handle = item
    return (kind, number, numbers.run, *handle.row())


def _failure_row(item: tuple[Place, tuple[int, str], Sum], numbers: Numbers) -> Row:
    (stretch, bucket), (kind, reason), failures = item
    return (bucket, kind, reason, numbers.runs[stretch], failures.value)


def _fault_row(item: tuple[Place, FaultKey, FaultCount], numbers: Numbers) -> Row:
    (stretch, bucket), (node_id, kind, discriminator, reason), count = item
    return (
        bucket,
        numbers.nodes[node_id],
        kind,
        discriminator,
        reason,
        numbers.runs[stretch],
        count.faults,
        count.last_seen,
        count.offset,
        count.excerpt,
    )


def _share_row(item: tuple[Place, None, Share], numbers: Numbers) -> Row:
    (stretch, bucket), _, share = item
    return (bucket, numbers.runs[stretch], share.seen, share.offered, share.dropped)
