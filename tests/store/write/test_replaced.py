"""Databases that are deleted, emptied or replaced while they are written to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.store.database.interface import Database, DatabaseReplaced
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.store.write.listener import Listener
from telemetry_twisted.store.write.pace import COMMIT_SECONDS
from telemetry_twisted.store.write.writer import Writer

Make = Callable[..., Any]


class Told(Listener):
    """Remembers whether a writer has given up."""

    gave_up = False

    def over(self) -> None:
        self.gave_up = True


async def take_away(database: Database, url: str, how: str) -> None:
    """What the writer has written is there no longer."""
    if how == "emptied":
        await database.transact(lambda transaction: transaction.execute("DELETE FROM runs"))
        return
    path = Path(url.removeprefix("sqlite:"))
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()
    if how == "replaced":
        path.touch()


@ensureDeferred
async def test_a_writer_gives_up_what_nobody_would_find(
    database_url: str, make_database: Make, clock: Clock, until: Make
) -> None:
    for how in ("emptied", "deleted", "replaced"):
        if how != "emptied" and not database_url.startswith("sqlite:"):
            continue
        database, listener = make_database(database_url), Told()
        errors = InternalErrors(clock)
        writer = Writer(database, "ab", clock, Policy(), clock.seconds, errors)
        writer.start(listener)
        await until(lambda writer=writer: writer.status()["commits"])
        await take_away(database, database_url, how)
        clock.advance(COMMIT_SECONDS)
        await until(lambda listener=listener: listener.gave_up)
        assert "deleted, emptied or replaced" in writer.status()["last_error"]
        assert writer.status()["commits"] == 1
        await Deferred.fromCoroutine(writer.stop(5))


@ensureDeferred
async def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path, make_database: Make) -> None:
    url = f"sqlite:{tmp_path / 'telemetry.sqlite'}"
    database = make_database(url)
    count = "SELECT count(*) FROM nodes"
    insert = "INSERT INTO nodes (node_id) VALUES ('ab')"
    await database.open()
    await database.transact(lambda transaction: transaction.execute(insert))
    assert await database.query(count) == [(1,)]
    await take_away(database, url, "replaced")
    with pytest.raises(DatabaseReplaced):
        await database.transact(lambda transaction: transaction.execute(insert))
    await database.open()
    assert await database.query(count) == [(0,)]
    await database.transact(lambda transaction: transaction.execute(insert))
    assert await database.query(count) == [(1,)]
