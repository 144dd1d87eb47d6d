"""The wall clock is set while the server works: nothing waits for it, and nothing is miscounted.

The clock of the server's processes alone is faked, by libfaketime (Debian: faketime), whose offset
is read from a file once a second. The clocks of the nodes go on as they are.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.end_to_end.conftest import HOST, await_true

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, StartServer, Subscriber

HOUR = 3_600

LATENESS = 4.0
"""Seconds by which what comes regularly may be late on a busy machine; it would be an hour."""

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))

pytestmark = pytest.mark.skipif(
    not LIBRARIES and "TELEMETRY_REQUIRE_FAKETIME" not in os.environ,
    reason="libfaketime is not installed (Debian: apt-get install faketime)",
)


class Clock:
    """The wall clock of servers that are started while it is there."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, seconds: int) -> None:
        """Let it be so many seconds ahead of the true time."""
        anew = self._file.with_suffix(".new")
        anew.write_text(f"{seconds:+d}\n")
        anew.rename(self._file)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that can be set."""
    file = tmp_path / "clock"
    for name, value in {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
        "NO_FAKE_STAT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return Clock(file)


class Listener(threading.Thread):
    """Notes when which message came, by a clock that nobody sets."""

    def __init__(self, subscriber: Subscriber) -> None:
        super().__init__(daemon=True)
        self._subscriber = subscriber
        self.arrivals: defaultdict[str, list[float]] = defaultdict(list)
        self.newest: dict[str, Any] = {}
        self.times: dict[str, str] = {}
        self.alerts: list[Any] = []
        self.start()

    def run(self) -> None:
        try:
            while True:
                message = self._subscriber.receive()
                kind = message["type"]
                self.arrivals[kind].append(time.monotonic())
                self.newest[kind] = message["data"]
                self.times[kind] = message["timestamp"]
                if kind == "alert":
                    self.alerts += message["data"]["alerts"]
        except ConnectionClosed:
            pass

    def longest_silence(self, kind: str, since: float) -> float:
        """The longest time since then in which no message of that kind came."""
        times = [since, *(at for at in self.arrivals[kind] if at > since), time.monotonic()]
        return max(later - earlier for earlier, later in pairwise(times))


@contextmanager
def simulated_nodes(server: Server, nodes: int, rate: int) -> Iterator[None]:
    """Nodes that behave, by clocks that are right."""
    environment = {name: value for name, value in os.environ.items() if "FAKE" not in name}
    environment.pop("LD_PRELOAD", None)
    with subprocess.Popen(
        [
            str(Path(sys.executable).with_name("telemetry-simulator")),
            *("--nodes", str(nodes), "--rate", str(rate), f"{HOST}:{server.ports['telemetry']}"),
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as simulator:
        try:
            yield
        finally:
            simulator.send_signal(signal.SIGINT)
            simulator.wait(40)


def seconds_of(timestamp: str) -> float:
    """The Unix time that a message tells."""
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


NODES, RATE = 16, 40

ALERT_SECONDS = 30
"""How long nothing may be finalized; simulated networks take up to some twenty seconds."""

REGULAR = {"batch": 1.0, "metrics": 1.0, "stats": 5.0}
"""What comes all the time, and how many seconds apart at most."""


def counted(server: Server) -> dict[int, int]:
    """Events by the ten seconds in which they came, as its database has them."""
    with closing(sqlite3.connect(server.directory / "telemetry.sqlite")) as connection:
        rows = connection.execute("SELECT bucket, sum(events) FROM totals_10s GROUP BY bucket")
        return dict(rows.fetchall())


def test_a_clock_that_is_set_disturbs_nothing(start_server: StartServer, clock: Clock) -> None:
    """Each time for longer than anything that comes regularly is apart, and than alerts wait."""
    server = start_server(
        *("--alert-finality", str(ALERT_SECONDS), "--ping-seconds", "1"), procs=2, history=True
    )
    with server.subscriber() as subscriber:
        subscriber.ask({"type": "SubscribeMetrics", "interval_ms": 1_000})
        subscriber.ask({"type": "SubscribeAlerts"})
        listener = Listener(subscriber)
        newest = listener.newest
        with simulated_nodes(server, NODES, RATE):
            await_true(
                lambda: newest.get("stats", {}).get("connections", {}).get("total") == NODES,
                "all nodes are connected",
            )
            for ahead, seconds in ((HOUR, 15), (0, 15), (-HOUR, ALERT_SECONDS + 6)):
                commits = newest["stats"]["database"]["commits"]
                clock.set(ahead)
                began = time.monotonic()
                time.sleep(seconds)
                for kind, apart in REGULAR.items():
                    silence = listener.longest_silence(kind, began)
                    assert silence < apart + LATENESS, f"no {kind} for {silence:.1f} s"
                assert newest["stats"]["database"]["commits"] > commits
                rate = newest["metrics"]["events_per_second"]
                assert NODES * RATE / 3 < rate < NODES * RATE * 3, newest["metrics"]
                wall = time.time() + ahead
                assert abs(seconds_of(listener.times["metrics"]) - wall) < 1 + LATENESS
        assert listener.alerts == []
        total = server.stats()["total_events_broadcast"]
        latency = server.get("/api/health/detailed")[1]["metrics"]["histograms"]["latency_seconds"]
        assert 0 < latency["sum"] < latency["buckets"][-1][1], "less than a second on average"
        assert server.stats()["dropped_events"] == 0
    assert server.stop() in (0, -signal.SIGTERM)
    in_buckets = counted(server)
    assert sum(in_buckets.values()) == total
    # Nothing was heaped up: each is where the clock was when it came.
    assert max(in_buckets.values()) < 10 * NODES * RATE * 3, in_buckets
