"""Rows of what is understood of networks."""

from __future__ import annotations

from collections import Counter

import pytest

from telemetry_twisted.network.anchors import Anchor, Assurance
from telemetry_twisted.network.guarantees import Guarantee
from telemetry_twisted.network.journey import Journey, Part
from telemetry_twisted.network.networks import Networks
from telemetry_twisted.network.reporters import Reporter
from telemetry_twisted.network.slot import Block, Slot
from telemetry_twisted.store.detail import Detail, unpack_detail
from telemetry_twisted.store.schema.table import Row
from telemetry_twisted.store.write.network_rows import NetworkRows
from telemetry_twisted.store.write.rows import Keys

NODE, NETWORK, HASH = "a1" * 32, "0x" + "07" * 32, bytes(32)
KEYS = Keys("server", (1,))


def detail_of(row: Row) -> Detail:
    (found,) = (value for value in row if isinstance(value, Detail))
    return found


@pytest.mark.parametrize("kind", ["journey", "guarantee", "anchor", "slot"])
def test_a_row_is_what_was_known_when_it_was_taken(kind: str) -> None:
    """It is packed in the transaction, and things change and are superseded meanwhile."""
    networks = Networks(Counter())
    number = networks.numbers.number(NODE, 1.0)
    assert number is not None
    reporter = Reporter(number, NODE, 5, NETWORK, 0)
    rows = NetworkRows(networks)
    journey = Journey(1, 2, parts=[Part(NODE, 5, 0, 90)])
    journey.add(reporter, 92, journey.note("why"), 3, 4, 0)
    guarantee = Guarantee(1, 2)
    guarantee.built[NODE] = (3, 0)
    anchor = Anchor(1, 2)
    anchor.senders[HASH] = Assurance(waiting=[(3, 0)])
    slot = Slot(1, 2)
    slot.blocks.append(Block(HASH))
    thing = {"journey": journey, "guarantee": guarantee, "anchor": anchor, "slot": slot}[kind]
    key = (NETWORK, 5 if kind == "slot" else HASH)
    row = getattr(rows, kind)((key, thing), KEYS)
    before = detail_of(row).pack({NODE: 9})
    journey.add(reporter, 92, journey.note("because"), 3, 4, 1)
    journey.supersede()
    guarantee.built["b2" * 32] = (4, 0)
    anchor.senders[HASH].waiting.append((4, 0))
    slot.blocks.append(Block(bytes([1]) * 32))
    slot.tried.append(NODE)
    after = detail_of(row).pack({NODE: 9})
    assert unpack_detail(after) == unpack_detail(before)
