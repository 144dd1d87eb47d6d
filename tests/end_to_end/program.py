"""Programs of others that a test runs for itself, and ends."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.end_to_end.conftest import DEADLINE, HOST, await_true


def find_program(name: str, package: str) -> str:
    """Where a program is; the test is skipped where it is not, unless it is required.

    It is required where TELEMETRY_REQUIRE_ and the last word of its name, in capitals, is 1.

    :param package: Debian's, which brings it.
    """
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        missing = f"{name} is not installed (Debian: apt-get install {package})"
        if os.environ.get(f"TELEMETRY_REQUIRE_{name.rpartition('-')[2].upper()}") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return program


def free_port() -> int:
    """A port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: Sequence[str], directory: Path, port: int) -> Iterator[None]:
    """``command``, which listens on ``port``; what it prints goes to ``directory``."""
    with (directory / "output").open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=directory
        )

    def listens() -> bool:
        assert process.poll() is None, (directory / "output").read_text()
        with suppress(ConnectionRefusedError), socket.create_connection((HOST, port), DEADLINE):
            return True
        return False

    try:
        await_true(listens, f"{command[0]} listens")
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE)
