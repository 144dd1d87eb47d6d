"""What a node gets wrong now and then: messages that cannot be read, or only in part.

Each still uses up an event ID (JIP-3, Event IDs). A server counts the first two as decode errors,
and delivers the third with a violation.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from ..jip3.encoder import frame
from ..jip3.table import TABLE
from .blockchain import SECOND
from .schedule import Event, Exchange

_PREFIX = 4
_NO_EVENT = 255
"""A discriminator that no event has."""


class Fault(NamedTuple):
    """What a server has to say of a message: ``decode_error`` or ``violation``, and of which type
    of event, by discriminator."""

    kind: str
    discriminator: int


class Mistake(NamedTuple):
    """A way to get a message wrong: the event it is made of, what is done to its content, and what
    a server has to say of it."""

    event: str
    spoil: Callable[[bytes], bytes]
    fault: Fault

    @property
    def is_delivered(self) -> bool:
        """Whether the event counts as one nonetheless."""
        return self.fault.kind == "violation"

    def encode(self, message: bytes) -> bytes:
        """The wrong message that a right one becomes, both with their length prefixes."""
        return frame(self.spoil(message[_PREFIX:]))


_NUMBERS = {event.name: event.discriminator for event in TABLE.events.values()}

MISTAKES = {
    "no such event": Mistake(
        "SyncStatusChanged",
        lambda content: content[:8] + bytes((_NO_EVENT,)) + content[9:],
        Fault("decode_error", _NO_EVENT),
    ),
    "cut short": Mistake(
        "SyncStatusChanged",
        lambda content: content[:-1],
        Fault("decode_error", _NUMBERS["SyncStatusChanged"]),
    ),
    "too long": Mistake(
        "SyncStatusChanged",
        lambda content: content + b"\0",
        Fault("violation", _NUMBERS["SyncStatusChanged"]),
    ),
}
"""All ways, by a name that no event has."""


def make_mistakes(random: Random, time: int, rate: float) -> Exchange:
    """Mistakes from ``time`` on, ``rate`` in a second on average."""
    while True:
        time += max(1, int(random.expovariate(rate) * SECOND))
        yield Event(time, random.choice(tuple(MISTAKES)), {"synced": True})
