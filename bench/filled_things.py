"""What is understood of a full network: slots, work packages, guarantees, assurances, shards.

There is a block in each slot, and a package on each core that three guarantors work on; rows are
made as the store process makes them, of templates that take turns. Of packages and what belongs to
them there are as many as are kept, of slots and anchors those of all days.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from functools import partial
from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

from telemetry_twisted.jip3.bins import bin_of
from telemetry_twisted.network.anchors import Anchor, Assurance
from telemetry_twisted.network.fetches import KINDS, Fetched, Fetches
from telemetry_twisted.network.guarantees import Guarantee
from telemetry_twisted.network.journey import DISTRIBUTED, EVENT, FAILED, STAGES, Journey, Part
from telemetry_twisted.network.networks import Networks
from telemetry_twisted.network.slot import Block, Slot
from telemetry_twisted.network.spread import Spread
from telemetry_twisted.store.database.interface import Database, Transaction
from telemetry_twisted.store.read.slots import slot_at
from telemetry_twisted.store.schema.network_tables import (
    ANCHORS,
    FETCHES,
    GUARANTEES,
    JOURNEYS,
    NETWORK_SLOTS,
)
from telemetry_twisted.store.schema.policy import DAY
from telemetry_twisted.store.schema.table import Table
from telemetry_twisted.store.write.limits import MOST_THINGS
from telemetry_twisted.store.write.network_rows import NetworkRows
from telemetry_twisted.store.write.rows import Keys

from .filled_sums import CORES, SERVICES

SLOT_SECONDS = 6
TEMPLATES = 251
STEP_ROWS = 20_000

OPEN_SECONDS = 40
"""For how long a package is open."""

NETWORK, RUN = 1, 1
TOGETHER = 5
"""How many receptions of an assurance are drawn at once."""

SENDS = 3
"""How many of its guarantees each guarantor tells of."""

Values = dict[str, Any]
"""The values of a row by its columns, in their order."""


def name_of(kind: str, number: int) -> bytes:
    """The hash of a thing; packages are counted from the newest back, others by their slot."""
    return hashlib.blake2b(f"{kind} {number}".encode(), digest_size=32).digest()


def packages(days: int) -> int:
    """How many packages there are, reports of them, and erasure roots."""
    return min(MOST_THINGS, days * DAY // SLOT_SECONDS * CORES)


class _Templates:
    """Makes rows of each kind without what tells them apart, of a network of so many nodes."""

    def __init__(self, nodes: int) -> None:
        self.dice = random.Random(7)
        self.nodes = nodes
        self.offsets = [self.dice.randrange(-40_000, 40_000) for _ in range(nodes + 1)]
        numbers = SimpleNamespace(node=lambda number: f"{number:064x}")
        slots = SimpleNamespace(slot_of={})
        self._rows = NetworkRows(cast(Networks, SimpleNamespace(numbers=numbers, slots=slots)))
        self._keys = Keys("bench", [RUN])
        self._numbers = {f"{number:064x}": number for number in range(1, nodes + 1)}

    def values(self, table: Table, make: Any, thing: Any) -> Values:
        """The row of a thing."""
        values = dict(zip(table.written, make((("", b""), thing), self._keys), strict=True))
        if values["detail"] is not None:
            values["detail"] = values["detail"].pack(self._numbers)
        return {**values, "network": NETWORK}

    def _spread(self, share: float, slowest: int) -> Spread:
        """A share of the nodes, after so many microseconds at most."""
        spread = Spread()
        for node in range(1, self.nodes + 1):
            if self.dice.random() < share:
                spread.nodes.append(node)
                spread.times.append(10**15 + int(self.dice.betavariate(2, 5) * slowest))
                spread.offsets.append(self.offsets[node])
        return spread

    def slot(self) -> Values:
        dice = self.dice
        author = f"{dice.randrange(1, self.nodes + 1):064x}"
        outline = (90_000, 3, 0, 0, CORES, 700, 0)
        blocks = [Block(dice.randbytes(32), author, 10**15, 17, dice.randbytes(32), outline)]
        if dice.random() < 0.05:
            blocks.append(Block(dice.randbytes(32)))
        spreads = tuple(self._spread(0.99, (stage + 1) * 400_000) for stage in range(6))
        of_block = tuple(
            bytearray(dice.randrange(len(blocks)) for _ in spread.nodes) for spread in spreads
        )
        slot = Slot(0, 0, 1, blocks, spreads, of_block, [author])
        if dice.random() < 0.1:
            slot.failures["verification_failed"] = 3
        return self.values(NETWORK_SLOTS, self._rows.slot, slot)

    def journey(self, is_open: bool) -> Values:
        dice = self.dice
        ended = dice.choices(("distributed", "failed", "unfinished"), (97, 2, 1))[0]
        journey = Journey(0, 0, None if is_open else 1)
        guarantors = dice.sample(range(1, self.nodes + 1), 3)
        journey.builder = dice.randbytes(32)
        journey.services = dice.sample(range(1, SERVICES + 1), dice.choice((1, 1, 1, 2, 4)))
        journey.reason = f"refinement failed at {dice.randrange(9)}" if ended == "failed" else None
        for place, node in enumerate(guarantors):
            journey.parts.append(Part(f"{node:064x}", 1, 5, 90 + (place > 0)))
            journey.offsets[node] = self.offsets[node]
            stages = [90 + (place > 0), *STAGES]
            if ended != "distributed":
                stages = [*stages[: dice.randrange(3, 6)], FAILED]
            time = 10**15
            for kind in stages:
                time += dice.randrange(1000, 400_000)
                self._add(journey, node, kind, 0, time)
                if kind == 105:
                    for _ in range(SENDS):
                        note = journey.note(dice.randbytes(32).hex())
                        for sending in (106, 108):
                            time += dice.randrange(100, 5000)
                            self._add(journey, node, sending, note, time)
            journey.parts[-1].outcome = "" if is_open else ended
        for at, kind in enumerate(STAGES):
            if ended == "distributed" and (not is_open or kind != DISTRIBUTED):
                journey.stages |= 1 << at
        return self.values(JOURNEYS, self._rows.journey, journey)

    def _add(self, journey: Journey, node: int, kind: int, note: int, time: int) -> None:
        event_id = self.dice.randrange(10**7)
        journey.events += EVENT.pack(node, kind, note, time, time + 40_000, event_id)

    def guarantee(self) -> Values:
        dice = self.dice
        built = {
            f"{dice.randrange(1, self.nodes + 1):064x}": (10**15 + dice.randrange(900_000), 17)
            for _ in range(3)
        }
        guarantee = Guarantee(0, 0, 1, None, tuple(dice.sample(range(1023), 3)), built)
        guarantee.received = self._spread(0.99, 800_000)
        guarantee.receptions = 1024 + dice.randrange(300)
        guarantee.discards["ReplacedByBetter"] = dice.randrange(300)
        return self.values(GUARANTEES, self._rows.guarantee, guarantee)

    def anchor(self) -> Values:
        dice = self.dice
        anchor = Anchor(0, 0, 1)
        for sender in range(1, self.nodes + 1):
            assurance = Assurance(10**15, 10**15 + 80_000, 17, 330, CORES, together=anchor.together)
            assurance.receptions = self.nodes - 1
            for _ in range(self.nodes // TOGETHER):
                bin = bin_of(int(dice.lognormvariate(12, 0.5)))
                assurance.reported[bin] += TOGETHER
                assurance.corrected[bin] += TOGETHER
            anchor.together.reported.update(assurance.reported)
            anchor.together.corrected.update(assurance.corrected)
            anchor.senders[bytes.fromhex(f"{sender:064x}")] = assurance
        return self.values(ANCHORS, self._rows.anchor, anchor)

    def fetches(self) -> Values:
        fetched = Fetches(0, 0, 1)
        for kind in KINDS:
            took = self.dice.randrange(10**4, 10**6)
            fetched.kinds[kind] = Fetched(10, 0, 10**15, 10**15 + took, took * 4, took)
        return self.values(FETCHES, self._rows.fetches, fetched)


async def fill_things(database: Database, nodes: int, days: int, now: int) -> None:
    """Write what is understood of ``days``, as far as it is kept, up to ``now``."""
    make = _Templates(nodes)
    for table, rows in (
        (NETWORK_SLOTS, _of_slots(NETWORK_SLOTS, [make.slot() for _ in range(8)], days, now)),
        (ANCHORS, _of_slots(ANCHORS, [make.anchor() for _ in range(4)], days, now)),
        (JOURNEYS, _journeys(make, days, now)),
        (GUARANTEES, _of_packages("report", [make.guarantee() for _ in range(8)], days, now)),
        (FETCHES, _of_packages("root", [make.fetches() for _ in range(8)], days, now)),
    ):
        while some := [*islice(rows, STEP_ROWS if table is not ANCHORS else 500)]:
            await database.transact(partial(_append, table=table, rows=some))


def _append(transaction: Transaction, table: Table, rows: list[Values]) -> None:
    transaction.append(table, [tuple(row.values()) for row in rows])


def _of_slots(table: Table, templates: list[Values], days: int, now: int) -> Iterator[Values]:
    for time in range(now - days * DAY, now, SLOT_SECONDS):
        slot = slot_at(time)
        values = {**templates[slot % len(templates)], "slot": slot}
        if table is ANCHORS:
            values["anchor"] = name_of("anchor", slot)
        first = time * 1_000_000 + 100_000
        values.update(first=first, last=first + 3_000_000, closed=first + 60_000_000)
        if time < now - DAY:
            values["detail"] = None  # history lets go of what single nodes did
        yield values


def _firsts(days: int, now: int) -> Iterator[tuple[int, int]]:
    """The number of each package, the oldest first, and when something was first heard of it."""
    for number in reversed(range(packages(days))):
        slots, core = divmod(number, CORES)
        yield number, (now - slots * SLOT_SECONDS) * 1_000_000 - core * 17_000


def _journeys(make: _Templates, days: int, now: int) -> Iterator[Values]:
    final = [make.journey(False) for _ in range(TEMPLATES)]
    going_on = [make.journey(True) for _ in range(TEMPLATES)]
    for number, first in _firsts(days, now):
        is_open = first > (now - OPEN_SECONDS) * 1_000_000
        values = dict((going_on if is_open else final)[number * 7 % TEMPLATES])
        values.update(
            hash=name_of("package", number),
            report=name_of("report", number),
            erasure_root=name_of("root", number),
            core=number % CORES,
            slot=slot_at(first / 1_000_000),
            first=first,
            last=first + 8_000_000,
            closed=None if is_open else first + 40_000_000,
        )
        yield values


def _of_packages(kind: str, templates: list[Values], days: int, now: int) -> Iterator[Values]:
    key = "report" if kind == "report" else "erasure_root"
    for number, first in _firsts(days, now):
        values = {**templates[number % len(templates)], key: name_of(kind, number)}
        values.update(first=first, last=first + 3_000_000, closed=first + 60_000_000)
        if "slot" in values:
            values["slot"] = slot_at(first / 1_000_000)
        yield values
