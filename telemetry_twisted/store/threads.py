"""Threads for what blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from telemetry_twisted.interfaces import IServerReactor

T = TypeVar("T")


class Threads:
    """At most ``most`` threads, started when they are first needed."""

    def __init__(self, reactor: IServerReactor, most: int, name: str) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, most, name)

    def run(self, work: Callable[..., T], *args: Any) -> Deferred[T]:
        """What ``work(*args)`` returns or raises, run in one of the threads."""
        if not self._pool.started:
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, work, *args)

    def stop(self) -> None:
        """End the threads; what they still do is waited for."""
        if self._pool.started:
            self._pool.stop()
