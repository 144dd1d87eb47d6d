"""How far each node's clock is from the server's.

Whatever a node says arrives after it happened, so the least that ``arrival - time`` was of late is
how far the server's clock is ahead of the node's, and the little that the fastest message took.
It is what is added to a node's times to have them by the server's clock: an *offset*.
"""

from __future__ import annotations

from attrs import define, frozen

from telemetry_twisted.jip3.moment import SLOT

PIECE = 60_000_000
"""The width of a piece of the time that is looked back on, in microseconds."""

PIECES = 5
"""How many pieces are looked back on, beside the one that goes on: five minutes."""

MOST_CLOCKS = 20_000
"""Nodes whose clocks are known; above it, those that were heard of least lately go."""

MOST_OFF = SLOT
"""A clock that is further off, in microseconds, is of no use for comparing nodes."""


@frozen
class Offset:
    """A node's clock, in microseconds: what to add to its times, and how uncertain that is.

    ``spread`` is by how much what came has varied: the offset is too large by no more than the
    least delay of a message, which ``spread`` says nothing of, but a node whose messages all take
    as long is told from one whose messages come in bursts.
    """

    offset: int
    spread: int

    @property
    def off(self) -> bool:
        """Whether the clock is too far off for its times to be compared with those of others."""
        return abs(self.offset) > MOST_OFF


@define
class _Piece:
    number: int
    least: int
    greatest: int


class Clocks:
    """The offsets of nodes, by their IDs."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[_Piece]] = {}
        self._offsets: dict[str, Offset] = {}

    def hear(self, node: str, least: int, greatest: int, now: int) -> None:
        """What came of ``node`` by ``now`` took from ``least`` to ``greatest``.

        Both are ``arrival - time``, all in microseconds.
        """
        number = now // PIECE
        pieces = self._pieces.pop(node, [])  # at the end: the first is the one heard of least
        self._pieces[node] = pieces
        if pieces and pieces[-1].number == number:
            pieces[-1].least = min(pieces[-1].least, least)
            pieces[-1].greatest = max(pieces[-1].greatest, greatest)
        else:
            # One from after ``now`` is of a clock that was set back since.
            oldest = number - PIECES
            pieces[:] = [piece for piece in pieces if oldest <= piece.number < number]
            pieces.append(_Piece(number, least, greatest))
        first = min(piece.least for piece in pieces)
        self._offsets[node] = Offset(first, max(piece.greatest for piece in pieces) - first)
        if len(self._pieces) > MOST_CLOCKS:
            self._forget(next(iter(self._pieces)))

    def offset(self, node: str) -> Offset | None:
        """The offset of ``node``, None while nothing is known of it."""
        return self._offsets.get(node)

    def server_clock_set(self) -> None:
        """The server's clock was set: what all offsets are from is another now."""
        self._pieces.clear()
        self._offsets.clear()

    def settle(self, now: int) -> None:
        """Forget the clocks of which nothing was heard of late."""
        oldest = now // PIECE - PIECES
        while self._pieces:
            node, pieces = next(iter(self._pieces.items()))
            if pieces[-1].number >= oldest:
                break
            self._forget(node)

    def _forget(self, node: str) -> None:
        del self._pieces[node], self._offsets[node]
