"""What is found by following chains, as ingestion processes tell it: the body of ``OBSERVATIONS``.

It begins with two u64, ``began`` and ``ended``: which arrivals it covers, in microseconds of Unix
time. Then come sections, each a byte of kind, a u32 of how many bytes follow, and rows one after
another, all little-endian. Those that would be empty are left out; the others are in this order:

==  ============  ==============================================  =====================
1   NETWORKS      ``32s``: a genesis hash; its index is its       ``networks``
                  place; zeros where there is none
2   OUTCOMES      ``<HBBHI``                                      :class:`OutcomeCount`
3   LATENCIES     ``<HBHHIQ``                                     :class:`LatencyCount`
4   CORES         ``<HBHI``                                       :class:`CoreCount`
5   COSTS         ``<BBIHI``, then a u64 for each of the leaves   :class:`Cost`
                  of the phase (:data:`~.observed.LEAVES`)
6   CLOCKS        ``<Hqq``                                        :class:`Clock`
7   SIGHTINGS     ``<HBBQQQQH``, the last the size of the         :class:`Sighting`
                  content, which follows
8   FETCHES       ``<BB32sIIQQQQ``                                :class:`Fetch`
9   ASSURANCES    ``<B32s32sH``, the last how many receipts       :class:`Assurance`
                  follow, ``<Hq`` each
10  WITHHELD      ``<HBI``                                        :class:`WithheldCount`
11  CLOCK_SET     ``<q``: by how many microseconds the server's   ``clock_set``
                  clock was set meanwhile, forward or back
==  ============  ==============================================  =====================

Their rows are those of :mod:`.observed`, and come in the order in which each was first counted, but
for what is withheld, which comes by handle and kind.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any, TypeVar

from attrs import frozen

from .observed import (
    LEAVES,
    Clock,
    Cost,
    LatencyCount,
    Sighting,
    WithheldCount,
)


class Section(IntEnum):
    """The kind of a section."""

    NETWORKS = 1
    OUTCOMES = 2
    LATENCIES = 3
    CORES = 4
    COSTS = 5
    CLOCKS = 6
    SIGHTINGS = 7
    FETCHES = 8
    ASSURANCES = 9
    WITHHELD = 10
    CLOCK_SET = 11


_HEAD = struct.Struct("<QQ")
_SECTION = struct.Struct("<BI")
_HASH = struct.Struct("<32s")
_OUTCOME = struct.Struct("<HBBHI")
_LATENCY = struct.Struct("<HBHHIQ")
_LATENCY_AT = 2
"""Where in such a row the number of the latency is, a byte."""
_CORE = struct.Struct("<HBHI")
_COST = struct.Struct("<BBIHI")
_SUMS = {phase: struct.Struct(f"<{len(names)}Q") for phase, names in LEAVES.items()}
_CLOCK = struct.Struct("<Hqq")
_SIGHTING = struct.Struct("<HBBQQQQH")
_FETCH = struct.Struct("<BB32sIIQQQQ")
_ASSURANCE = struct.Struct("<B32s32sH")
_RECEIPT = struct.Struct("<Hq")
_WITHHELD = struct.Struct("<HBI")
_CLOCK_SET = struct.Struct("<q")

_Row = TypeVar("_Row")

OutcomeRow = tuple[int, int, int, int, int]
"""An :class:`OutcomeCount`, or a plain tuple of the same."""

LatencyRow = tuple[int, int, int, int, int, int]
"""A :class:`LatencyCount`, or a plain tuple of the same."""

CoreRow = tuple[int, int, int, int]
"""A :class:`CoreCount`, or a plain tuple of the same."""

FetchRow = tuple[int, int, bytes, int, int, int, int, int, int]
"""A :class:`Fetch`, or a plain tuple of the same."""

AssuranceRow = tuple[int, bytes, bytes, tuple[tuple[int, int], ...]]
"""An :class:`Assurance`, or a plain tuple of the same."""


@frozen
class Observations:
    """What was found in the arrivals from ``began`` to ``ended``, in microseconds of Unix time.

    Rows of which there are tens of thousands in a second are plain tuples when they were decoded.

    Where ``clock_set`` says that the server's clock was set, ``clocks`` are by two clocks, and tell
    nothing; nor does what was told before.
    """

    began: int
    ended: int
    networks: tuple[bytes, ...] = ()
    outcomes: tuple[OutcomeRow, ...] = ()
    latencies: tuple[LatencyRow, ...] = ()
    cores: tuple[CoreRow, ...] = ()
    costs: tuple[Cost, ...] = ()
    clocks: tuple[Clock, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    fetches: tuple[FetchRow, ...] = ()
    assurances: tuple[AssuranceRow, ...] = ()
    withheld: tuple[WithheldCount, ...] = ()
    clock_set: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """The body."""
        parts = [_HEAD.pack(self.began, self.ended)]
        for kind, rows in (
            (Section.NETWORKS, self.networks),
            (Section.OUTCOMES, (_OUTCOME.pack(*row) for row in self.outcomes)),
            (Section.LATENCIES, (_LATENCY.pack(*row) for row in self.latencies)),
            (Section.CORES, (_CORE.pack(*row) for row in self.cores)),
            (Section.COSTS, map(_encode_cost, self.costs)),
            (Section.CLOCKS, (_CLOCK.pack(*row) for row in self.clocks)),
            (Section.SIGHTINGS, map(_encode_sighting, self.sightings)),
            (Section.FETCHES, (_FETCH.pack(*row) for row in self.fetches)),
            (Section.ASSURANCES, map(_encode_assurance, self.assurances)),
            (Section.WITHHELD, (_WITHHELD.pack(*row) for row in self.withheld)),
            (Section.CLOCK_SET, map(_CLOCK_SET.pack, self.clock_set)),
        ):
            packed = b"".join(rows)
            if packed:
                parts += (_SECTION.pack(kind, len(packed)), packed)
        return b"".join(parts)

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Observations:
        """What is in a body.

        :raises ValueError: if it is not as this module says.
        """
        body = bytes(body)
        found: dict[str, Any] = {}
        try:
            began, ended = _HEAD.unpack_from(body)
            at = _HEAD.size
            while at < len(body):
                kind, size = _SECTION.unpack_from(body, at)
                at += _SECTION.size
                if kind not in _DECODED or at + size > len(body):
                    raise ValueError(f"observations have a section {kind} of {size} bytes")
                name, decode = _DECODED[kind]
                found[name] = tuple(decode(body[at : at + size]))
                at += size
        except struct.error as error:
            raise ValueError(f"observations are cut short: {error}") from error
        return cls(began, ended, **found)


def chains_in(body: bytes | memoryview) -> int:
    """How many chains a body says have ended; nothing else in it is looked at."""
    outcomes = _section(body, Section.OUTCOMES)
    size = _OUTCOME.size
    # The sums of all lowest bytes of how often, the next ones, and so on: there are many rows.
    return sum(sum(outcomes[size - 4 + place :: size]) << 8 * place for place in range(4))


def latencies_in(body: bytes, latency: int) -> Iterator[LatencyCount]:
    """The rows of a body that are of one latency, by its number; no other is made."""
    rows = _section(body, Section.LATENCIES)
    numbers = rows[_LATENCY_AT :: _LATENCY.size]
    at = numbers.find(latency)
    while at >= 0:
        yield LatencyCount._make(_LATENCY.unpack_from(rows, at * _LATENCY.size))
        at = numbers.find(latency, at + 1)


def clock_was_set(body: bytes) -> bool:
    """Whether a body says that the server's clock was set meanwhile."""
    return bool(_section(body, Section.CLOCK_SET))


def clocks_in(body: bytes) -> Iterator[Clock]:
    """The clocks in a body."""
    return map(Clock._make, _CLOCK.iter_unpack(_section(body, Section.CLOCKS)))


def _section(body: bytes | memoryview, wanted: Section) -> bytes:
    at = _HEAD.size
    while at < len(body):
        kind, size = _SECTION.unpack_from(body, at)
        at += _SECTION.size
        if kind == wanted:
            return bytes(body[at : at + size])
        at += size
    return b""


def _encode_cost(cost: Cost) -> bytes:
    return _COST.pack(*cost[:-1]) + _SUMS[cost.phase].pack(*cost.sums)


def _encode_sighting(sighting: Sighting) -> bytes:
    content = sighting.content
    return _SIGHTING.pack(*sighting[:-1], len(content)) + content


def _encode_assurance(assurance: AssuranceRow) -> bytes:
    network, anchor, sender, receipts = assurance
    head = _ASSURANCE.pack(network, anchor, sender, len(receipts))
    return head + b"".join(_RECEIPT.pack(*receipt) for receipt in receipts)


def _rows_of(
    layout: struct.Struct, make: Callable[[tuple[Any, ...]], _Row]
) -> Callable[[bytes], Iterable[_Row]]:
    return lambda packed: map(make, layout.iter_unpack(packed))


def _decode_costs(packed: bytes) -> Iterator[Cost]:
    at = 0
    while at < len(packed):
        head = _COST.unpack_from(packed, at)
        at += _COST.size
        if head[1] not in _SUMS:
            raise ValueError(f"observations have a cost of a phase {head[1]}")
        sums = _SUMS[head[1]]
        yield Cost._make((*head, sums.unpack_from(packed, at)))
        at += sums.size


def _decode_sightings(packed: bytes) -> Iterator[Sighting]:
    unpack, end = _SIGHTING.unpack_from, len(packed)
    at = 0
    while at < end:
        handle, root, top, event_id, root_id, top_id, arrived, size = unpack(packed, at)
        begin = at + _SIGHTING.size
        at = begin + size
        content = packed[begin:at]
        yield Sighting(handle, root, top, event_id, root_id, top_id, arrived, content)
    _check_whole(at, end)


def _decode_assurances(packed: bytes) -> Iterator[AssuranceRow]:
    unpack, end = _ASSURANCE.unpack_from, len(packed)
    at = 0
    while at < end:
        network, anchor, sender, number = unpack(packed, at)
        begin = at + _ASSURANCE.size
        at = begin + number * _RECEIPT.size
        yield network, anchor, sender, tuple(_RECEIPT.iter_unpack(packed[begin:at]))
    _check_whole(at, end)


def _check_whole(at: int, end: int) -> None:
    if at > end:
        raise ValueError("a row of observations is cut short")


_DECODED: dict[int, tuple[str, Callable[[bytes], Iterable[Any]]]] = {
    Section.NETWORKS: ("networks", _rows_of(_HASH, lambda row: row[0])),
    Section.OUTCOMES: ("outcomes", _OUTCOME.iter_unpack),
    Section.LATENCIES: ("latencies", _LATENCY.iter_unpack),
    Section.CORES: ("cores", _CORE.iter_unpack),
    Section.COSTS: ("costs", _decode_costs),
    Section.CLOCKS: ("clocks", _rows_of(_CLOCK, Clock._make)),
    Section.SIGHTINGS: ("sightings", _decode_sightings),
    Section.FETCHES: ("fetches", _FETCH.iter_unpack),
    Section.ASSURANCES: ("assurances", _decode_assurances),
    Section.WITHHELD: ("withheld", _rows_of(_WITHHELD, WithheldCount._make)),
    Section.CLOCK_SET: ("clock_set", _rows_of(_CLOCK_SET, lambda row: row[0])),
}
