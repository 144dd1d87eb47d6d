"""Series by node for Prometheus, written a few at a time.

With a thousand nodes they are more than ten thousand lines: what makes objects of samples would
keep the reactor for a tenth of a second. A node ID is hex digits, so nothing has to be escaped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

from attrs import frozen

from telemetry_twisted.hub.node_totals import NodeTotals
from telemetry_twisted.turns import Turns, pieces

from .server import PREFIX

NodesAsked = Callable[[], Iterable[NodeTotals]]
"""Tells of nodes, those that are connected first."""

Value = float | int | None

BOUNDED = "At most --max-nodes nodes, those that are connected before those that left."
"""What the help of every such metric ends with."""


@frozen
class Family:
    """A metric: its name, type and help, and its value for a node at a time (Unix time); there is
    none where that is None."""

    name: str
    type: str
    help: str
    value: Callable[[NodeTotals, float], Value]

    def head(self, openmetrics: bool) -> str:
        """The lines that come before its series."""
        name = self.name
        if self.type == "counter" and not openmetrics:
            name += "_total"
        return f"# HELP {name} {self.help} {BOUNDED}\n# TYPE {name} {self.type}\n"

    def lines(self, nodes: Sequence[NodeTotals], now: float) -> str:
        """The series of some nodes."""
        name = f"{self.name}_total" if self.type == "counter" else self.name
        value = self.value
        return "".join(
            [
                f'{name}{{node="{node.node_id}"}} {told}\n'
                for node in nodes
                if (told := value(node, now)) is not None
            ]
        )


@frozen
class Summary(Family):
    """A metric of ``number`` values, which are ``value`` together."""

    number: Callable[[NodeTotals], int]

    def lines(self, nodes: Sequence[NodeTotals], now: float) -> str:
        return "".join(
            [
                f'{self.name}_count{{node="{node.node_id}"}} {self.number(node)}\n'
                f'{self.name}_sum{{node="{node.node_id}"}} {self.value(node, now)}\n'
                for node in nodes
            ]
        )


def _slot(of: str) -> Callable[[NodeTotals, float], Value]:
    def slot(node: NodeTotals, _: float) -> Value:
        block = None if node.connection is None else getattr(node.connection, of)
        return None if block is None else int(block["slot"])

    return slot


def _synced(node: NodeTotals, _: float) -> Value:
    connection = node.connection
    return None if connection is None or connection.synced is None else int(connection.synced)


def _clock_offset(node: NodeTotals, now: float) -> Value:
    offset = None if node.connection is None else node.clock_offset(now)
    return None if offset is None else offset / 1_000_000


_NODE = f"{PREFIX}node_"

FAMILIES: tuple[Family, ...] = (
    Family(
        f"{_NODE}connected",
        "gauge",
        "1 for a node that is connected, 0 for one that left within a day.",
        lambda node, _: int(node.connection is not None),
    ),
    Family(
        f"{_NODE}best_slot",
        "gauge",
        "Slot of the newest best block that a connected node told of.",
        _slot("best"),
    ),
    Family(
        f"{_NODE}finalized_slot",
        "gauge",
        "Slot of the newest finalized block that a connected node told of.",
        _slot("finalized"),
    ),
    Family(f"{_NODE}synced", "gauge", "Whether a connected node says that it is in sync.", _synced),
    Family(
        f"{_NODE}peers",
        "gauge",
        "Peers that a connected node told of in its last Status.",
        lambda node, _: None if node.connection is None else node.connection.peers,
    ),
    Family(
        f"{_NODE}clock_offset_seconds",
        "gauge",
        "By how much events of a connected node arrived after the time that they say, at least, "
        "over the last minutes: negative where its clock is ahead.",
        _clock_offset,
    ),
    Family(
        f"{_NODE}events",
        "counter",
        "Events that came from a node since the server began.",
        lambda node, _: node.events,
    ),
    Family(
        f"{_NODE}failures",
        "counter",
        "Events of a node that report a failure.",
        lambda node, _: node.failures,
    ),
    Family(
        f"{_NODE}dropped",
        "counter",
        "Events that a node said it dropped itself.",
        lambda node, _: node.dropped,
    ),
    Family(
        f"{_NODE}rate_limited",
        "counter",
        "Events of a node above the rate limit, dropped.",
        lambda node, _: node.rate_limited,
    ),
    Summary(
        f"{_NODE}import_seconds",
        "summary",
        "How long a node took to import blocks, from Importing to BlockExecuted.",
        lambda node, _: node.import_microseconds / 1_000_000,
        lambda node: node.imports,
    ),
)
"""All that is told by node."""


async def node_families(
    nodes: Iterable[NodeTotals], now: float, turns: Turns, openmetrics: bool
) -> AsyncIterator[bytes]:
    """The text of all :data:`FAMILIES`, a piece at a time.

    :param openmetrics: whether it is OpenMetrics, or the format of Prometheus before that.
    """
    told = list(pieces(nodes))

    def texts() -> Iterator[str]:
        for family in FAMILIES:
            yield family.head(openmetrics)
            yield from (family.lines(piece, now) for piece in told)

    async for text in turns.steps(texts()):
        yield text.encode()
