"""A store process that is killed again and again takes nothing with it that the hub has sent."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.transport import records

from .model import ModelDatabase, ModelProcess

COUNTED = records.json_body({"received": 1.0, "counts": {"1": {"11": 600, "12": 400}}})
BEST_BLOCK = records.Facts(1, ((1, b"\x01\0\0\0\x0b"),)).encode()[records.PREFIX.size :]


class KilledTests(SynchronousTestCase):
    """Ten thousand events a second, and a kill every other second."""

    def setUp(self) -> None:
        self.clock = Clock()
        errors = InternalErrors(self.clock)
        self.client = StoreClient(b"{}", True, self.clock, self.clock.seconds, errors)
        self.database = ModelDatabase()

    def start(self) -> ModelProcess:
        process = ModelProcess(self.client, self.database, 200_000, 1000)
        process.open()
        return process

    def test_no_event_is_lost_to_five_kills_in_ten_seconds(self) -> None:
        process = self.start()
        for tick in range(1, 101):
            self.client.record(records.COUNTS, COUNTED)
            self.clock.advance(0.1)
            process.read(1000)
            if tick % 5 == 0:
                process.say()
            if tick % 20 == 19:
                self.client.record(records.FACTS, BEST_BLOCK)
                # One kill before a commit, one while it comes about, one while it does not, ...
                if tick % 60 != 19:
                    process.begin()
                    process.end(committed=tick % 60 == 39, known=False)
                process.die()
                process = self.start()
        process.read(1000)
        process.begin()
        process.end(committed=True)
        written = self.database.written.tally
        self.assertEqual((written.events, written.facts), (100_000, 5))
        self.assertEqual(sum(self.client.losses.total.values()), 0)
        self.assertEqual(self.client.status["pending"]["records"], 0)
        self.assertEqual(self.client.status["state"], "ok")
