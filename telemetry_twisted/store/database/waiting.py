"""Waiting for no longer than so many seconds."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from .interface import DatabaseUnavailable

T = TypeVar("T")


def within(clock: IReactorTime, result: Deferred[T], seconds: float, late: str) -> Deferred[T]:
    """What ``result`` fires with, if it does within ``seconds``; else it fails, saying ``late``.

    ``result`` itself is never cancelled, neither then nor when the Deferred that is returned is:
    whoever can end it does.
    """

    def left(_: Deferred[T]) -> None:
        if timeout.active():
            timeout.cancel()

    def give_up() -> None:
        outcome.errback(DatabaseUnavailable(late))

    outcome: Deferred[T] = Deferred(left)
    timeout = clock.callLater(seconds, give_up)

    def settle(value: T | Failure) -> None:
        if timeout.active():
            timeout.cancel()
            outcome.callback(value)

    result.addBoth(settle)
    return outcome
