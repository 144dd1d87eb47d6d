"""What sums of observations are made of: one class for each table that they go to.

Their columns are told in :mod:`telemetry_twisted.store.schema.sum_tables`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import define, field, frozen

from telemetry_twisted.store.tallies import Tally, add, pack_tally


@define
class NetworkSums:
    """What was observed in a network."""

    outcomes: Tally = field(factory=dict)
    events: Tally = field(factory=dict)
    withheld: Tally = field(factory=dict)
    totals: Tally = field(factory=dict)
    latencies: Tally = field(factory=dict)

    def update(self, other: NetworkSums) -> None:
        """Add ``other``."""
        add(self.outcomes, other.outcomes)
        add(self.events, other.events)
        add(self.withheld, other.withheld)
        add(self.totals, other.totals)
        add(self.latencies, other.latencies)

    def add_node(self, node: NodeSums) -> None:
        """Add what was observed of one of its nodes."""
        add(self.outcomes, node.outcomes)
        add(self.withheld, node.withheld)
        add(self.totals, node.totals)
        add(self.latencies, node.latencies)


@define
class NodeSums:
    """What was observed of a node; ``clock`` bounds by how much what it sent arrived after the
    time that it said, in microseconds, None where none of its times could be used."""

    clock: tuple[int, int] | None = None
    outcomes: Tally = field(factory=dict)
    withheld: Tally = field(factory=dict)
    totals: Tally = field(factory=dict)
    latencies: Tally = field(factory=dict)

    def update(self, other: NodeSums) -> None:
        """Add ``other``."""
        if other.clock is not None:
            self.bound(*other.clock)
        add(self.outcomes, other.outcomes)
        add(self.withheld, other.withheld)
        add(self.totals, other.totals)
        add(self.latencies, other.latencies)

    def bound(self, least: int, greatest: int) -> None:
        """What it sent arrived after from ``least`` to ``greatest``."""
        if self.clock is not None:
            least, greatest = min(least, self.clock[0]), max(greatest, self.clock[1])
        self.clock = least, greatest


@define
class CoreSums:
    """What was observed of a core; ``guarantors`` are told by their node IDs."""

    events: Tally = field(factory=dict)
    outcomes: Tally = field(factory=dict)
    guarantors: dict[str, int] = field(factory=dict)
    costs: Tally = field(factory=dict)
    totals: Tally = field(factory=dict)
    latencies: Tally = field(factory=dict)

    def update(self, other: CoreSums) -> None:
        """Add ``other``."""
        add(self.events, other.events)
        add(self.outcomes, other.outcomes)
        for node_id, number in other.guarantors.items():
            self.guarantees(node_id, number)
        add(self.costs, other.costs)
        add(self.totals, other.totals)
        add(self.latencies, other.latencies)

    def guarantees(self, node_id: str, number: int) -> None:
        """A node built so many guarantees for the core."""
        self.guarantors[node_id] = self.guarantors.get(node_id, 0) + number


@frozen
class ByNode:
    """A tally by node, to be packed for its row when the nodes are numbered."""

    by_node: Mapping[str, int]

    @property
    def node_ids(self) -> Iterator[str]:
        """The IDs of the nodes."""
        return iter(self.by_node)

    def pack(self, numbers: Mapping[str, int]) -> bytes:
        """The tally, packed."""
        return pack_tally({numbers[node_id]: n for node_id, n in self.by_node.items()})


@define
class ServiceSums:
    """What a service cost."""

    costs: Tally = field(factory=dict)

    def update(self, other: ServiceSums) -> None:
        """Add ``other``."""
        add(self.costs, other.costs)
