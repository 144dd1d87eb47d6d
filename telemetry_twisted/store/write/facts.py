"""What nodes say of themselves and of the chain, read from their messages."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from twisted.logger import Logger

from telemetry_twisted.jip3.moment import COMMON_ERA, newest_slot
from telemetry_twisted.jip3.state_types import (
    BEST_BLOCK,
    FINALIZED_BLOCK,
    STATE_TYPES,
    STATUS,
    SYNC_STATUS,
)
from telemetry_twisted.jip3.values import DecodeError, decode_event
from telemetry_twisted.store.schema.table import LARGEST_INTEGER
from telemetry_twisted.store.schema.tables import FAILURES

from .changes import Changes
from .counts import Buckets, Sum
from .lines import Lines
from .reasons import OTHER_REASONS, read_reason
from .spread import Spreads
from .text import clean

KIND = 8
"""Where in a message's content its discriminator is, a byte."""

MINUTE = 60_000_000
"""In microseconds."""

STATE_SECONDS = 10
"""The width of a bucket of states."""

MOST_REASONS = 1000
"""Pairs of type and reason that a bucket tells apart; the rest count as :data:`OTHER_REASONS`."""

LONGEST_REASON = 128
"""Characters of a reason that are kept; a longer one breaks JIP-3 (``String<128>``)."""

MOST_FACTS = 1000
"""Facts of a node that are read in a second; of the others the newest of each type are, and
failures count by type alone. What a node says of itself comes to a few in a second."""

MOST_FRESH = 10_000
"""Pairs of bucket and node whose newest messages wait to be read, at most."""

MOST_STATES, STATES_SECONDS = 100_000, 3600
"""Nodes whose state is remembered, so that what they say adds to it, and for how long."""

_BLOCK = struct.Struct("<QBI32s")
"""BestBlockChanged and FinalizedBlockChanged: timestamp, discriminator, slot, hash."""

_STATUS_FIELDS = (
    "num_peers",
    "num_val_peers",
    "num_sync_peers",
    "num_shards",
    "shards_size",
    "num_preimages",
    "preimages_size",
)


def _bounded(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}…"


@frozen
class Origin:
    """Whose messages come under a handle of the link: the node, and how its messages are laid out.

    ``cores`` is None where the node did not tell; the length of what was decoded then does.
    """

    node_id: str
    cores: int | None
    version: int


class Facts:
    """The state of each node, the spread of blocks, and failures.

    What is counted, and what only the newest matters of, waits until it is folded in, with
    :meth:`fold`: a node that says the same a million times costs little more than one that says it
    once.

    ``latest`` gathers each node's newest facts by node and type: when the event says it happened,
    in microseconds of Unix time, and its fields.

    :param lost: where is counted what is let go of.
    """

    _log = Logger()

    def __init__(self, lost: Counter[str], lines: Lines) -> None:
        self._lost = lost
        self._lines = lines
        self.latest: Changes[tuple[str, int], tuple[int, dict[str, Any]]] = Changes("latest", lost)

        def lose(_: object) -> None:
            lost["states"] += 1

        self.states: Buckets[str, dict[str, int]] = Buckets(STATE_SECONDS, dict, lost=lose)
        self.failures: dict[int, Buckets[tuple[int, str], Sum]] = {
            width: Buckets(width, Sum, MOST_REASONS, lambda key: (key[0], OTHER_REASONS))
            for width in FAILURES
        }
        self.spreads = Spreads(lost)
        self._states: dict[str, tuple[int, dict[str, int]]] = {}
        self._newest: dict[tuple[int, str], dict[int, tuple[Origin, bytes]]] = {}
        self._failed: Counter[tuple[int, int, str]] = Counter()
        self._second = 0
        self._in_second: Counter[str] = Counter()

    def take(self, origin: Origin, content: bytes, received: int) -> None:
        """Take a message's ``content``, read by the server at ``received`` (microseconds)."""
        kind = content[KIND]
        readable = self._readable(origin.node_id, received)
        if kind in STATE_TYPES:
            bucket = received // (STATE_SECONDS * 1_000_000) * STATE_SECONDS
            newest = self._newest.setdefault((bucket, origin.node_id), {})
            newest[kind] = origin, content
            if kind in (BEST_BLOCK, FINALIZED_BLOCK):
                if readable:
                    self._take_block(origin.node_id, content, received)
                else:
                    self._lost["slot_reports"] += 1
            if len(self._newest) >= MOST_FRESH:
                self.fold()
        elif readable:
            try:
                reason = read_reason(content, origin.cores, origin.version)
            except DecodeError as error:
                self._unreadable(origin, error)
            else:
                self._failed_by(received, kind, _bounded(reason), 1)
        else:
            self._failed_by(received, kind, OTHER_REASONS, 1)

    def count_unread(self, received: int, by_type: Mapping[str, int]) -> None:
        """Count failures whose reasons the server did not read, by type, at ``received``."""
        for kind, count in by_type.items():
            self._failed_by(received, int(kind), OTHER_REASONS, count)

    def _readable(self, node: str, received: int) -> bool:
        """Whether ``node`` may have one more of its facts read in this second."""
        second = received // 1_000_000
        if second > self._second:
            self._second = second
            self._in_second.clear()
        self._in_second[node] += 1
        return self._in_second[node] <= MOST_FACTS

    def _take_block(self, node: str, content: bytes, received: int) -> None:
        if len(content) != _BLOCK.size:
            return  # what it holds is told when it is folded in
        timestamp, kind, slot, block = _BLOCK.unpack(content)
        if slot <= newest_slot(received / 1_000_000):
            time = min(COMMON_ERA + timestamp, LARGEST_INTEGER)
            self.spreads.report(kind, slot, f"0x{block.hex()}", node, time, received)

    def _failed_by(self, received: int, kind: int, reason: str, count: int) -> None:
        self._failed[received // MINUTE, kind, reason] += count
        if len(self._failed) >= MOST_REASONS:
            self._fold_failures()

    def _unreadable(self, origin: Origin, error: DecodeError) -> None:
        self._lost["facts"] += 1
        if self._lines.new("fact"):
            self._log.warn(
                "a fact of {node} cannot be read: {error}", node=origin.node_id, error=error
            )

    def fold(self) -> None:
        """Read and add what came since the last time."""
        self._fold_failures()
        while self._newest:
            bucket, node = place = next(iter(self._newest))
            for origin, content in self._newest.pop(place).values():
                self._take_state(node, origin, content, bucket)

    def _fold_failures(self) -> None:
        for (minute, kind, reason), count in self._failed.items():
            for buckets in self.failures.values():
                buckets.add(60 * minute, (kind, clean(reason)), Sum(count))
        self._failed.clear()

    def _take_state(self, node: str, origin: Origin, content: bytes, bucket: int) -> None:
        try:
            event = decode_event(content, origin.cores, origin.version)
        except DecodeError as error:
            self._unreadable(origin, error)
            return
        kind, fields = event.discriminator, event.fields
        self.latest[node, kind] = min(COMMON_ERA + event.timestamp, LARGEST_INTEGER), fields
        _, state = self._states.pop(node, (0, {}))
        self._states[node] = bucket, state  # at the end: the first is the one heard of least
        if kind == STATUS:
            for name in _STATUS_FIELDS:
                state[name] = min(fields[name], LARGEST_INTEGER)
            state["num_guarantees"] = sum(fields["num_guarantees"])
        elif kind == SYNC_STATUS:
            state["synced"] = int(fields["synced"])
        else:
            state["best" if kind == BEST_BLOCK else "finalized"] = fields["slot"]
        self.states.add(bucket, node, state)

    def forget(self, node: str) -> None:
        """``node`` has gone: what it said holds no longer for the time to come."""
        self.fold()
        self._states.pop(node, None)

    def settle(self, now: float) -> None:
        """Forget what nodes said that nothing is heard of."""
        while self._states:
            node, (bucket, _) = next(iter(self._states.items()))
            if len(self._states) <= MOST_STATES and bucket > now - STATES_SECONDS:
                break
            del self._states[node]
