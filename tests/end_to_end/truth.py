"""Networks of full size whose history is held to what they sent, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.end_to_end.account import (
    Account,
    account_of_history,
    account_of_simulator,
    compare,
    differences,
    querying,
    told_by,
)
from tests.end_to_end.conftest import HOST, Server, await_true, twistd

NODES, EVENTS = 1024, 200
"""The nodes of a network, and what each sends on a connection."""

PATIENCE = 90.0
"""Seconds after which what has to happen counts as missing, on a machine that is busy."""

NETWORK = (f"--nodes={NODES}", f"--events={EVENTS}", "--connect-rate=500", "--mistakes=0.1")
"""A network of which each node takes ten seconds at ``--rate=20``."""


@define
class Simulation:
    """A simulated network that sends to a server, and what it tells at the end."""

    process: subprocess.Popen[bytes]
    output: Path

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def result(self) -> Any:
        """What it told, once it has ended."""
        self.process.wait(PATIENCE)
        return told_by(self.output)

    def sent(self) -> Account:
        """Its account, once it has ended and the server has read all of it."""
        told = self.result()
        assert told["connections"]["lost"] == 0, told["connections"]
        assert told["connections"]["refused"] == 0, told["connections"]
        return account_of_simulator(told)

    def close(self) -> None:
        """End it, if it has not ended."""
        if not self.is_over:
            self.process.kill()
        self.process.wait()


@define
class Scene:
    """A server with its history at ``url``, and the networks that send to it."""

    server: Server
    url: str
    simulations: list[Simulation] = field(factory=list)

    def simulate(self, *options: str, rate: int = 20) -> Simulation:
        """Have a network send to the server, with further options of ``telemetry-simulator``."""
        output = self.server.directory / f"sent-{len(self.simulations)}"
        command = [sys.executable, "-m", "telemetry_twisted.simulator", "--json", *NETWORK]
        address = f"{HOST}:{self.server.ports['telemetry']}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*command, f"--rate={rate}", *options, address],
                cwd=Path(__file__).parents[2],
                stdout=file,
                stderr=subprocess.DEVNULL,
            )
        simulation = Simulation(process, output)
        self.simulations.append(simulation)
        return simulation

    # What can be done to its processes

    def pids(self, role: str) -> list[int]:
        """The pids of its processes of a role, ``store`` or ``ingestion``."""
        found = []
        for child in self.server.children:
            with suppress(OSError):
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                if f"telemetry_twisted.{role}".encode() in command:
                    found.append(child)
        return found

    def await_pid(self, role: str, besides: int = 0) -> int:
        """The pid of a process of a role, once there is one ``besides`` the one given."""

        def others() -> list[int]:
            return [pid for pid in self.pids(role) if pid != besides]

        await_true(others, f"there is another {role} process", PATIENCE)
        return others()[0]

    def kill(self, pid: int) -> None:
        """Kill a process, without a word to it."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    @contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        """A process stands still meanwhile, unless it is replaced."""
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    # What it tells

    def get(self, path: str) -> Any:
        """The JSON at a path that answers."""
        status, body, _ = self.server.get(path)
        assert status == 200, f"{path}: {status} {body}"
        return body

    def events(self) -> int:
        """Events that the server has received."""
        return int(self.get("/api/metrics/live")["broadcaster"]["total_events_broadcast"])

    def await_events(self, number: int) -> None:
        """Wait until the server has received so many events."""
        await_true(lambda: self.events() >= number, f"{number} events came", PATIENCE)

    def pages(self, path: str, key: str) -> Iterator[Any]:
        """What a path lists under ``key``, page by page; ``path`` has a query."""
        cursor = ""
        while True:
            answer = self.get(f"{path}{cursor}")
            yield from answer[key]
            if answer["next"] is None:
                return
            cursor = f"&cursor={answer['next']}"

    def stored(self) -> int:
        """Events that history counts, -1 while it cannot be asked."""
        status, body, _ = self.server.get("/api/event-types?from=-1h")
        return sum(row["count"] for row in body["event_types"]) if status == 200 else -1

    def lost(self) -> dict[str, int]:
        """What the server says that history has lost, by kind."""
        lost = self.get("/api/metrics/live")["store"].get("lost") or {}
        return {kind: number for kind, number in lost.items() if number}

    # The truth

    def settle(self, expected: Account, gone: bool = True) -> None:
        """Wait until history holds as much as is expected, or should."""
        if gone:
            await_true(
                lambda: self.get("/api/metrics/live")["nodes"] == 0, "all nodes left", PATIENCE
            )
        assert self.events() == expected.events
        with suppress(AssertionError):  # what is missing is said better below
            await_true(lambda: self.stored() == expected.events, "all is counted", PATIENCE)
        with suppress(AssertionError):
            await_true(lambda: not self.raw_shares(expected), "raw events settle", 20)

    def sampled(self) -> tuple[int, int]:
        """How many events were seen and how many of them were kept, as browsing tells."""
        sampled = self.get("/api/events?from=-1h&limit=1")["sampled"]
        return sampled["seen"], sampled["kept"]

    def raw_events(self) -> int:
        """How many raw events there are to be browsed."""
        return int(self.get("/api/stats")["history"]["raw_events"])

    def raw_shares(self, expected: Account) -> list[str]:
        """Where what is told of raw events is wrong: each is seen, and kept as is said."""
        wanted = expected.events, self.raw_events()
        found = self.sampled()
        return [] if found == wanted else [f"raw events seen and kept: {found}, {wanted} are held"]

    def rest(self, expected: Account) -> list[str]:
        """Where the answers of the API differ from what is expected."""
        wrong = self.raw_shares(expected)
        nodes = list(self.pages("/api/nodes?limit=500", "nodes"))
        wrong += differences(
            "/api/nodes",
            dict.fromkeys(expected.connections, 1),
            Counter(node["node_id"] for node in nodes),
        )
        wrong += [
            f"{node['node_id']} was first seen after it was last seen"
            for node in nodes
            if node["first_seen"] > node["last_seen"]
        ]
        types = self.get("/api/event-types?from=-1h")["event_types"]
        wrong += differences(
            "/api/event-types", expected.by_type(), {row["name"]: row["count"] for row in types}
        )
        failures = {
            (row["name"], row["reason"]): row["count"]
            for row in self.pages("/api/failures?from=-1h&limit=500", "failures")
        }
        wrong += differences("/api/failures", expected.failures, failures)
        faults: Counter[tuple[str, str, int]] = Counter()
        for row in self.pages("/api/protocol-errors?from=-1h&limit=500", "protocol_errors"):
            faults[row["node_id"], row["kind"], row["event_type"]] += row["count"]
        wrong += differences("/api/protocol-errors", expected.faults, faults)
        for kind, slot in expected.spreads:
            told = self.get(f"/api/slots/{slot}")[kind]
            number, _, *delays = expected.spreads[kind, slot]
            names = ("p50_ms", "p95_ms", "p99_ms", "all_ms")
            wanted = {"nodes": number, **{n: d / 1000 for n, d in zip(names, delays, strict=True)}}
            shown = {name: told and told[name] for name in wanted}
            wrong += differences(f"/api/slots/{slot} {kind}", wanted, shown)
        by_node = expected.by_node()
        for node_id in list(by_node)[::300]:
            timeline = self.get(f"/api/nodes/{node_id}/timeline?from=-1h")
            total = sum(group["total"] for group in timeline["groups"])
            wrong += differences("timelines", {node_id: by_node[node_id]}, {node_id: total})
        return wrong

    def browsed(self) -> Counter[tuple[str, str]]:
        """All raw events that can be browsed, by node and type."""
        found: Counter[tuple[str, str]] = Counter()
        for event in self.pages("/api/events?from=-1h&limit=500", "events"):
            ((name, _),) = event["event"].items()
            found[event["node_id"], name] += 1
        return found

    def check(self, expected: Account, gone: bool = True) -> None:
        """Hold history to what is expected, by the API and then, the server ended, in the database.

        Nothing may have been lost.
        """
        self.settle(expected, gone)
        wrong = self.rest(expected)
        end = time.monotonic() + PATIENCE / 4
        while wrong and time.monotonic() < end:  # what is not counted may come a little later
            wrong = self.rest(expected)
        wrong += differences("told as lost", {}, self.lost())
        self.server.stop(seconds=PATIENCE)
        found, contradictions = account_of_history(querying(self.url))
        wrong += contradictions + compare(expected, found)
        assert not wrong, "\n".join(wrong)


@contextmanager
def scene(directory: Path, url: str, *options: str) -> Iterator[Scene]:
    """A server that keeps history at ``url`` and listens; its store may not have started yet."""
    directory.mkdir(exist_ok=True)
    command = twistd(f"--database={url}", *options, history=True)
    server = Server(directory, command)
    set_up = Scene(server, url)
    try:
        server.await_listening()
        yield set_up
    finally:
        for simulation in set_up.simulations:
            simulation.close()
        server.close()
