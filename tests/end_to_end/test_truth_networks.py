"""What is understood of a network is what its nodes meant, whatever happens to the store process.

The simulator knows what it meant by each event; its account is held to the database, to the event
and to the microsecond. Clocks are off, slots have two blocks, and some work packages get stuck.
"""

from __future__ import annotations

from pathlib import Path

from telemetry_twisted.simulator.account import Account
from tests.end_to_end.account import querying
from tests.end_to_end.conftest import await_true
from tests.end_to_end.truth import PATIENCE, scene
from tests.end_to_end.understood import Understood


def test_networks_are_understood(database_url: str, tmp_path: Path) -> None:
    told = tmp_path / "account.json"
    with scene(tmp_path / "server", database_url) as at:
        await_true(lambda: at.stored() == 0, "the store is there", PATIENCE)
        simulation = at.simulate(
            *("--nodes=32", "--mistakes=0", "--events=1000000", "--duration=30", "--forks=0.4"),
            *("--clock-skew=800", "--stuck=0.2", f"--account={told}"),
        )
        for events in (5000, 15_000):
            at.await_events(events)
            at.kill(at.await_pid("store"))
        simulation.result()
        await_true(lambda: at.get("/api/metrics/live")["nodes"] == 0, "all left", PATIENCE)
        await_true(lambda: at.stored() == at.events(), "all is counted", PATIENCE)
        assert not at.lost()
        at.server.stop(seconds=PATIENCE)
    query = querying(database_url)
    assert not query("SELECT 1 FROM journeys WHERE closed IS NULL")
    understood = Understood(query, Account.load(told))
    assert understood.wrong() == []
