"""What is found by following chains: the rows that ingestion processes tell once a second.

:mod:`.observations` is how they travel. Those that count have distinct keys; their sums stop at
:data:`MOST_SUM`. A *handle* stands for a connected node, a *network* for a genesis hash, of which
it is the index in :attr:`.Observations.networks`; a *core* is :data:`NO_CORE` where none is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from .table import TABLE, Pair, Seq, Struct, Type

NO_CORE = 0xFFFF
"""Stands for a core that is not known."""

NO_EVENT = 2**64 - 1
"""Stands for the ID of an event that there is none of."""

MOST_SUM = 2**63 - 1
"""The largest sum: no network has one that is larger, and no database holds it."""


class Outcome(IntEnum):
    """How a chain ended: well, badly, not at all (it expired, or its connection ended), or it was
    forgotten since its node had too many open."""

    SUCCESS = 0
    FAILURE = 1
    UNFINISHED = 2
    FORGOTTEN = 3


class Phase(IntEnum):
    """What a service's code was executed for."""

    AUTHORIZE = 0
    REFINE = 1
    ACCUMULATE = 2


class Withheld(IntEnum):
    """What is not told, only counted.

    ``SIGHTINGS`` for which the node or the process had no allowance; latencies whose
    ``TIME_BACKWARDS`` ran; ``ORPHANS``, events whose reference is to what is not known (any more);
    ``ROWS``, what would have needed a row too many; ``COSTS`` whose service is not known.
    """

    SIGHTINGS = 0
    TIME_BACKWARDS = 1
    ORPHANS = 2
    ROWS = 3
    COSTS = 4


class OutcomeCount(NamedTuple):
    """How many chains of a node with a root of type ``root`` ended with an :class:`Outcome`."""

    handle: int
    root: int
    outcome: int
    core: int
    times: int


class LatencyCount(NamedTuple):
    """How often a node took as long as ``bin`` says (:mod:`.bins`), and all those times together.

    ``latency`` is its number (:attr:`.Chains.latencies`), ``sum`` in microseconds.
    """

    handle: int
    latency: int
    core: int
    bin: int
    times: int
    sum: int


class CoreCount(NamedTuple):
    """How many events of a ``type`` a node had of which the core is known."""

    handle: int
    type: int
    core: int
    times: int


class Cost(NamedTuple):
    """What executing a ``service`` took: so many ``times``, and the sums of what they say.

    ``phase`` is a :class:`Phase`, whose :data:`LEAVES` name the ``sums`` in order.
    """

    network: int
    phase: int
    service: int
    core: int
    times: int
    sums: tuple[int, ...]


class Clock(NamedTuple):
    """The ``least`` and ``greatest`` arrival of a node's events after their own time, in
    microseconds, which may be negative."""

    handle: int
    least: int
    greatest: int


class Sighting(NamedTuple):
    """An event, and where in its chain it is.

    ``root_type`` and ``root_id`` tell the root of its chain, ``top_type`` and ``top_id`` that of
    the outermost chain around it; where it is in none, the types are 0 and the IDs
    :data:`NO_EVENT`. ``arrived`` is in microseconds of Unix time. ``content`` is the message's, or
    as much of its beginning as is told.
    """

    handle: int
    root_type: int
    top_type: int
    event_id: int
    root_id: int
    top_id: int
    arrived: int
    content: bytes

    @property
    def type(self) -> int:
        """The event's discriminator."""
        return self.content[8]

    @property
    def timestamp(self) -> int:
        """The event's own time, in microseconds of the Common Era."""
        return int.from_bytes(self.content[:8], "little")


class Fetch(NamedTuple):
    """Requests for the shards or the bundle of an erasure root, that ended.

    ``root`` is the type of the chains' roots, ``first`` and ``last`` when they ended, in
    microseconds of Unix time; ``sum`` and ``greatest`` how long those that ``succeeded`` took, in
    microseconds.
    """

    network: int
    root: int
    erasure_root: bytes
    succeeded: int
    failed: int
    first: int
    last: int
    sum: int
    greatest: int


class Assurance(NamedTuple):
    """Who received the assurance of ``sender`` on ``anchor``, and when by their own clocks.

    ``receipts`` are ``(handle, time)``, the latter in microseconds of Unix time.
    """

    network: int
    anchor: bytes
    sender: bytes
    receipts: tuple[tuple[int, int], ...]


class WithheldCount(NamedTuple):
    """How much of ``what`` (:class:`Withheld`) of a node is not told."""

    handle: int
    what: int
    times: int


def _leaves_of(kind: int) -> tuple[str, ...]:
    (*_, (_, wire)) = TABLE.events[kind].fields
    return tuple(name for name, _ in _named(_cost_in(wire)))


def _cost_in(wire: Type) -> Struct:
    match wire:
        case Struct():
            return wire
        case Seq(item):
            return _cost_in(item)
        case Pair(_, second):
            return _cost_in(second)
    raise ValueError(f"there is no cost in {wire}")


def _named(wire: Struct, before: str = "") -> Iterator[tuple[str, Type]]:
    for name, member in wire.fields:
        if isinstance(member, Struct):
            yield from _named(member, f"{before}{name}.")
        else:
            yield before + name, member


COST_TYPES: dict[int, Phase] = {95: Phase.AUTHORIZE, 101: Phase.REFINE, 47: Phase.ACCUMULATE}
"""The events that tell costs: their last field is one, or a sequence of them."""

LEAVES: dict[int, tuple[str, ...]] = {phase: _leaves_of(kind) for kind, phase in COST_TYPES.items()}
"""By phase, the names of what a cost consists of, in order, those within others after a dot."""
