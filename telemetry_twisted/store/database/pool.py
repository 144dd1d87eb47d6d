"""Connections of txpostgres that read, never more than so many.

A query is its caller's, and the connection is the pool's: when a client leaves, or a query takes
too long, the caller is free at once. The server is then told to give the query up, and only when it
has is there a place for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import psycopg2
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredLock,
    DeferredSemaphore,
    gatherResults,
)
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from txpostgres import txpostgres

from telemetry_twisted.interfaces import IServerReactor

from .interface import QUERY_SECONDS, DatabaseError, DatabaseUnavailable, TooManyConnections
from .server import CONNECT_SECONDS, Server, look_up, mark_parameters, read_bytes
from .threads import Threads
from .waiting import within

Rows = list[tuple[Any, ...]]

CONNECTIONS = 5
"""Connections that read, and the one that has the server give up what nobody waits for."""

CANCEL_SECONDS = 1.0
"""How long the server may take to give up a query, before its connection is closed."""

READ_AHEAD = (
    "SELECT set_config(name, '64', false) FROM pg_settings WHERE name = 'effective_io_concurrency' "
    "AND CAST(setting AS integer) BETWEEN 1 AND 63"
)
"""Has the server ask its disk for several pages at once, where its system can (it is 0 where not):
rows of a node are a page each, and one after another they take three times as long."""

RETRY_SECONDS = 0.2
"""How soon a server that took no more connections is asked again."""


class Pool:
    """At most ``most`` connections to ``server``, made when they are needed and then kept."""

    _log = Logger()

    def __init__(self, server: Server, reactor: IServerReactor, most: int = CONNECTIONS) -> None:
        self._server = server
        self._reactor = reactor
        self._places = DeferredSemaphore(most - 1)
        self._idle: list[_Reader] = []
        self._readers: set[_Reader] = set()
        self._canceller: _Reader | None = None
        self._cancelling = DeferredLock()
        self._resolving = Threads(reactor, most, "store-resolver")
        self._closed = False

    async def query(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """The rows of a query, which may be cancelled.

        Neither waiting for a connection nor the query takes longer than :data:`QUERY_SECONDS`.

        :raises DatabaseError: as :meth:`.interface.Readable.query` does.
        """
        place: Deferred[Any] = self._places.acquire()
        await place.addTimeout(QUERY_SECONDS, self._reactor, self._no_place)
        question = _Question(self._server.name, mark_parameters(sql), tuple(parameters))
        late = self._reactor.callLater(QUERY_SECONDS, question.late)
        Deferred.fromCoroutine(self._serve(question)).addErrback(
            lambda failure: self._log.failure("a connection that reads was not freed", failure)
        )
        try:
            return await question.rows
        finally:
            if late.active():
                late.cancel()

    def _no_place(self, result: Any, seconds: float) -> Any:
        if isinstance(result, Failure) and result.check(CancelledError):
            raise DatabaseUnavailable(
                f"{self._server.name} is busy: none of the connections that read was free for "
                f"{seconds:g} s"
            )
        return result

    async def _serve(self, question: _Question) -> None:
        """Answer ``question``, and keep a place until the server has nothing left of it to do."""
        try:
            while not question.over.called:
                if self._closed:
                    raise DatabaseUnavailable(f"{self._server.name} was closed")
                if self._idle:
                    await self._ask(self._idle.pop(), question, is_new=False)
                    continue
                try:
                    reader = await self._connected()
                except TooManyConnections as error:
                    question.reason = error
                    await deferLater(self._reactor, RETRY_SECONDS)
                else:
                    await self._ask(reader, question, is_new=True)
        except DatabaseError as error:
            question.fail(error)
        finally:
            self._places.release()

    def _translated(self, error: BaseException) -> BaseException:
        """What ``error`` is to the store."""
        if self._closed or isinstance(error, ConnectionDone):
            # Whatever the driver, or the reactor, says of what was under way then.
            return DatabaseUnavailable(f"{self._server.name} was closed")
        if isinstance(error, psycopg2.Error):
            return self._server.translated(error)
        return error

    async def _ask(self, reader: _Reader, question: _Question, is_new: bool) -> None:
        """Have ``reader`` answer, and take it back when it has, or has given up.

        A connection that was kept may have been ended by the server meanwhile: nothing is answered
        then, and nothing lost.
        """
        if question.over.called:
            self._take_back(reader)
            return
        outcome: list[Rows | Failure] = []
        answer: Deferred[Any] = reader.runQuery(question.sql, question.parameters)
        answer.addBoth(outcome.append)
        await DeferredList([answer, question.over], fireOnOneCallback=True)
        if not outcome:
            await self._give_up(reader, answer)
        self._take_back(reader)
        (result,) = outcome
        if not isinstance(result, Failure):
            question.answer(result)
        elif is_new or not reader.is_closed:
            question.fail(self._translated(cast(BaseException, result.value)))

    async def _give_up(self, reader: _Reader, answer: Deferred[Any]) -> None:
        """Have the server end what ``reader`` does; where it does not, the connection is closed.

        libpq could ask it to, but waits for the server as it does, and nothing else runs meanwhile.
        """
        process = reader.pollable().get_backend_pid()
        cancelled = self._cancelling.run(Deferred.fromCoroutine, self._cancel(process))
        ended = gatherResults([cancelled, answer], consumeErrors=True)
        try:
            await within(self._reactor, ended, CANCEL_SECONDS, "the server does not answer")
            # It is the next query that is given up where the last one was done already.
            await within(self._reactor, reader.runQuery("SELECT 1"), CANCEL_SECONDS, "nor then")
        except psycopg2.extensions.QueryCanceledError:
            pass
        except (psycopg2.Error, DatabaseUnavailable, ConnectionDone):
            reader.close()

    async def _cancel(self, process: int) -> None:
        """Have the server's ``process`` end its query."""
        if self._canceller is None or self._canceller.is_closed:
            self._canceller = await self._connected()
        await self._canceller.runQuery("SELECT pg_cancel_backend(%s)", (process,))

    def _take_back(self, reader: _Reader) -> None:
        if self._closed or reader.is_closed:
            self._lost(reader)
        else:
            self._idle.append(reader)

    def _lost(self, reader: _Reader) -> None:
        reader.close()
        self._readers.discard(reader)
        if reader in self._idle:
            self._idle.remove(reader)

    async def _connected(self) -> _Reader:
        """A connection that was just made."""
        parameters = self._server.parameters(QUERY_SECONDS)
        late = f"{self._server.name} could not be connected to within {CONNECT_SECONDS} s"
        reader = _Reader(self._reactor, self._lost)
        self._readers.add(reader)
        try:
            found = self._resolving.run(look_up, parameters["host"])
            addresses = await within(self._reactor, found, CONNECT_SECONDS, late)
            parameters.update(addresses)
            if self._closed:
                raise DatabaseUnavailable(f"{self._server.name} was closed")
            connected = reader.connect(**parameters)
            await within(self._reactor, connected, CONNECT_SECONDS, late)
            await within(self._reactor, reader.runQuery(READ_AHEAD), CONNECT_SECONDS, late)
        except Exception as error:
            self._lost(reader)
            raise self._translated(error) from None
        read_bytes(reader.pollable())
        return reader

    def close(self) -> None:
        """Close every connection at once; queries that wait fail."""
        self._closed = True
        for reader in list(self._readers):
            self._lost(reader)
        self._resolving.stop()


class _Question:
    """A query whose ``rows`` somebody waits for, until it is ``over``: answered or given up."""

    def __init__(self, name: str, sql: str, parameters: tuple[Any, ...]) -> None:
        self.sql = sql
        self.parameters = parameters
        self.reason: DatabaseError = DatabaseUnavailable(
            f"{name} took longer than {QUERY_SECONDS:g} s"
        )
        self.over: Deferred[None] = Deferred()
        self.rows: Deferred[Rows] = Deferred(lambda _: self.over.callback(None))

    def answer(self, rows: Rows) -> None:
        if not self.over.called:
            self.over.callback(None)
            self.rows.callback(rows)

    def fail(self, error: BaseException) -> None:
        if not self.over.called:
            self.over.callback(None)
            self.rows.errback(error)

    def late(self) -> None:
        self.fail(self.reason)


class _Cursor(txpostgres.Cursor):  # type: ignore[misc]  # txpostgres has no types
    """A cursor that tells a query that the server gave up from one that its caller did."""

    def _handleCancellation(self, failure: Failure) -> Failure:
        return failure


class _Reader(txpostgres.Connection):  # type: ignore[misc]  # txpostgres has no types
    """A connection that, lost while nobody asks anything of it, is closed rather than logged."""

    cursorFactory = _Cursor

    def __init__(self, reactor: IServerReactor, lost: Callable[[_Reader], None]) -> None:
        super().__init__(reactor)
        self._lost = lost

    @property
    def is_closed(self) -> bool:
        return self.pollable() is None or bool(self.pollable().closed)

    def doRead(self) -> None:
        try:
            super().doRead()
        except psycopg2.Error:
            self._lost(self)

    def close(self) -> None:
        if self.pollable() is not None:
            # The reactor would take the next connection, which is given the same descriptor, for
            # one that it watches already.
            for cursor in self._cursors:
                self.reactor.removeReader(cursor)
                self.reactor.removeWriter(cursor)
            super().close()
