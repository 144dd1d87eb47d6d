"""The cases of Autobahn's test suite against the server's WebSocket class, which echoes."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from telemetry_twisted.testing import CLOSE, TEXT, ReceivedFrame
from tests.end_to_end.conftest import DEADLINE, HOST
from tests.end_to_end.raw_websocket import RawClient, close_payload, frame
from tests.end_to_end.websocket_cases import CASES, NO_CODE, NORMAL, Case

_SECTIONS = {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 44, 9: 54, 10: 1}
"""How many there are of each section."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where a server in a process of its own echoes."""
    command = [sys.executable, "-m", "tests.end_to_end.echo_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@pytest.fixture
def client(port: int) -> Iterator[RawClient]:
    """A client that has been let in and greeted."""
    with socket.create_connection((HOST, port), DEADLINE) as connected:
        client = RawClient(connected).upgrade()
        greeting = client.receive()
        assert greeting is not None
        assert greeting.opcode == TEXT
        yield client


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(client: RawClient, case: Case) -> None:
    for step in case.steps():
        if isinstance(step, ReceivedFrame):
            assert client.receive() == step
        else:
            client.send_quietly(step, chop=case.chop)
    for answer in case.answers:
        assert client.receive() == answer
    if case.code is None:
        client.send(frame(CLOSE, close_payload(NORMAL)))
    closing = client.receive_close()
    expected = NORMAL if case.code is None else case.code
    assert closing.close_code == (None if expected == NO_CODE else expected)


def test_no_case_is_missing() -> None:
    counts = dict.fromkeys(_SECTIONS, 0)
    for case in CASES:
        counts[int(case.number.partition(".")[0])] += 1
    assert counts == _SECTIONS
    assert len({str(case) for case in CASES}) == len(CASES)
