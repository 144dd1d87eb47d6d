"""What is known of a commit when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import pytest
import pytest_twisted
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.protocols import portforward

from telemetry_twisted.store.database.interface import (
    Database,
    DatabaseError,
    DatabaseUnavailable,
    OutcomeUnknown,
    Transaction,
)
from telemetry_twisted.store.schema.tables import RAW_SHARE
from telemetry_twisted.store.testing import ThrowawayPostgresql

Make = Callable[[str], Database]
COUNT = "SELECT count(*) FROM raw_share"


class _FromClient(portforward.ProxyServer):
    def dataReceived(self, data: bytes) -> None:
        wire: Wire = cast(Any, self.factory)
        server: Any = self.peer
        if wire.word and wire.word in data:
            if not wire.after:
                self._cut()
                return
            server.dataReceived = lambda _: self._cut()
        super().dataReceived(data)

    def _cut(self) -> None:
        here, there = cast(Any, self.transport), cast(Any, self.peer).transport
        here.abortConnection()
        there.abortConnection()


class Wire(portforward.ProxyFactory):
    """A wire to a server, which breaks before or after the server got ``word``."""

    protocol = _FromClient
    noisy = False
    word = b""
    after = False


@pytest.fixture
def wire(postgresql_server: ThrowawayPostgresql) -> Wire:
    return Wire("127.0.0.1", postgresql_server.port)


@pytest.fixture
def wired_url(
    postgresql_url: str, postgresql_server: ThrowawayPostgresql, wire: Wire
) -> Iterator[str]:
    """The address of a database at the other end of the wire."""
    port: Any = cast(Any, reactor).listenTCP(0, wire, interface="127.0.0.1")
    yield postgresql_url.replace(f":{postgresql_server.port}/", f":{port.getHost().port}/")
    pytest_twisted.blockon(port.stopListening())


def insert(bucket: int) -> Callable[[Transaction], None]:
    return lambda transaction: transaction.append(RAW_SHARE, [(bucket, 1, 2, 3, 4)])


@pytest.mark.parametrize("after", [False, True])
@ensureDeferred
async def test_a_connection_lost_while_it_commits_leaves_the_outcome_unknown(
    after: bool, wire: Wire, wired_url: str, postgresql_url: str, make_database: Make
) -> None:
    database = make_database(wired_url)
    await database.open()
    wire.word, wire.after = b"COMMIT", after
    with pytest.raises(OutcomeUnknown):
        await database.transact(insert(1))
    wire.word = b""
    assert await make_database(postgresql_url).query(COUNT) == [(int(after),)]
    await database.open()
    await database.transact(insert(2))
    assert await database.query(COUNT) == [(1 + after,)]


@ensureDeferred
async def test_a_connection_lost_before_it_commits_has_written_nothing(
    wire: Wire, wired_url: str, make_database: Make
) -> None:
    database = make_database(wired_url)
    await database.open()
    wire.word, wire.after = b"INSERT", True

    def work(transaction: Transaction) -> None:
        insert(1)(transaction)
        transaction.execute("INSERT INTO raw_share VALUES (2, 1, 2, 3, 4)")

    with pytest.raises(DatabaseUnavailable) as lost:
        await database.transact(work)
    assert not isinstance(lost.value, OutcomeUnknown)
    wire.word = b""
    await database.open()
    assert await database.query(COUNT) == [(0,)]


@pytest.mark.end_to_end
@ensureDeferred
async def test_what_is_known_holds_when_the_server_is_killed_and_comes_back(
    make_database: Make,
) -> None:
    server = ThrowawayPostgresql()
    try:
        server.start()
        database = make_database(server.create_database("history"))
        await database.open()
        written, not_written, killing = set(), set(), None
        for number in range(1, 900):
            if number % 400 == 0 and killing is None:
                killing = deferToThread(_restart, server)
            try:
                await database.transact(insert(number))
                written.add(number)
            except OutcomeUnknown:
                pass
            except DatabaseUnavailable:
                not_written.add(number)
                if killing is not None:
                    await killing
                    killing = None
                with suppress(DatabaseUnavailable):
                    await database.open()
        if killing is not None:
            await killing
        found = {bucket for (bucket,) in await database.query("SELECT bucket FROM raw_share")}
        assert written <= found
        assert not not_written & found
        assert not_written
    finally:
        server.remove()


def _restart(server: ThrowawayPostgresql) -> None:
    server.stop("immediate")
    server.start()


@ensureDeferred
async def test_a_commit_that_the_database_refuses_has_failed(database: Database) -> None:
    await database.open()

    def deferred(transaction: Transaction) -> None:
        transaction.execute("CREATE TABLE one (id integer PRIMARY KEY)")
        transaction.execute(
            "CREATE TABLE other (id integer REFERENCES one (id) DEFERRABLE INITIALLY DEFERRED)"
        )

    def dangling(transaction: Transaction) -> None:
        insert(1)(transaction)
        transaction.execute("INSERT INTO other VALUES (1)")

    if database.kind == "sqlite":
        await database.transact(deferred)
        # Foreign keys are only looked at where this was said, outside of a transaction.
        cast(Any, database)._writer.execute("PRAGMA foreign_keys = ON")
    else:
        await database.transact(deferred)
    with pytest.raises(DatabaseError) as refused:
        await database.transact(dangling)
    assert not isinstance(refused.value, DatabaseUnavailable)
    assert await database.query(COUNT) == [(0,)]
    await database.transact(insert(2))
    assert await database.query(COUNT) == [(1,)]
