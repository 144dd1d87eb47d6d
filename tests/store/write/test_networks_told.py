"""The hub is told of networks when anything has changed, and only then."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.store.write.collected import Collected
from telemetry_twisted.store.write.lines import Lines
from telemetry_twisted.store.write.networks_told import NetworksTold
from telemetry_twisted.transport import records
from telemetry_twisted.turns import Turns

GENESIS = "0x" + "07" * 32


def coming(handle: int) -> bytes:
    """A node connects."""
    told = {
        "handle": handle,
        "node_id": f"{handle:064x}",
        "connection": handle,
        "address": "127.0.0.1:1",
        "info": {"genesis": GENESIS},
        "cores": 2,
        "version": 0,
        "connected": 1_795_506_120_000_000,
    }
    return records.json_body(told)


class NetworksToldTests(SynchronousTestCase):
    def test_what_has_changed_is_told_once(self) -> None:
        clock = Clock()
        collected = Collected(Counter(), Lines(clock))
        sent: list[bytes] = []
        told = NetworksTold(collected, Turns(clock), clock.seconds, sent.append)

        def look() -> list[Any]:
            sent.clear()
            self.successResultOf(Deferred.fromCoroutine(told.look()))
            size = records.PREFIX.size
            self.assertTrue(all(record[size - 1] == records.NETWORK for record in sent))
            return [records.decode_json(record[size:]) for record in sent]

        self.assertEqual(look(), [])
        collected.take(records.NODE_CONNECTED, coming(1), 0)
        ((summary,),) = (changed.values() for changed in look())
        self.assertEqual(summary["connected"], 1)
        self.assertEqual(look(), [])
        collected.take(records.NODE_CONNECTED, coming(2), 0)
        self.assertEqual(look()[0][GENESIS]["connected"], 2)
        for handle in (1, 2):
            gone = {
                "handle": handle,
                "node_id": f"{handle:064x}",
                "connection": handle,
                "disconnected": 1_795_506_121_000_000,
                "reason": "left",
            }
            collected.take(records.NODE_GONE, records.json_body(gone), 0)
        self.assertEqual(look(), [{GENESIS: None}])
        self.assertEqual(look(), [])
