"""What nodes say of themselves and of the chain, read from their messages."""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import frozen
from twisted.logger import Logger

from telemetry_twisted.jip3.moment import COMMON_ERA, newest_slot
from telemetry_twisted.jip3.state_types import BEST_BLOCK, STATE_TYPES, STATUS, SYNC_STATUS
from telemetry_twisted.jip3.values import DecodeError, Event, decode_event
from telemetry_twisted.store.schema.tables import FAILURES

from .changes import Changes
from .counts import Buckets, Sum
from .reasons import read_reason
from .spread import Spreads

KIND = 8
"""Where in a message's content its discriminator is, a byte."""

MINUTE = 60_000_000
"""In microseconds."""

MOST_REASONS = 1000
"""Pairs of type and reason that a bucket tells apart; the rest count as :data:`OTHER_REASONS`."""

LONGEST_REASON = 128
"""Characters of a reason that are kept; a longer one breaks JIP-3 (``String<128>``)."""

OTHER_REASONS = "(other reasons)"

_LARGEST = 2**63 - 1
_STATUS_FIELDS = (
    "num_peers",
    "num_val_peers",
    "num_sync_peers",
    "num_shards",
    "shards_size",
    "num_preimages",
    "preimages_size",
)


def clean(text: str) -> str:
    """``text`` without NUL, which PostgreSQL cannot hold in a text."""
    return text.replace("\0", "\ufffd")


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

    Failures are counted by the minute first, and are in ``failures`` once they are folded in.

    ``latest`` gathers each node's newest facts by node and type: when the event says it happened,
    in microseconds of Unix time, and its fields.
    """

    _log = Logger()

    def __init__(self) -> None:
        self.latest: Changes[tuple[str, int], tuple[int, dict[str, Any]]] = Changes()
        self.states: Buckets[str, dict[str, int]] = Buckets(10, dict)
        self.failures: dict[int, Buckets[tuple[int, str], Sum]] = {
            width: Buckets(width, Sum) for width in FAILURES
        }
        self.spreads = Spreads()
        self._now: dict[str, dict[str, int]] = {}
        self._fresh: Counter[tuple[int, int, str]] = Counter()

    def take(self, origin: Origin, content: bytes, received: int) -> None:
        """Take a message's ``content``, read by the server at ``received`` (microseconds)."""
        kind = content[KIND]
        try:
            if kind in STATE_TYPES:
                event = decode_event(content, origin.cores, origin.version)
                self._take_state(origin.node_id, event, received)
            else:
                reason = read_reason(content, origin.cores, origin.version)
                self._fresh[received // MINUTE, kind, _bounded(reason)] += 1
                if len(self._fresh) >= MOST_REASONS:
                    self.fold()
        except DecodeError as error:
            self._log.warn(
                "a fact of {node} cannot be read: {error}", node=origin.node_id, error=error
            )

    def _take_state(self, node: str, event: Event, received: int) -> None:
        time = min(COMMON_ERA + event.timestamp, _LARGEST)
        self.latest[node, event.discriminator] = time, event.fields
        state = self._now.setdefault(node, {})
        fields = event.fields
        if event.discriminator == STATUS:
            for name in _STATUS_FIELDS:
                state[name] = min(fields[name], _LARGEST)
            state["num_guarantees"] = sum(fields["num_guarantees"])
        elif event.discriminator == SYNC_STATUS:
            state["synced"] = int(fields["synced"])
        else:
            best = event.discriminator == BEST_BLOCK
            state["best" if best else "finalized"] = fields["slot"]
            if fields["slot"] <= newest_slot(received / 1_000_000):
                self.spreads.report(
                    event.discriminator, fields["slot"], fields["hash"], node, time, received
                )
        self.states.at(received // 1_000_000, node).update(state)

    def fold(self) -> None:
        """Add the failures that came since the last time to ``failures``."""
        for (minute, kind, reason), count in self._fresh.items():
            for buckets in self.failures.values():
                key = kind, clean(reason)
                if buckets.crowded(60 * minute, key, MOST_REASONS):
                    key = kind, OTHER_REASONS
                buckets.at(60 * minute, key).value += count
        self._fresh.clear()

    def forget(self, node: str) -> None:
        """``node`` has gone: what it said holds no longer for the time to come."""
        self._now.pop(node, None)
