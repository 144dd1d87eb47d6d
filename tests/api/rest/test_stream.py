"""Figures as server-sent events, over a connection in memory."""

from __future__ import annotations

from typing import Any

from klein import Klein
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from telemetry_twisted.api.http.channel import UNREAD_SECONDS
from telemetry_twisted.api.rest.stream import MetricsStream
from telemetry_twisted.api.site import api_site
from telemetry_twisted.api.websocket.metrics import Metrics
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.turns import Turns
from tests.api.http.test_channel import ChannelTestCase, head

EVENT = b"event: metrics\n"


class Live:
    """Figures, which were ``made`` so many times, or a mistake while ``failing``."""

    failing = False
    made = 0

    def stats(self) -> dict[str, Any]:
        return {}

    def network(self) -> dict[str, Any]:
        return {"networks": {}}

    def alerts(self) -> dict[str, Any]:
        return {}

    def problems(self) -> list[str]:
        return []

    def metrics(self) -> dict[str, Any]:
        if self.failing:
            raise ValueError("no figures")
        self.made += 1
        return {"nodes": 1}


class MetricsStreamTests(ChannelTestCase):
    """A stream with an event a second."""

    def make_site(self, **options: Any) -> Any:
        self.live = Live()
        errors = InternalErrors(self.clock)
        metrics = Metrics(self.live, self.clock, errors)
        app = Klein()

        @app.route("/stream")
        def stream(request: Any) -> Any:
            seconds = float(request.args.get(b"seconds", [b"1"])[0])
            return MetricsStream(metrics, errors).start(request, seconds)

        return api_site(app, self.connections, Turns(self.clock), self.clock, **options)

    def test_an_event_every_round(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("GET", "/stream"))
        self.clock.pump([1.0] * 3)
        self.assertEqual(transport.value().count(EVENT), 4)

    def test_one_timer_and_figures_made_once_for_all_who_are_due(self) -> None:
        transports = []
        timers = []
        for seconds in (0.5, 0.5, 2):
            channel, transport = self.connect()
            self.send(channel, head("GET", f"/stream?seconds={seconds}"))
            transports.append(transport)
            timers.append(len(self.clock.getDelayedCalls()))
        self.assertEqual(timers, [1, 1, 1])
        made = self.live.made
        self.clock.pump([0.1] * 41)
        self.assertEqual([each.value().count(EVENT) for each in transports], [9, 9, 3])
        self.assertEqual(self.live.made - made, 8)

    def test_a_client_that_does_not_keep_up_gets_less(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("GET", "/stream"))
        channel.pauseProducing()
        self.clock.pump([1.0] * 10)
        self.assertEqual(transport.value().count(EVENT), 1)
        channel.resumeProducing()
        self.clock.pump([1.0] * 2)
        self.assertEqual(transport.value().count(EVENT), 3)

    def test_a_client_that_reads_nothing_is_cut_off(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("GET", "/stream"))
        channel.pauseProducing()
        self.clock.pump([1.0] * int(UNREAD_SECONDS))
        self.assertTrue(transport.aborted)

    def test_a_round_that_fails_does_not_end_it(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("GET", "/stream"))
        self.live.failing = True
        self.clock.pump([1.0] * 2)
        self.live.failing = False
        self.clock.advance(1)
        self.assertEqual(transport.value().count(EVENT), 2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_that_cannot_begin_is_no_stream(self) -> None:
        channel, transport = self.connect()
        self.live.failing = True
        self.send(channel, head("GET", "/stream"))
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 500 "))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.live.failing = False
        self.clock.pump([1.0] * 2)
        self.assertEqual(self.live.made, 0)

    def test_it_ends_with_the_connection(self) -> None:
        channel, _ = self.connect()
        self.send(channel, head("GET", "/stream"))
        channel.stopProducing()
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
