"""What history says of chains and of the network is what its nodes meant, at all sizes.

Nodes' clocks are off, slots have two blocks, work packages get stuck, nodes drop events and make
mistakes, and begin anew in the middle; the store process is killed and stands still. The simulator
knows what it meant by each event: its account is held to the database, to the event and to the
microsecond, and to what the API answers.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from attrs import frozen

from telemetry_twisted.jip3.codec import CodecUnavailable, load_codec
from telemetry_twisted.simulator.account import Account
from tests.end_to_end.account import querying
from tests.end_to_end.answers import answers
from tests.end_to_end.conftest import await_true
from tests.end_to_end.truth import PATIENCE, Scene, scene
from tests.end_to_end.understood import Understood


@frozen
class Size:
    """A network: its nodes and cores, how often each node connects, and how it sends then."""

    nodes: int
    cores: int
    times: int
    rate: int
    events: int

    def __str__(self) -> str:
        return f"{self.nodes} nodes"


SMALL = Size(16, 5, times=2, rate=60, events=600)
MEDIUM = Size(128, 42, times=2, rate=25, events=250)
FULL = Size(1024, 341, times=1, rate=12, events=180)


@pytest.mark.parametrize(
    ("size", "codec", "database"),
    [
        (SMALL, "python", "sqlite"),
        (SMALL, "compiled", "postgresql"),
        (MEDIUM, "python", "postgresql"),
        (MEDIUM, "compiled", "sqlite"),
        (FULL, "auto", "sqlite"),
    ],
    ids=str,
)
def test_history_says_what_nodes_meant(
    request: pytest.FixtureRequest, tmp_path: Path, size: Size, codec: str, database: str
) -> None:
    if codec == "compiled" and not is_built():
        codec = "python"  # what is left to hold is the other database
    url = f"sqlite:{tmp_path / 'history'}"
    if database == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    told = tmp_path / "account.json"
    with scene(tmp_path / "server", url, f"--codec={codec}") as at:
        await_true(lambda: at.stored() == 0, "the store is there", PATIENCE)
        simulation = at.simulate(
            f"--nodes={size.nodes}",
            f"--cores={size.cores}",
            f"--events={size.events}",
            f"--times={size.times}",
            *("--clock-skew=800", "--forks=0.4", "--stuck=0.2", "--drops=0.5"),
            f"--account={told}",
            rate=size.rate,
        )
        if size is MEDIUM:
            trouble_store(at, size.nodes * size.events)
        sent = simulation.sent()
        assert sent.dropped
        assert sent.faults
        await_true(lambda: at.get("/api/metrics/live")["nodes"] == 0, "all left", PATIENCE)
        await_true(lambda: at.stored() == sent.events, "all is counted", PATIENCE)
        account = Account.load(told)
        with suppress(AssertionError):  # what is missing is said better below
            await_true(lambda: not answers(at, account), "answers settle", PATIENCE / 4)
        assert answers(at, account) == []
        assert not at.lost()
        at.server.stop(seconds=PATIENCE)
    assert len(account.connections) == size.nodes * size.times
    query = querying(url)
    assert not query("SELECT 1 FROM journeys WHERE closed IS NULL")
    understood = Understood(query, account)
    # Nothing was too much to be told, so nothing may be missing.
    assert not understood.left_out()
    assert understood.wrong() == []


def trouble_store(at: Scene, events: int) -> None:
    """Have the store process killed and then stand still while so many events come twice."""
    at.await_events(events // 3)
    at.kill(at.await_pid("store"))
    at.await_events(events)
    with at.stopped(at.await_pid("store")):
        at.await_events(events * 4 // 3)


def is_built() -> bool:
    """Whether there is a compiled codec."""
    try:
        load_codec("compiled")
    except CodecUnavailable:
        return False
    return True
