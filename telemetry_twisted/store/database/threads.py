"""Threads for what blocks."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from telemetry_twisted.interfaces import IServerReactor

T = TypeVar("T")


class _Daemon(Thread):
    """A thread that nothing waits for when the process ends."""

    def start(self) -> None:
        self.daemon = True
        super().start()


class Threads:
    """At most ``most`` threads, started when they are first needed.

    They keep no process from ending, as threads do otherwise: what blocks may do so for ever.
    """

    def __init__(self, reactor: IServerReactor, most: int, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._pool = ThreadPool(0, most, name)
        self._pool.threadFactory = _Daemon

    def run(self, work: Callable[..., T], *args: Any) -> Deferred[T]:
        """What ``work(*args)`` returns or raises, run in one of the threads."""
        if not self._pool.started:
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, work, *args)

    def stop(self) -> Deferred[None]:
        """Have the threads end; fires when they have, after what they still do."""
        ended: Deferred[None] = Deferred()
        if not self._pool.started:
            ended.callback(None)
            return ended

        def join() -> None:
            self._pool.stop()
            self._reactor.callFromThread(ended.callback, None)

        Thread(target=join, name=f"{self._name}-end", daemon=True).start()
        return ended
