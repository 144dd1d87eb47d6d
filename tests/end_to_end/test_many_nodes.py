"""A thousand nodes that say a little: all that they send arrives, once and in order."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.account import account_of_simulator, account_of_stream
from tests.end_to_end.conftest import HOST

if TYPE_CHECKING:
    from tests.end_to_end.conftest import StartServer

NODES = 1024
EVENTS = 40
SECONDS = 120


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("codec", ["compiled", "python"])
def test_all_that_a_thousand_nodes_send_arrives_once_and_in_order(
    codec: str, start_server: StartServer
) -> None:
    server = start_server("--codec", codec)
    with (
        server.subscriber() as subscriber,
        subprocess.Popen(
            [
                str(Path(sys.executable).with_name("telemetry-simulator")),
                *("--nodes", str(NODES), "--events", str(EVENTS), "--rate", "20"),
                *("--mistakes", "1", "--json", f"{HOST}:{server.ports['telemetry']}"),
            ],
            stdout=subprocess.PIPE,
        ) as simulator,
    ):
        subscriber.receive_until(lambda: len(subscriber.events) >= NODES * EVENTS, SECONDS)
        told, _ = simulator.communicate(timeout=SECONDS)
    sent = json.loads(told)
    assert all(each["whole"] for each in sent["sent"])
    assert account_of_stream(subscriber.events).counts == account_of_simulator(sent).counts
    assert subscriber.skipped == 0
    ids = [event["data"]["id"] for event in subscriber.events]
    assert len(set(ids)) == len(ids)
    for of_one in subscriber.by_node.values():
        for rising in ("id", "event_id"):
            numbers = [event["data"][rising] for event in of_one]
            assert numbers == sorted(set(numbers))
    server.await_nodes(0)
