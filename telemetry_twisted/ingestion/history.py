"""What history is told of nodes once a second: counts, and what changed of their state.

Of facts, the assembler passes most on as they come. Those that wait here are states of nodes that
have told more of them than is passed on (:mod:`~telemetry_twisted.jip3.thinning`): the newest.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from typing import Any

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.jip3.codec import FAILURE_TYPES, Dropped
from telemetry_twisted.jip3.frames import encode_frames
from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.state_types import BEST_BLOCK, FINALIZED_BLOCK, STATUS, SYNC_STATUS
from telemetry_twisted.jip3.values import decode_event
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link
from telemetry_twisted.transport.totals import NodeCount, encode_totals

from .assembler import Assembler, Source

_PEERS = struct.Struct("<8xxI")
"""Where ``num_peers`` is in a Status: after the timestamp and the discriminator."""

NODE = "node"
"""The place of mistakes in what is done for one node (:class:`.InternalErrors`)."""


class HistoryReports:
    """Sends ``FACTS`` that waited, ``TOTALS`` with ``COUNTS``, and ``STATE``.

    A ``COUNTS`` record counts all that is in the chunks sent since the last one, whosever it is, so
    that the hub can count for itself what came after the last one of a process that died.

    :param now: tells the time that is written down.
    :param errors: where a mistake in what is told of one node is kept.
    """

    def __init__(self, link: Link, assembler: Assembler, now: Now, errors: InternalErrors) -> None:
        self._link = link
        self._assembler = assembler
        self._now = now
        self._errors = errors

    def send(self, sources: Sequence[Source]) -> None:
        """Tell what is new of all nodes, and the state of ``sources``."""
        self._assembler.end_turn()
        self._send_waiting(sources)
        self._send_counts()
        self._send_states(sources)

    def _send_waiting(self, sources: Sequence[Source]) -> None:
        runs = []
        for source in sources:
            if source.waiting:
                waiting, source.waiting = source.waiting, {}
                runs.append((source.handle, encode_frames(waiting.values())))
        if runs:
            self._link.send(records.Facts(int(self._now() * 1_000_000), tuple(runs)).encode())

    def _send_counts(self) -> None:
        counts: dict[int, Any] = {}
        unread: Counter[int] = Counter()
        dropped: dict[int, Any] = {}
        rate_limited: dict[int, int] = {}
        totals: list[NodeCount] = []
        for source in self._assembler.take_changed():
            events = failed = 0
            # One that cannot be told of keeps the others from the hub no more than the pulse.
            with self._errors.kept_at(NODE):
                count = source.stream.take_counts()
                if count:
                    counts[source.handle] = count
                    failures, source.failures = source.failures, Counter()
                    events = sum(count.values())
                    for kind in FAILURE_TYPES & count.keys():
                        failed += count[kind]
                        unread[kind] += count[kind] - failures[kind]
                spans = source.stream.take_dropped()
                if spans is not None:
                    dropped[source.handle] = _in_unix_time(spans)
                limited, source.rate_limited = source.rate_limited, 0
                if limited:
                    rate_limited[source.handle] = limited
                if events or limited:
                    lacking = 0 if spans is None else spans.events
                    totals.append(NodeCount(source.handle, events, failed, lacking, limited))
        if counts or rate_limited:
            body = {"received": self._now(), "counts": counts}
            if unread := +unread:
                body["unread"] = unread
            if dropped:
                body["dropped"] = dropped
            if rate_limited:
                body["rate_limited"] = rate_limited
            self._link.send(encode_totals(totals))
            self._link.send(records.encode_json(records.COUNTS, body))

    def _send_states(self, sources: Sequence[Source]) -> None:
        states = {}
        for source in sources:
            if source.latest:
                with self._errors.kept_at(NODE):
                    latest, source.latest = source.latest, {}
                    states[source.handle] = _state(source, latest)
        if states:
            self._link.send(records.encode_json(records.STATE, states))


def _in_unix_time(dropped: Dropped) -> dict[str, int | None]:
    """An item of ``dropped`` in a ``COUNTS`` record."""
    return {
        "events": dropped.events,
        "spans": dropped.spans,
        "first": None if dropped.first is None else COMMON_ERA + dropped.first,
        "last": None if dropped.last is None else COMMON_ERA + dropped.last,
    }


def _state(source: Source, latest: dict[int, bytes]) -> dict[str, Any]:
    """What the ``latest`` status events of a node say, in the form of a ``STATE`` record."""
    state: dict[str, Any] = {"cores": source.stream.cores}
    for name, discriminator in (("best", BEST_BLOCK), ("finalized", FINALIZED_BLOCK)):
        if discriminator in latest:
            block = decode_event(latest[discriminator], 0)
            state[name] = {"slot": block.fields["slot"], "hash": block.fields["hash"]}
    if SYNC_STATUS in latest:
        state["synced"] = decode_event(latest[SYNC_STATUS], 0).fields["synced"]
    if STATUS in latest:
        (state["peers"],) = _PEERS.unpack_from(latest[STATUS])
    return state
