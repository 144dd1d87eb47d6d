"""Guarantees: who built them, and how they travel, by work report."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from telemetry_twisted.jip3.natural import decode_natural
from telemetry_twisted.jip3.observed import Sighting
from telemetry_twisted.jip3.table import TABLE, Enum

from .fields import TYPE, picker, unix_time
from .opened import Opened, quiet_or_old
from .reporters import Reporter
from .spread import Spread

MOST_GUARANTEES = 8192
"""Work reports whose guarantees travel, of all networks: a full one has 341 in a slot."""

MOST_BUILDERS = 8
"""Nodes of which it is told that they built a guarantee of a report; it needs two or three."""

MOST_GUARANTORS = 16
"""Guarantors that a guarantee is believed to name."""

OPEN_SECONDS, QUIET_SECONDS = 120, 30
"""How long a guarantee stays open after it was first heard of, and last."""

BUILT, RECEIVED, DISCARDED = 105, 112, 113

GuaranteeKey = tuple[str, bytes]
"""A genesis hash, and the hash of a work report."""

_OUTLINE = ("work_report_hash", "slot")
_PICK = {kind: picker(kind, *_OUTLINE) for kind in (BUILT, RECEIVED, DISCARDED)}
_AFTER = {BUILT: 8, RECEIVED: 8, DISCARDED: 0}
_GUARANTORS = 9 + 32 + 4

_reason = dict(TABLE.events[DISCARDED].fields)["reason"]
assert isinstance(_reason, Enum)
REASONS = _reason.names
"""Why a guarantee may be discarded, by the byte that says so."""


@define
class Guarantee:
    """The guarantees of a work report: when who ``built`` one, by its own clock (microseconds of
    Unix time) and with the offset of that, and when each node first ``received`` one.

    ``slot`` and ``guarantors`` (validator indexes) are what the fullest of them say; ``receptions``
    are all that there were, ``discards`` those thrown away, by reason.
    """

    first: int
    last: int
    closed: int | None = None
    slot: int | None = None
    guarantors: tuple[int, ...] = ()
    built: dict[str, tuple[int, int]] = field(factory=dict)
    received: Spread = field(factory=Spread)
    receptions: int = 0
    discards: Counter[str] = field(factory=Counter)

    def over(self, now: int) -> bool:
        """See :class:`.Thing`."""
        return quiet_or_old(self, now, QUIET_SECONDS, OPEN_SECONDS)

    def close(self, now: int) -> None:
        """See :class:`.Thing`."""
        self.closed = now

    def supersede(self) -> None:
        """See :class:`.Thing`: never, for it has its name from the beginning."""


class Guarantees(Opened[GuaranteeKey, Guarantee]):
    """The guarantees that travel now.

    :param lost: where is counted what cannot be taken.
    """

    def __init__(self, lost: Counter[str]) -> None:
        super().__init__("guarantees", MOST_GUARANTEES, lost)

    def see(self, reporter: Reporter, sighting: Sighting) -> None:
        """Take an event of a node.

        :raises struct.error: if its content is too short.
        :raises ValueError: if its guarantors are cut short.
        """
        content, arrival = sighting.content, sighting.arrived
        kind = content[TYPE]
        timestamp, report, slot = _PICK[kind](content)
        key = reporter.network, report
        there = self.get(key)
        if there is None or there.closed is not None:
            if self.is_late(key):
                return
            there = Guarantee(arrival, arrival)
            self.open(key, there, arrival)
        if kind == RECEIVED:
            there.receptions += 1
            there.received.add(reporter, unix_time(timestamp))
        if there.slot is None or kind != RECEIVED:
            self._read(there, kind, slot, reporter, timestamp, content)
        self.changed(key, arrival)

    def _read(
        self,
        there: Guarantee,
        kind: int,
        slot: int,
        reporter: Reporter,
        timestamp: int,
        content: bytes,
    ) -> None:
        begin = _AFTER[kind] + _GUARANTORS
        count, begin = decode_natural(content, begin, len(content))
        end = begin + 2 * count
        if end > len(content):
            raise ValueError(f"{count} guarantors do not fit {len(content)} bytes")
        told = min(count, MOST_GUARANTORS)
        guarantors = struct.unpack_from(f"<{told}H", content, begin)
        if there.slot is None or len(guarantors) > len(there.guarantors):
            there.slot, there.guarantors = slot, guarantors
        if kind == DISCARDED:
            reason = content[end] if end < len(content) else len(REASONS)
            there.discards[REASONS[reason] if reason < len(REASONS) else "unknown"] += 1
        elif kind == BUILT and (len(there.built) < MOST_BUILDERS or reporter.node in there.built):
            time = unix_time(timestamp)
            before, _ = there.built.get(reporter.node, (time, 0))
            there.built[reporter.node] = min(time, before), reporter.offset


def dump_guarantee(guarantee: Guarantee) -> list[Any]:
    """What the columns of its row do not say, as MessagePack has it."""
    return [guarantee.built, guarantee.received.dump()]


def load_guarantee(
    dumped: Sequence[Any],
    numbers: Mapping[int, int],
    first: int,
    last: int,
    slot: int | None,
    guarantors: Sequence[int],
    receptions: int,
    discards: Mapping[str, int],
) -> Guarantee:
    """The guarantee of a row; ``numbers`` as :meth:`.Spread.load` takes them."""
    built, received = dumped
    return Guarantee(
        first,
        last,
        None,
        slot,
        tuple(guarantors),
        {node: (time, offset) for node, (time, offset) in built.items()},
        Spread.load(received, numbers),
        receptions,
        Counter(discards),
    )
