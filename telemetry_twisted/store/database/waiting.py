"""Waiting for no longer than so many seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from .interface import DatabaseUnavailable

T = TypeVar("T")

CLOSE_SECONDS = 1.0
"""How long what is under way may go on when a database is let go of, and again when it is ended."""


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


async def ended(clock: IReactorTime, ending: Deferred[T], abort: Callable[[], object]) -> bool:
    """Wait for ``ending``, which ``abort`` hurries after :data:`CLOSE_SECONDS`; return whether it
    came before as long again."""
    aborting = clock.callLater(CLOSE_SECONDS, abort)
    try:
        await within(clock, ending, 2 * CLOSE_SECONDS, "it did not end")
    except DatabaseUnavailable:
        return False
    finally:
        if aborting.active():
            aborting.cancel()
    return True
