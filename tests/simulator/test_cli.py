"""The command, as a process."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

import telemetry_twisted
from telemetry_twisted.simulator.account import Account
from telemetry_twisted.simulator.cli import main

ROOT = Path(telemetry_twisted.__file__).parent.parent


class Command(ProcessProtocol):
    """A run of the command: its output, and ``ended`` with its exit code."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.out = self.err = b""
        self.ended: Deferred[int] = Deferred()
        reactor.spawnProcess(
            self,
            sys.executable,
            [sys.executable, "-m", "telemetry_twisted.simulator", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def outReceived(self, data: bytes) -> None:
        self.out += data

    def errReceived(self, data: bytes) -> None:
        self.err += data

    def processEnded(self, reason: Failure) -> None:
        assert isinstance(reason.value, (ProcessDone, ProcessTerminated))
        self.ended.callback(reason.value.exitCode)


async def until(condition: Any) -> None:
    """Wait for ``condition()`` to be true, at most 20 s."""
    deadline = reactor.seconds() + 20

    def check() -> None:
        assert reactor.seconds() < deadline, "in vain"
        if condition():
            loop.stop()

    loop = LoopingCall(check)
    await loop.start(0.02)


@pytest.mark.end_to_end
@ensureDeferred
async def test_the_json_says_what_was_sent(sink: Any) -> None:
    command = Command(
        [
            *("--nodes", "12", "--events", "150", "--rate", "500", "--cores", "20"),
            *("--seed", "5", "--protocol-version", "1", "--json", sink.address),
        ]
    )
    assert await command.ended == 0, command.err
    await sink.emptied()
    figures = json.loads(command.out)
    events = [event for received in sink.received for event in received.events]
    assert command.err == b""
    assert figures["events"] == len(events) == 12 * 150
    assert figures["counts"] == Counter(event.name for event in events)
    assert figures["node_events"] == {
        received.information.node_id: 150 for received in sink.received
    }


@pytest.mark.end_to_end
@ensureDeferred
async def test_the_account_is_written_to_a_file(sink: Any, tmp_path: Path) -> None:
    file = tmp_path / "account"
    command = Command(
        [
            *("--nodes", "6", "--duration", "8", "--rate", "200", "--cores", "2", "--forks", "0.5"),
            *("--clock-skew", "900", "--stuck", "0.5", "--profile", "flood", "--json"),
            *("--account", str(file), sink.address),
        ]
    )
    assert await command.ended == 0, command.err
    await sink.emptied()
    figures, account = json.loads(command.out), Account.load(file)
    outcomes: dict[str, Counter[str]] = {}
    for (root, outcome, _), count in account.outcomes().items():
        outcomes.setdefault(root, Counter())[outcome] += count
    assert figures["outcomes"] == outcomes
    assert {each["node_id"]: each["clock_offset"] for each in figures["sent"]} == {
        account.node_id(node): account.clock_offset(node) for node in range(6)
    }
    latencies: Counter[str] = Counter()
    for (name, _), durations in account.latencies().items():
        latencies[name] += sum(duration * count for duration, count in durations.items())
    assert {name: each["sum"] for name, each in figures["latencies"].items()} == latencies
    events = [event for received in sink.received for event in received.events]
    received = [event for event in events if event.name == "AssuranceReceived"]
    assert sum(len(each.received) for each in account.assurances().values()) == len(received)


@pytest.mark.end_to_end
@ensureDeferred
async def test_the_same_options_send_the_same_bytes(sink: Any) -> None:
    sent = []
    for profile in ("paced", "flood"):
        arguments = [
            *("--nodes", "3", "--duration", "1", "--seed", "2", "--profile", profile),
            *("--start-time", "2026-05-01T12:00:00Z", sink.address),
        ]
        command = Command(arguments)
        assert await command.ended == 0, command.err
        await sink.emptied()
        sent.append(sorted(received.data for received in sink.received))
        sink.received.clear()
    assert sent[0] == sent[1]


@pytest.mark.end_to_end
@ensureDeferred
async def test_ctrl_c_ends_with_the_summary(sink: Any) -> None:
    command = Command(["--nodes", "5", sink.address])
    await until(lambda: len(sink.open) == 5)
    command.transport.signalProcess(signal.Signals.SIGINT.name[3:])  # type: ignore[union-attr]
    assert await command.ended == 0, command.err
    await sink.emptied()
    sent = sum(len(received.events) for received in sink.received)
    assert command.out.startswith(f"{sent:,} events".encode())


@pytest.mark.end_to_end
@ensureDeferred
async def test_connections_that_the_server_closes_are_told(sink: Any) -> None:
    sink.most = 0
    command = Command(["--nodes", "5", "--duration", "30", sink.address])
    assert await command.ended == 1
    assert b"0 were refused and 5 lost" in command.err
    assert b"--max-nodes" in command.err


@pytest.mark.end_to_end
@ensureDeferred
async def test_a_server_that_is_not_there_is_told(sink: Any) -> None:
    address = sink.address
    await sink.port.stopListening()
    command = Command(["--nodes", "50", "--duration", "30", address])
    assert await command.ended == 1
    assert command.out == b""
    assert b"cannot connect to " + address.encode() in command.err
    assert b"twistd -n telemetry" in command.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--nodes", "0"], "argument --nodes: '0' is not a whole number from 1 to 65,000"),
        (["--nodes", "x"], "argument --nodes: 'x' is not a whole number from 1 to 65,000"),
        (["--rate", "0.01"], "argument --rate: '0.01' is not a number from 0.1 to 10,000"),
        (["--rate", "nan"], "argument --rate: 'nan' is not a number from 0.1 to 10,000"),
        (["--forks", "2"], "argument --forks: '2' is not a number from 0 to 1"),
        (["--trouble", "bad-luck"], "there is no trouble 'bad-luck', but broken-encoder"),
        (["--gp", "0.6"], "argument --gp: invalid choice: '0.6'"),
        (["--start-time", "noon"], "'noon' is not a time such as 2026-01-31T12:00:00Z"),
        (["--start-time", "2020-01-01"], "is before the first minutes of the JAM Common Era"),
        (["localhost"], "'localhost' is not HOST:PORT, such as 127.0.0.1:9000 or [::1]:9000"),
        (["::1:9000"], "'::1:9000' is not HOST:PORT"),
        (["localhost:0"], "'localhost:0' is not HOST:PORT"),
    ],
)
def test_a_wrong_option_is_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(arguments)
    assert refusal.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for word in ("HOST:PORT", "--nodes", "--rate", "--profile", "flood", "Ctrl-C", "exit code"):
        assert word in text
