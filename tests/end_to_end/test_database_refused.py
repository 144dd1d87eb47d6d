"""Databases that no waiting makes usable are refused when the server starts, with what to do."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from telemetry_twisted.store.testing import PASSWORD
from tests.end_to_end.test_command import ENDPOINTS, RUNNERS, SCRIPTS, run

if TYPE_CHECKING:
    from tests.end_to_end.conftest import StartProcess

OPTIONS = ["--ingestion-procs", "1", *ENDPOINTS]


def assert_refused(directory: Path, runner: str, url: str, *words: str) -> None:
    program, how = RUNNERS[runner]
    done = run(directory, *how, "telemetry", *OPTIONS, "--database", url, program=program)
    everything = done.stdout + done.stderr
    assert done.returncode == 1, everything
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("telemetry: ")]
    assert said.startswith("telemetry: --database ")
    for word in words:
        assert word in said
    assert "Traceback" not in everything
    assert PASSWORD not in everything
    assert not (directory / "twistd.pid").exists()


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_directory_that_is_missing(tmp_path: Path, runner: str) -> None:
    url = f"sqlite:{tmp_path / 'missing' / 'telemetry.sqlite'}"
    assert_refused(tmp_path, runner, url, "there is no directory", "Make it")
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("runner", ["in the foreground", "as a daemon"])
def test_a_file_that_is_no_database_and_one_of_a_later_release(tmp_path: Path, runner: str) -> None:
    (tmp_path / "notes").write_text("these are mine")
    assert_refused(tmp_path, runner, f"sqlite:{tmp_path / 'notes'}", "is no SQLite database")
    assert (tmp_path / "notes").read_text() == "these are mine"
    later = sqlite3.connect(tmp_path / "later")
    later.execute("PRAGMA user_version = 99")
    later.close()
    assert_refused(tmp_path, runner, f"sqlite:{tmp_path / 'later'}", "schema version 99", "upgrade")


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_password_that_is_wrong(tmp_path: Path, runner: str, postgresql_url: str) -> None:
    url = postgresql_url.replace("@127", "x@127")
    assert_refused(tmp_path, runner, url, "authentication failed", "Give the right user")


def test_a_database_that_there_is_not(tmp_path: Path, postgresql_url: str) -> None:
    url = f"{postgresql_url}_not"
    assert_refused(tmp_path, "as a daemon", url, "does not exist", "Create it")


@pytest.fixture
def without_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has processes find neither psycopg2 nor txpostgres."""
    directory = tmp_path / "path"
    directory.mkdir()
    for name in ("psycopg2", "txpostgres"):
        (directory / f"{name}.py").write_text(f"raise ImportError('No module named {name}')\n")
    monkeypatch.setenv("PYTHONPATH", str(directory), prepend=os.pathsep)


@pytest.mark.usefixtures("without_drivers")
def test_sqlite_needs_nothing_of_postgresql(
    tmp_path: Path, start_process: StartProcess, node_id: str
) -> None:
    server = start_process(
        str(SCRIPTS / "twistd"),
        *("-n", "--pidfile=", "telemetry", *OPTIONS),
        *("--database", f"sqlite:{tmp_path / 'telemetry.sqlite'}"),
    ).await_ready()
    server.await_log("history is written")
    with server.subscriber() as subscriber:
        server.connect_node(node_id).report_best(range(10))
        subscriber.receive_events(10)
    assert server.get("/api/nodes")[0] == 200


@pytest.mark.usefixtures("without_drivers")
@pytest.mark.parametrize("runner", ["in the foreground", "as a daemon"])
def test_postgresql_says_what_to_install(tmp_path: Path, runner: str) -> None:
    program, how = RUNNERS[runner]
    url = "postgresql://me:hunter2@localhost/telemetry"
    done = run(tmp_path, *how, "telemetry", *OPTIONS, "--database", url, program=program)
    assert done.returncode == 1
    last = (done.stdout + done.stderr).rstrip().splitlines()[-1]
    assert "pip install 'telemetry-twisted[postgresql]'" in last
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
