"""What a client sends, handed on no faster than it is answered."""

from __future__ import annotations

from collections.abc import Callable

from telemetry_twisted.turns import Turns

SLICE_BYTES = 2048
"""How much of what a client has sent is looked at before others have their turn.

That is a hundred requests, or some three hundred frames that hold nothing: a few milliseconds.
"""


class Inflow:
    """Hands on what a client sends, a slice in each of its turns.

    A segment may hold thousands of requests. They are looked at while those before them are
    answered, all clients together have a small part of each turn of the reactor, and a client is
    not read from while something that it has sent waits.

    :param deliver: takes a slice.
    :param ready: tells whether another one may be handed on.
    :param hold: told whether the client is not to be read from for now.
    """

    def __init__(
        self,
        turns: Turns,
        deliver: Callable[[bytes], None],
        ready: Callable[[], bool],
        hold: Callable[[bool], None],
    ) -> None:
        self._turns = turns
        self._deliver = deliver
        self._ready = ready
        self._hold = hold
        self._waiting = bytearray()
        self._has_turn = False
        self._stopped = False

    def received(self, data: bytes) -> None:
        """The client has sent ``data``."""
        if not self._stopped:
            self._waiting += data
            self.go_on()

    def go_on(self) -> None:
        """Hand on what waits, if that may be, when it is its turn."""
        ready = self._ready()
        self._hold(len(self._waiting) > SLICE_BYTES or bool(self._waiting and not ready))
        if self._waiting and ready and not self._has_turn:
            self._has_turn = True
            self._turns.taken().addCallback(self._hand_on)

    def _hand_on(self, _: None) -> None:
        self._has_turn = False
        if self._ready():
            data = bytes(self._waiting[:SLICE_BYTES])
            del self._waiting[:SLICE_BYTES]
            self._deliver(data)
        if not self._stopped:
            self.go_on()

    def stop(self) -> None:
        """Hand on nothing more."""
        self._stopped = True
        self._waiting.clear()
