"""Processes that a benchmark starts: they say when they are ready, and end whatever happens."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import IO, Any

from attrs import frozen

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"

START_SECONDS = 20.0
"""How long a process may take until it is ready."""

END_SECONDS = 10.0
"""How long a process may take to end when it is told to."""

_TIED = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
"""Has a process end also when the one that started it is killed."""


class BenchError(Exception):
    """Something that a benchmark needs did not work."""


@frozen
class Child:
    """A process that says when it is ready, and prints its result as JSON in the end."""

    name: str
    process: subprocess.Popen[str]
    errors: IO[str]

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self.process.pid

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        watchdog = Timer(START_SECONDS, self.process.kill)
        watchdog.start()
        try:
            line = self.process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise self.failed("did not become ready")
        return line

    def await_port(self, port: int) -> None:
        """Wait until it listens on ``port``."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError):
                socket.create_connection((HOST, port), timeout=1).close()
                return
            time.sleep(0.05)
        raise self.failed(f"does not listen on port {port}")

    def go(self) -> None:
        """Let it begin what it waits with."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def stop(self) -> dict[str, Any]:
        """Its result, now."""
        self.process.terminate()
        return self.result(0)

    def result(self, seconds: float) -> dict[str, Any]:
        """Its result, which it is to print in about so many seconds."""
        try:
            output, _ = self.process.communicate(timeout=seconds + END_SECONDS)
        except subprocess.TimeoutExpired:
            raise self.failed("did not end in time") from None
        if not output.strip():
            raise self.failed(f"ended with status {self.process.returncode} and no result")
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result

    def failed(self, what: str) -> BenchError:
        """The error to raise, with what the process has said."""
        self.errors.seek(0)
        return BenchError(f"{self.name} {what}\n{self.errors.read()[-2000:]}")


@contextmanager
def module(name: str, *arguments: str, pass_fds: Sequence[int] = ()) -> Iterator[Child]:
    """The Python module ``name`` run as a program, with ``arguments`` and descriptors."""
    command = [sys.executable, "-m", name, *arguments]
    with process(name, command, pass_fds=pass_fds) as child:
        yield child


@contextmanager
def process(
    name: str,
    command: Sequence[str],
    directory: Path = ROOT,
    logs: bool = False,
    pass_fds: Sequence[int] = (),
) -> Iterator[Child]:
    """A process in a session of its own; ``logs`` if it prints nothing that is to be read."""
    with TemporaryFile("w+") as errors:
        try:
            started = subprocess.Popen(
                [*_TIED, *command],
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=errors if logs else subprocess.PIPE,
                stderr=errors,
                text=True,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        except OSError as error:
            raise BenchError(f"{name} cannot be started: {error}") from error
        with started:
            try:
                yield Child(name, started, errors)
            finally:
                _end(started)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def await_true(condition: Callable[[], bool], seconds: float, every: float = 0.01) -> bool:
    """Whether ``condition`` comes true within so many seconds."""
    end = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(every)
    return true


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def raise_file_limit() -> None:
    """Allow this process and those that it starts as many open files as the system lets them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
