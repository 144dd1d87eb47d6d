"""What nodes have sent: the truth that subscribers' events are held to.

Every event tells which connection it was sent on and how many came before it there, in the 32 bytes
of its hash. So whoever receives it can tell whether one is missing, doubled or out of order.
"""

from __future__ import annotations

import struct
import sys
import time
from collections import Counter

from attrs import define, field

from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.table import TABLE

_MARK = struct.Struct(">QQ16x")
_SLOT_SECONDS = 6
_ERA = 1_735_732_800
"""The JAM Common Era in Unix time."""

KINDS = ("BestBlockChanged", "FinalizedBlockChanged")
"""The events that are sent, in turn."""

DISCRIMINATORS = tuple(
    event.discriminator for name in KINDS for event in TABLE.events.values() if event.name == name
)


BEFORE_SECONDS, AFTER_SECONDS = 15.0, 5.0
"""How long before the end of a process a node may have left whose last events ended with it."""


@define(eq=False)
class NodeConnection:
    """One connection of a node: ``sent`` events were given to its socket.

    ``ended`` is None while it is open, then ``left`` if the node closed it in peace, ``reset`` if
    it did so abruptly, and ``cut`` if the server did; ``ended_at`` is when, in monotonic seconds.
    ``forgotten`` says that it was checked so long after that no event of it can still come.
    """

    number: int
    node_id: str
    sent: int = 0
    ended: str | None = None
    ended_at: float = 0.0
    forgotten: bool = False

    def is_past(self, moment: float) -> bool:
        """Whether it ended before ``moment``."""
        return self.ended is not None and self.ended_at < moment

    def events(self, count: int) -> bytes:
        """The next ``count`` events, as they are sent."""
        now = time.time() - _ERA
        frames = []
        for number in range(self.sent, self.sent + count):
            mark = "0x" + _MARK.pack(self.number, number).hex()
            fields = {"slot": int(now) // _SLOT_SECONDS, "hash": mark}
            kind = KINDS[number % len(KINDS)]
            frames.append(frame(encode_event(kind, int(now * 1e6), fields, cores=2)))
        self.sent += count
        return b"".join(frames)


@define
class Account:
    """All connections of nodes, by number, and what went wrong."""

    connections: list[NodeConnection] = field(factory=list)
    done: Counter[str] = field(factory=Counter)
    mistakes: list[str] = field(factory=list)
    excuses: list[tuple[float, float]] = field(factory=list)

    def open(self, node_id: str) -> NodeConnection:
        """A new connection of a node."""
        connection = NodeConnection(len(self.connections), node_id)
        self.connections.append(connection)
        return connection

    def wrong(self, what: str) -> None:
        """Note a mistake of the server's; the first hundred are kept in words."""
        self.done["mistakes"] += 1
        if len(self.mistakes) < 100:
            self.mistakes.append(what)
            print(f"wrong: {what}", file=sys.stderr)

    def excuse(self, seconds: float) -> None:
        """From now on, for so long, a process may take what it has read with it."""
        now = time.monotonic()
        self.excuses.append((now - BEFORE_SECONDS, now + seconds + AFTER_SECONDS))

    def may_be_short(self, connection: NodeConnection) -> bool:
        """Whether the last events of a connection may be missing."""
        return connection.ended in ("reset", "cut") or (
            connection.ended == "left"
            and any(begin <= connection.ended_at <= end for begin, end in self.excuses)
        )


def read_mark(hash: str) -> tuple[int, int]:
    """The number of the connection, and of the event in it, that a hash holds."""
    number, sequence = _MARK.unpack(bytes.fromhex(hash[2:]))
    return number, sequence
