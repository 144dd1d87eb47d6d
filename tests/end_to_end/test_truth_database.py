"""History is what was sent, whatever happens to the database that it is kept in."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import frozen

from telemetry_twisted.store.testing import ThrowawayPostgresql
from tests.end_to_end.account import PARTS, account_of_history, compare, differences, querying
from tests.end_to_end.conftest import await_true
from tests.end_to_end.truth import PATIENCE, scene


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgresql_that_is_restarted(
    postgresql_server: ThrowawayPostgresql, postgresql_url: str, tmp_path: Path, mode: str
) -> None:
    with scene(tmp_path / "server", postgresql_url) as at:
        simulation = at.simulate(rate=40)
        at.await_events(60_000)
        postgresql_server.stop(mode)
        try:
            at.await_events(120_000)
        finally:
            postgresql_server.start()
        at.check(simulation.sent())


@frozen
class SmallDisk:
    """A file system of a few MiB, at ``path``."""

    path: Path

    @property
    def ballast(self) -> Path:
        """What fills it."""
        return self.path / "ballast"

    def fill(self) -> None:
        """Leave no room."""
        with self.ballast.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass

    def free(self) -> None:
        """Give the room back."""
        self.ballast.unlink()


@pytest.fixture
def small_disk() -> Iterator[SmallDisk]:
    """A disk of 96 MiB; the test is skipped where none may be mounted, unless
    TELEMETRY_REQUIRE_MOUNT is 1."""
    path = Path(tempfile.mkdtemp(prefix="telemetry-disk-"))
    path.chmod(0o755)  # for the user that runs PostgreSQL
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m,mode=777", "tmpfs", str(path)]
    if os.getuid() or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
        path.rmdir()
        if os.environ.get("TELEMETRY_REQUIRE_MOUNT") == "1":
            pytest.fail("no file system can be mounted here")
        pytest.skip("no file system can be mounted here")
    yield SmallDisk(path)
    subprocess.run(["umount", str(path)], check=True)
    path.rmdir()


@pytest.fixture(params=["sqlite", "postgresql"])
def url_on_small_disk(request: pytest.FixtureRequest, small_disk: SmallDisk) -> Iterator[str]:
    """The address of an empty database of either kind whose tables are on the small disk."""
    if request.param == "sqlite":
        yield f"sqlite:{small_disk.path / 'telemetry.sqlite'}"
        return
    request.getfixturevalue("postgresql_server")  # says what to do where there is none
    server = ThrowawayPostgresql()
    server.start()
    try:
        yield server.create_database("telemetry", small_disk.path)
    finally:
        server.remove()


def test_disk_that_is_full_for_a_while(
    url_on_small_disk: str, small_disk: SmallDisk, tmp_path: Path
) -> None:
    with scene(tmp_path / "server", url_on_small_disk) as at:

        def state() -> str:
            return str(at.get("/api/metrics/live")["store"]["state"])

        await_true(lambda: state() == "ok", "the store writes", PATIENCE)
        simulation = at.simulate()
        at.await_events(50_000)
        small_disk.fill()
        await_true(lambda: state() != "ok", "the store has no room", PATIENCE)
        at.await_events(150_000)
        small_disk.free()
        at.check(simulation.sent())


def test_two_servers_that_start_at_once(database_url: str, tmp_path: Path) -> None:
    with (
        scene(tmp_path / "one", database_url) as one,
        scene(tmp_path / "two", database_url) as two,
    ):
        sending = [
            at.simulate("--nodes=512", f"--seed={seed}", rate=40)
            for seed, at in enumerate((one, two), 1)
        ]
        first, second = (simulation.sent() for simulation in sending)
        wrong: list[str] = []
        # Blocks of different chains: how they spread is told for each alone.
        spreads = (first.spreads, second.spreads)
        first.spreads, second.spreads = {}, {}
        for at, account in ((one, first), (two, second)):
            assert at.events() == account.events
        first.add(second)
        with suppress(AssertionError):
            await_true(lambda: one.stored() == first.events, "all is counted", PATIENCE)
        for at in (one, two):
            wrong += differences("told as lost", {}, at.lost())
        one.server.stop(seconds=PATIENCE)
        two.server.stop(seconds=PATIENCE)
    query = querying(database_url)
    found, contradictions = account_of_history(query)
    wrong += contradictions + compare(first, found, PARTS[:-1])
    runs = query("SELECT run FROM runs")
    assert len(runs) == len(set(runs)) == 2
    reports: dict[int, int] = dict(
        query("SELECT run, CAST(sum(nodes) AS BIGINT) FROM slots GROUP BY run")
    )
    expected = sorted(sum(spread[0] for spread in each.values()) for each in spreads)
    assert sorted(reports.values()) == expected
    assert not wrong, "\n".join(wrong)


def test_file_that_is_deleted(tmp_path: Path) -> None:
    """What was written is gone, and what comes then is kept where it is looked for."""
    path = tmp_path / "telemetry.sqlite"
    with scene(tmp_path / "server", f"sqlite:{path}") as at:
        node = at.server.await_ready().connect_node("ab" * 32)

        def send(number: int) -> None:
            node.report_best([1] * number)
            await_true(lambda: at.stored() == number, "all is counted", PATIENCE)

        for number in (300, 500):
            send(number)
            for file in tmp_path.glob(f"{path.name}*"):
                file.unlink()
        at.server.await_log("deleted, emptied or replaced", times=2)
        await_true(lambda: at.get("/api/health")["status"] == "ok", "it is well", PATIENCE)
        assert [each["connected"] for each in at.get("/api/nodes")["nodes"]] == [True]
        assert at.lost() == {}
