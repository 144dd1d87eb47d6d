"""What was counted of each node since the server began, whatever becomes of its connections.

A node that is gone is remembered, so that its totals go on when it comes again: they never become
less while the server runs, unless there are more nodes than are remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import define, field

from telemetry_twisted.clock import Now
from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.codec import FAILURE_TYPES
from telemetry_twisted.jip3.observations import clock_was_set, clocks_in, latencies_in
from telemetry_twisted.transport.totals import NodeCount

from .nodes import Node

REMEMBERED_SECONDS = 24 * 3600
"""How long after a node has gone its totals are remembered, as long as there is room for them."""

CLOCK_SECONDS = 150
"""The clock of a node is told by this window of time and the one before it."""

_IMPORT = next(n for n, each in enumerate(CHAINS.latencies) if each.name == "import")


@define(eq=False)
class NodeTotals:
    """The totals of one node, and its connection while it is there.

    ``events`` came of it, ``failures`` of them report one; ``dropped`` is how many others it said
    that it had dropped, ``rate_limited`` how many messages were passed over. It has imported
    ``imports`` blocks, in ``import_microseconds`` together. ``gone`` is when its last connection
    ended, in seconds of Unix time.
    """

    node_id: str
    connection: Node | None = None
    gone: float = 0.0
    events: int = 0
    failures: int = 0
    dropped: int = 0
    rate_limited: int = 0
    imports: int = 0
    import_microseconds: int = 0
    _clock: tuple[int, int] | None = None
    _clock_before: tuple[int, int] | None = None

    def add(self, count: NodeCount) -> None:
        """Count what came."""
        self.events += count.events
        self.failures += count.failures
        self.dropped += count.dropped
        self.rate_limited += count.rate_limited

    def clock_told(self, window: int, least: int) -> None:
        """Events arrived at least so many microseconds after the time that they say."""
        if self._clock is None or self._clock[0] != window:
            self._clock_before, self._clock = self._clock, (window, least)
        elif least < self._clock[1]:
            self._clock = window, least

    def server_clock_set(self) -> None:
        """What was told was by another clock."""
        self._clock = self._clock_before = None

    def clock_offset(self, now: float) -> int | None:
        """By how many microseconds its events arrived at least after the time that they say, over
        the last minutes; None where nothing told. ``now`` is Unix time."""
        windows = (window_of(now), window_of(now) - 1)
        told = (each for each in (self._clock, self._clock_before) if each is not None)
        return min((least for window, least in told if window in windows), default=None)


def window_of(seconds: float) -> int:
    """The window of time in which the clocks of nodes are told."""
    return int(seconds) // CLOCK_SECONDS


@define(eq=False)
class AllTotals:
    """The totals of nodes that are connected, and of others as far as there is room: ``most``
    together, and of those that are gone the last."""

    most: int
    now: Now
    _by_handle: dict[int, NodeTotals] = field(init=False, factory=dict)
    _gone: dict[str, NodeTotals] = field(init=False, factory=dict)

    def __iter__(self) -> Iterator[NodeTotals]:
        """Those of nodes that are connected, then those of others, who left last first."""
        self._forget()
        yield from self._by_handle.values()
        yield from reversed(self._gone.values())

    def node_connected(self, node: Node) -> None:
        """What comes under the node's handle is of that node from now on."""
        totals = self._gone.pop(node.node_id, None) or NodeTotals(node.node_id)
        totals.connection = node
        self._by_handle[node.handle] = totals
        self._forget()

    def node_gone(self, node: Node) -> None:
        """Nothing of it follows."""
        totals = self._by_handle.pop(node.handle, None)
        if totals is not None:
            totals.connection = None
            totals.gone = self.now()
            self._gone[totals.node_id] = totals
            self._forget()

    def _forget(self) -> None:
        old = self.now() - REMEMBERED_SECONDS
        while self._gone:
            first = next(iter(self._gone.values()))
            if len(self._by_handle) + len(self._gone) <= self.most and first.gone > old:
                break
            del self._gone[first.node_id]

    def add(self, counts: Iterable[NodeCount]) -> None:
        """Count what came of nodes, by their handles."""
        for count in counts:
            totals = self._by_handle.get(count.handle)
            if totals is not None:
                totals.add(count)

    def observe(self, body: bytes) -> None:
        """Add what an ``OBSERVATIONS`` record says of imports and clocks; the rest is not read."""
        for row in latencies_in(body, _IMPORT):
            totals = self._by_handle.get(row.handle)
            if totals is not None:
                totals.imports += row.times
                totals.import_microseconds += row.sum
        if clock_was_set(body):
            for totals in self:
                totals.server_clock_set()
            return
        window = window_of(self.now())
        for handle, least, _ in clocks_in(body):
            totals = self._by_handle.get(handle)
            if totals is not None:
                totals.clock_told(window, least)


def counts_by_node(counts: Mapping[int, Mapping[int, int]]) -> Iterator[NodeCount]:
    """What came of nodes, of events by handle and type."""
    for handle, by_type in counts.items():
        failures = sum(by_type[kind] for kind in FAILURE_TYPES & by_type.keys())
        yield NodeCount(handle, sum(by_type.values()), failures)
