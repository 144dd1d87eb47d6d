"""The server under test: its processes, what they hold, and what can be done to them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from bench.accounts import resident_bytes
from bench.processes import BenchError, await_true

from .account import Account

HOST = "127.0.0.1"

_START_SECONDS = 60.0
_END_SECONDS = 30.0
_PORT = re.compile(r"--(telemetry|api)-endpoint: .*:(\d+)$", re.MULTILINE)


@frozen
class Sample:
    """What a process held at a moment: memory in bytes, and open descriptors."""

    memory: int
    descriptors: int


@define
class Server:
    """A running server; ``ports`` has those of ``telemetry`` and ``api``."""

    process: subprocess.Popen[bytes]
    log_path: Path
    ports: dict[str, int] = field(factory=dict)

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_path.read_text(errors="replace")

    def children(self) -> dict[str, list[int]]:
        """The pids of its processes by what they do, but for those that have just ended."""
        pid = self.process.pid
        roles: dict[str, list[int]] = {"hub": [pid], "ingestion": [], "store": []}
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with suppress(OSError):
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                for role in ("ingestion", "store"):
                    if f"telemetry_twisted.{role}".encode() in command:
                        roles[role].append(int(child))
        return roles

    def samples(self) -> dict[str, Sample]:
        """What the processes of each role hold, together."""
        return {
            role: Sample(
                sum(map(resident_bytes, pids)),
                sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
            )
            for role, pids in self.children().items()
        }

    def get(self, path: str) -> Any:
        """The JSON answer of the API to ``path``, or its text."""
        connection = HTTPConnection(HOST, self.ports["api"], timeout=_START_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            is_json = response.headers["content-type"] == "application/json"
            return json.loads(body) if is_json else body.decode()
        finally:
            connection.close()

    def signal(self, role: str, number: signal.Signals, which: int = 0) -> int | None:
        """Send a signal to one of the processes of a role; its pid, or None if there is none."""
        pids = self.children()[role]
        if not pids:
            return None
        pid = pids[which % len(pids)]
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def resume(self, pid: int) -> None:
        """Let a process that was stopped go on, if it is still one of this server's."""
        if pid in [each for pids in self.children().values() for each in pids]:
            os.kill(pid, signal.SIGCONT)

    def end(self, account: Account) -> None:
        """End it as a service manager does, and see how it ends."""
        self.process.terminate()
        try:
            code = self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            account.wrong(f"the server did not end within {_END_SECONDS:.0f} s")
            return
        if code not in (0, -signal.SIGTERM):
            account.wrong(f"the server ended with exit code {code}")


@contextmanager
def server(directory: Path, *options: str) -> Iterator[Server]:
    """A server with history in ``directory``, on free ports."""
    log = directory / "log"
    command = [
        str(Path(sys.executable).with_name("twistd")),
        *("-n", "--pidfile=", "telemetry"),
        *("--telemetry-endpoint", f"tcp:0:interface={HOST}"),
        *("--api-endpoint", f"tcp:0:interface={HOST}"),
        *options,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=directory, stdout=output, stderr=output, start_new_session=True
        )
    started = Server(process, log)

    def serves() -> bool:
        if process.poll() is not None:
            raise BenchError(f"the server ended:\n{started.log[-2000:]}")
        started.ports = {kind: int(port) for kind, port in _PORT.findall(started.log)}
        if len(started.ports) < 2:
            return False
        with suppress(OSError):
            return bool(started.get("/api/health")["status"] == "ok")
        return False

    try:
        if not await_true(serves, _START_SECONDS, 0.1):
            raise BenchError(f"the server does not serve:\n{started.log[-2000:]}")
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
