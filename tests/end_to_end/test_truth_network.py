"""History of a network of full size is what its nodes sent, to the event."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.truth import scene


def test_all_that_was_sent(database_url: str, tmp_path: Path) -> None:
    with scene(tmp_path / "server", database_url) as at:
        at.check(at.simulate("--profile=flood", rate=40).sent())


def test_nodes_that_come_again(database_url: str, tmp_path: Path) -> None:
    with scene(tmp_path / "server", database_url) as at:
        expected = at.simulate("--times=3", "--events=70", rate=70).sent()
        assert set(expected.connections.values()) == {3}
        at.check(expected)


def test_events_that_come_while_the_store_starts(database_url: str, tmp_path: Path) -> None:
    with scene(tmp_path / "server", database_url) as at:
        with at.stopped(at.await_pid("store")):
            simulation = at.simulate(rate=100)
            at.await_events(100_000)
        at.check(simulation.sent())
