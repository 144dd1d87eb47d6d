"""What nodes say of themselves and of the chain, read from their messages."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from twisted.logger import Logger

from telemetry_twisted.jip3.frames import each_frame
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

from .changes import Changes
from .counts import Buckets
from .failures import Failures
from .lines import Lines
from .reasons import OTHER_REASONS, ReasonPlace, read_reason, reason_places
from .spread import Spreads
from .statuses import read_status

KIND = 8
"""Where in a message's content its discriminator is, a byte."""

STATE_SECONDS = 10
"""The width of a bucket of states."""

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


@frozen
class Origin:
    """Whose messages come under a handle of the link: the node, and how its messages are laid out.

    ``cores`` is None where the node did not tell; the length of what was decoded then does.
    ``genesis`` is the hash that tells its network, ``connection`` when the connection began
    (microseconds of Unix time).
    ``reasons`` says where those of failures stand.
    """

    node_id: str
    cores: int | None
    version: int
    genesis: str = ""
    connection: int = 0
    reasons: Mapping[int, ReasonPlace] = field(init=False, eq=False, repr=False)

    @reasons.default
    def _reasons(self) -> Mapping[int, ReasonPlace]:
        return reason_places(self.version)


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
        self.failures = Failures()
        self.spreads = Spreads(lost)
        self._states: dict[str, tuple[int, dict[str, int]]] = {}
        self._newest: dict[tuple[int, str], dict[int, tuple[Origin, bytes]]] = {}
        self._second = 0
        self._in_second: dict[str, int] = {}

    def take(self, origin: Origin, frames: bytes, received: int) -> None:
        """Take messages of a node in ``frames``, read by the server at ``received``
        (microseconds)."""
        seconds = received // 1_000_000
        if seconds > self._second:
            self._second = seconds
            self._in_second.clear()
        node = origin.node_id
        read = self._in_second.get(node, 0)
        for content in each_frame(frames):
            read += 1
            kind = content[KIND]
            if kind in STATE_TYPES:
                self._take_newest(origin, kind, content, received, read <= MOST_FACTS)
            elif read <= MOST_FACTS:
                place = origin.reasons.get(kind)
                if place is None or not self.failures.take(place, content, seconds):
                    self._take_odd_failure(origin, content, seconds)
            else:
                self.failures.add(seconds, kind, OTHER_REASONS, 1)
        self._in_second[node] = read

    def _take_odd_failure(self, origin: Origin, content: bytes, seconds: int) -> None:
        try:
            reason = read_reason(content, origin.cores, origin.version)
        except DecodeError as error:
            self._unreadable(origin, error)
        else:
            self.failures.add(seconds, content[KIND], reason, 1)

    def _take_newest(
        self, origin: Origin, kind: int, content: bytes, received: int, readable: bool
    ) -> None:
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

    def _take_block(self, node: str, content: bytes, received: int) -> None:
        if len(content) != _BLOCK.size:
            return  # what it holds is told when it is folded in
        timestamp, kind, slot, block = _BLOCK.unpack(content)
        if slot <= newest_slot(received / 1_000_000):
            time = min(COMMON_ERA + timestamp, LARGEST_INTEGER)
            self.spreads.report(kind, slot, f"0x{block.hex()}", node, time, received)

    def _unreadable(self, origin: Origin, error: DecodeError) -> None:
        self._lost["facts"] += 1
        if self._lines.new("fact"):
            self._log.warn(
                "a fact of {node} cannot be read: {error}", node=origin.node_id, error=error
            )

    def fold(self) -> None:
        """Read and add what came since the last time."""
        self.failures.fold()
        while self._newest:
            bucket, node = place = next(iter(self._newest))
            for origin, content in self._newest.pop(place).values():
                self._take_state(node, origin, content, bucket)

    def _take_state(self, node: str, origin: Origin, content: bytes, bucket: int) -> None:
        kind = content[KIND]
        if kind == STATUS:
            read = read_status(content, origin.cores)
        elif len(content) == _BLOCK.size and kind != SYNC_STATUS:
            timestamp, _, slot, block = _BLOCK.unpack(content)
            read = timestamp, {"slot": slot, "hash": f"0x{block.hex()}"}
        else:
            read = None
        if read is None:
            try:
                event = decode_event(content, origin.cores, origin.version)
            except DecodeError as error:
                self._unreadable(origin, error)
                return
            read = event.timestamp, event.fields
        timestamp, fields = read
        self.latest[node, kind] = min(COMMON_ERA + timestamp, LARGEST_INTEGER), fields
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
