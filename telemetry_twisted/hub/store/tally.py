"""What is in records, added up: how history says what it has not got."""

from __future__ import annotations

from attrs import asdict, astuple, define, field

from telemetry_twisted.jip3.observations import chains_in
from telemetry_twisted.transport import records


@define
class Tally:
    """Some records, and what they hold that would have become part of history.

    ``events`` are those that ``COUNTS`` count, ``facts`` the messages in ``FACTS``, ``faults``
    those that ``FAULTS`` count, ``chains`` those whose ends ``OBSERVATIONS`` tell, and
    ``connections`` those of nodes of which history has nothing, since both their beginning and
    their end are in such records.
    """

    records: int = 0
    events: int = 0
    facts: int = 0
    faults: int = 0
    connections: int = 0
    chains: int = 0

    def __bool__(self) -> bool:
        return any(astuple(self))

    def add(self, other: Tally) -> None:
        """Add ``other``."""
        self.records += other.records
        self.events += other.events
        self.facts += other.facts
        self.faults += other.faults
        self.connections += other.connections
        self.chains += other.chains

    def as_json(self) -> dict[str, int]:
        """By name."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.records} records ({self.events} events counted, {self.facts} facts, "
            f"{self.faults} faults, {self.connections} connections, {self.chains} chains)"
        )


def tally_of(kind: int, body: bytes | memoryview) -> Tally:
    """What is in a record that the store is given, connections apart."""
    tally = Tally(records=1)
    if kind == records.COUNTS:
        by_node = records.decode_json(body)["counts"].values()
        tally.events = sum(sum(by_type.values()) for by_type in by_node)
    elif kind == records.FACTS:
        tally.facts = sum(1 for _ in records.Facts.decode(body).messages)
    elif kind == records.FAULTS:
        tally.faults = sum(fault["count"] for fault in records.decode_json(body))
    elif kind == records.OBSERVATIONS:
        tally.chains = chains_in(body)
    return tally


@define
class Sampled:
    """Of raw events: how many were ``seen``, and how many of them the store was given (``kept``).

    ``lost`` are those that it had been given before and that went with a store process.
    """

    seen: int = 0
    kept: int = 0
    lost: int = 0

    def __bool__(self) -> bool:
        return any(astuple(self))

    def add(self, other: Sampled) -> None:
        """Add ``other``."""
        self.seen += other.seen
        self.kept += other.kept
        self.lost += other.lost

    def subtract(self, other: Sampled) -> None:
        """Take ``other`` away."""
        self.seen -= other.seen
        self.kept -= other.kept
        self.lost -= other.lost

    def as_json(self, received: float) -> dict[str, float]:
        """As in a ``SAMPLED`` record."""
        return {"received": received, **asdict(self)}

    @classmethod
    def of(cls, body: bytes | memoryview) -> Sampled:
        """What a ``SAMPLED`` record says."""
        told = records.decode_json(body)
        return cls(told["seen"], told["kept"], told["lost"])


@define
class Gap:
    """A part of the records that history has not got: ``lost`` is what was in them.

    ``began`` and ``ended`` bound when they came, in microseconds of Unix time.
    """

    began: int
    ended: int
    lost: Tally = field(factory=Tally)

    def merge(self, other: Gap) -> None:
        """Let it be a gap of what was lost in both."""
        self.began = min(self.began, other.began)
        self.ended = max(self.ended, other.ended)
        self.lost.add(other.lost)

    def as_json(self) -> dict[str, object]:
        """As in a ``RESUME`` record."""
        return asdict(self)


def merged(gap: Gap | None, other: Gap | None) -> Gap | None:
    """What was lost in either."""
    if gap is None or other is None:
        return gap or other
    gap.merge(other)
    return gap
