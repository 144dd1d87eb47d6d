"""Which process of the stream is the busiest."""

from __future__ import annotations

from typing import Any, cast

from attrs import define
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.busy import Busy
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.stream_load import LOOK_SECONDS, StreamLoad


@define
class Server:
    """An ingestion process that has sent this pulse."""

    pulse: dict[str, Any]


class LoadTests(SynchronousTestCase):
    """A hub and two ingestion processes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.servers = [Server({}), Server({"busy": 0.5})]
        self.wanted = 0.0
        self.told: list[float] = []
        self.load = StreamLoad(
            cast(Any, self.servers),
            self.told.append,
            self.clock,
            InternalErrors(self.clock),
            Busy(self.clock, lambda: self.wanted),
        )
        self.load.startService()

    def test_it_is_told_of_the_busiest_as_long_as_it_runs(self) -> None:
        self.clock.advance(LOOK_SECONDS)
        self.wanted += 0.75 * LOOK_SECONDS
        self.clock.advance(LOOK_SECONDS)
        self.servers[0].pulse = {"busy": 0.9}
        self.clock.advance(LOOK_SECONDS)
        self.load.stopService()
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.told, [0.5, 0.75, 0.9])
