"""How what is understood of networks becomes rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import ujson

from telemetry_twisted.jip3.bins import percentiles
from telemetry_twisted.network.anchors import Anchor, AnchorKey, dump_anchor
from telemetry_twisted.network.fetches import Fetches, FetchKey
from telemetry_twisted.network.guarantees import (
    Guarantee,
    GuaranteeKey,
    dump_guarantee,
)
from telemetry_twisted.network.journey import EVENT, Journey, dump_journey
from telemetry_twisted.network.journeys import JourneyKey
from telemetry_twisted.network.networks import Networks
from telemetry_twisted.network.slot import STAGES, Slot, dump_slot
from telemetry_twisted.network.slots import SlotKey
from telemetry_twisted.network.spread import SHARES, Delays
from telemetry_twisted.store.detail import Detail
from telemetry_twisted.store.schema.table import Row

from .rows import Keys


class NetworkRows:
    """Makes rows of what is in ``networks``."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    def _detail(self, nodes: Iterable[int], content: Any, closed: int | None) -> Detail:
        name = self._networks.numbers.node
        return Detail.of({node: name(node) for node in set(nodes)}, content, closed is not None)

    def slot(self, item: tuple[SlotKey, Slot], keys: Keys) -> Row:
        """A row of ``network_slots``."""
        (network, number), slot = item
        nodes = {node for spread in slot.spreads for node in spread.nodes}
        reported = [Counter(each) for each in slot.of_block]
        blocks = [
            [
                block.hash.hex(),
                block.author,
                block.authored,
                block.offset,
                None if block.parent is None else block.parent.hex(),
                block.outline,
                [each[index] for each in reported],
            ]
            for index, block in enumerate(slot.blocks)
        ]
        chains = [] if slot.closed else self._networks.slots.chains_of(item[0])
        delays = {name: spread.delays() for name, spread in zip(STAGES, slot.spreads, strict=True)}
        return (
            network,
            number,
            keys.run,
            slot.first,
            slot.last,
            slot.closed,
            len(slot.tried),
            ujson.dumps(blocks),
            ujson.dumps({name: told(each) for name, each in delays.items() if each.nodes}),
            ujson.dumps(slot.failures),
            self._detail(nodes, [dump_slot(slot), chains], slot.closed),
        )

    def journey(self, item: tuple[JourneyKey, Journey], keys: Keys) -> Row:
        """A row of ``journeys``."""
        (network, hash), journey = item
        return (
            network,
            hash,
            keys.run,
            journey.first,
            journey.last,
            journey.closed,
            journey.core,
            journey.stages,
            journey.outcome,
            journey.reason,
            len(journey.parts),
            journey.report,
            journey.erasure_root,
            journey.slot,
            journey.builder,
            ujson.dumps(journey.services),
            len(journey.events) // EVENT.size,
            journey.left_out,
            self._detail(journey.offsets, dump_journey(journey), journey.closed),
        )

    def guarantee(self, item: tuple[GuaranteeKey, Guarantee], keys: Keys) -> Row:
        """A row of ``guarantees``."""
        (network, report), guarantee = item
        detail = None
        if guarantee.closed is None:
            dumped = dump_guarantee(guarantee)
            detail = self._detail(guarantee.received.nodes, dumped, guarantee.closed)
        return (
            network,
            report,
            keys.run,
            guarantee.first,
            guarantee.last,
            guarantee.closed,
            guarantee.slot,
            ujson.dumps(guarantee.guarantors),
            ujson.dumps(guarantee.built),
            guarantee.receptions,
            ujson.dumps(told(guarantee.received.delays())),
            ujson.dumps(guarantee.discards),
            detail,
        )

    def anchor(self, item: tuple[AnchorKey, Anchor], keys: Keys) -> Row:
        """A row of ``anchors``."""
        key, anchor = item
        senders = anchor.senders.values()
        spread = [
            sum(each.off_clock for each in senders),
            _percentiles(anchor.together.reported),
            _percentiles(anchor.together.corrected),
        ]
        chains = [] if anchor.closed else self._networks.anchors.chains_of(key)
        return (
            *key,
            keys.run,
            anchor.first,
            anchor.last,
            anchor.closed,
            self._networks.slots.slot_of.get(key),
            len(senders),
            sum(each.began is not None for each in senders),
            sum(each.receptions for each in senders),
            ujson.dumps(spread),
            self._detail((), [dump_anchor(anchor), chains], anchor.closed),
        )

    def fetches(self, item: tuple[FetchKey, Fetches], keys: Keys) -> Row:
        """A row of ``fetches``."""
        key, fetches = item
        kinds = {
            kind: [each.succeeded, each.failed, each.first, each.last, each.sum, each.greatest]
            for kind, each in fetches.kinds.items()
        }
        return (
            *key,
            keys.run,
            fetches.first,
            fetches.last,
            fetches.closed,
            ujson.dumps(kinds),
            None,
        )


def told(delays: Delays) -> list[Any]:
    """How something spreads, as it is told in a column."""
    return [delays.nodes, delays.off_clock, delays.reported, delays.corrected]


def _percentiles(counts: Mapping[int, int]) -> list[int | None] | None:
    return percentiles(counts, SHARES) if counts else None
