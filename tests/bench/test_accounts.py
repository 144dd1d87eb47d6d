from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench.accounts import Watch, cpu_seconds, family, proportional_bytes, resident_bytes
from bench.processes import BenchError, module, process

CHILD = """
import time
while time.process_time() < 0.1: pass
print("worked", flush=True)
input()
"""
PARENT = f"""
import subprocess, sys
PIPE = subprocess.PIPE
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdin=PIPE, stdout=PIPE)
child.stdout.readline()
print("ready", flush=True)
input()
child.kill()
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    """A process with a child that has worked for a tenth of a second."""
    with process("parent", [sys.executable, "-c", PARENT]) as child:
        child.line()
        yield child.process
        child.go()


def work(seconds: float) -> None:
    """Take so many seconds of processor time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_server_is_all_its_processes(parent: subprocess.Popen[str]) -> None:
    roles = family(parent)
    assert list(roles) == ["process"]
    itself, child = roles["process"]
    assert itself == parent.pid
    assert cpu_seconds(child) >= 0.1
    assert 0 < proportional_bytes(child) <= resident_bytes(child)


def test_what_was_before_is_not_counted_and_what_others_take_is_not_the_servers() -> None:
    here = [os.getpid()]
    work(0.05)
    watch = Watch({"hub": here}, {})
    beside = Watch({"hub": []}, {"load": here})
    work(0.05)
    assert 0.04 <= watch.server_seconds() <= cpu_seconds(os.getpid()) - 0.04
    assert beside.server_seconds() == 0
    assert set(beside.shares()) == {"hub cores", "load cores"}
    assert beside.shares()["load cores"] > 0


def test_a_program_that_is_not_there_is_said() -> None:
    with pytest.raises(BenchError, match="rival"), process("rival", ["/no/such/program"]) as child:
        child.line()
    with pytest.raises(BenchError, match="no_such_module"), module("no_such_module") as child:
        child.line()
