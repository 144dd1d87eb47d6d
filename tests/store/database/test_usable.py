"""Databases that can never be used, told from those that may come."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from telemetry_twisted.store.database import server, sqlite_file
from telemetry_twisted.store.database.interface import Database, NeverUsable
from telemetry_twisted.store.schema.versions import NEWEST
from telemetry_twisted.store.testing import PASSWORD

Make = Callable[[str], Database]


@ensureDeferred
async def test_a_database_can_be_used(database: Database) -> None:
    database.check()
    await database.open()
    database.check()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", r"is a directory; give the path of a file"),
        ("missing/telemetry.sqlite", r"there is no directory .*missing\. Make it"),
        ("text", r"text is no SQLite database\. Give"),
        ("pipe", r"pipe is no file"),
    ],
)
def test_what_can_be_no_sqlite_database_is_refused(
    name: str, said: str, tmp_path: Path, make_database: Make
) -> None:
    (tmp_path / "text").write_text("not at all")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NeverUsable, match=said):
        make_database(f"sqlite:{tmp_path / name}").check()


def test_empty_and_foreign_files_of_sqlite_are_not(tmp_path: Path, make_database: Make) -> None:
    path = tmp_path / "telemetry.sqlite"
    path.touch()
    make_database(f"sqlite:{path}").check()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (id)")
    connection.close()
    make_database(f"sqlite:{path}").check()


@ensureDeferred
async def test_a_newer_schema_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.open()
    await database.close()  # SQLite has the version in the file itself then.
    for module in (sqlite_file, server):
        monkeypatch.setattr(module, "NEWEST", NEWEST - 1)
    with pytest.raises(NeverUsable, match=rf"has schema version {NEWEST}, .*upgrade"):
        database.check()


def test_what_a_server_refuses_for_good_is(postgresql_url: str, make_database: Make) -> None:
    for wrong, said in (
        (postgresql_url.replace("@127", "x@127"), "authentication failed.*Give the right user"),
        (postgresql_url.replace("//telemetry:", "//nobody:"), "nobody"),
        (postgresql_url + "_not", 'database "telemetry_.*_not" does not exist.*Create it'),
    ):
        with pytest.raises(NeverUsable, match=said) as refused:
            make_database(wrong).check()
        assert PASSWORD not in str(refused.value)


def test_a_server_that_does_not_answer_may_come(make_database: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    make_database(f"postgresql://me:secret@127.0.0.1:{port}/history").check()


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_AGAIN])
def test_a_host_that_there_is_not_is_refused_and_one_that_is_not_known_yet_is_not(
    number: int, make_database: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    database = make_database("postgresql://me:secret@nowhere/history")
    if number == socket.EAI_AGAIN:
        database.check()
    else:
        with pytest.raises(NeverUsable, match=r"the address of nowhere is not known: .* Give a"):
            database.check()
