"""What an Alertmanager is told, and how often."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.notify.address import ReceiverUrl
from telemetry_twisted.notify.alertmanager import (
    ENDED_SECONDS,
    HOLDS_SECONDS,
    RESEND_SECONDS,
    Alertmanager,
)
from telemetry_twisted.notify.change import Change
from telemetry_twisted.notify.posting import NotTaken
from telemetry_twisted.timestamps import rfc3339
from tests.notify.test_webhook import ALERT, Endpoint

BEGIN = Change(rfc3339(1), [ALERT], [], [ALERT])
END = Change(rfc3339(50), [], [ALERT], [])


class AlertmanagerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.errors = InternalErrors(self.clock)
        self.endpoint = Endpoint()
        self.alertmanager = Alertmanager(
            ReceiverUrl.parse("http://localhost:9093/prefix/"),
            "here",
            self.endpoint,
            self.clock,
            self.clock.seconds,
            self.errors,
        )
        self.alertmanager.startService()

    def tearDown(self) -> None:
        self.alertmanager.stopService()
        self.assertFalse(self.errors.counts)

    def ends(self) -> list[str]:
        """When each alert that it was told of last ends."""
        return [alert["endsAt"] for alert in self.endpoint.last]

    def pass_by(self, seconds: float) -> None:
        """Let time go by, and take whatever is sent."""
        for _ in range(int(seconds // RESEND_SECONDS)):
            self.clock.advance(RESEND_SECONDS)
            while self.endpoint.asked:
                self.endpoint.answer()

    def test_as_long_as_nothing_happened_it_is_told_nothing(self) -> None:
        self.pass_by(300)
        self.assertEqual(self.endpoint.sent, [])

    def test_what_holds_is_told_at_once_and_again_and_again(self) -> None:
        self.alertmanager.alerts_changed(BEGIN)
        url, _, body = self.endpoint.sent[0]
        self.assertEqual(url, "http://localhost:9093/prefix/api/v2/alerts")
        expected: list[dict[str, Any]] = [
            {
                "labels": {"alertname": "behind", "job": "telemetry", "server": "here"},
                "annotations": {
                    "summary": ALERT["message"],
                    "description": ALERT["advice"],
                    "count": "2",
                    "value": "7",
                    "threshold": "5",
                    "examples": f"{'a' * 64}, {'b' * 64}",
                },
                "startsAt": ALERT["started"],
                "endsAt": rfc3339(HOLDS_SECONDS),
            }
        ]
        self.assertEqual(json.loads(body), expected)
        self.endpoint.answer()
        self.pass_by(90)
        self.assertEqual(len(self.endpoint.sent), 4)
        self.assertEqual(self.ends(), [rfc3339(90 + HOLDS_SECONDS)])

    def test_its_end_is_told_for_a_while(self) -> None:
        self.alertmanager.alerts_changed(BEGIN)
        self.endpoint.answer()
        self.alertmanager.alerts_changed(END)
        self.endpoint.answer()
        self.assertEqual(self.ends(), [END.time])
        self.pass_by(ENDED_SECONDS + 2 * RESEND_SECONDS)
        sent = len(self.endpoint.sent)
        self.assertGreater(sent, 20)
        self.pass_by(600)
        self.assertEqual(len(self.endpoint.sent), sent)

    def test_what_begins_again_has_not_ended(self) -> None:
        self.alertmanager.alerts_changed(BEGIN)
        self.endpoint.answer()
        self.alertmanager.alerts_changed(END)
        self.endpoint.answer()
        self.alertmanager.alerts_changed(BEGIN)
        self.assertEqual(self.ends(), [rfc3339(HOLDS_SECONDS)])

    def test_one_that_comes_back_is_told_what_holds_then(self) -> None:
        self.alertmanager.alerts_changed(BEGIN)
        self.endpoint.answer(NotTaken("Connection was refused"))
        self.alertmanager.alerts_changed(END)
        self.assertEqual(len(self.endpoint.sent), 1)
        self.assertEqual(self.alertmanager.as_json()["waiting"], 1)
        self.clock.advance(3)
        self.assertEqual(self.ends(), [END.time])
        self.endpoint.answer()
        self.assertEqual(len(self.endpoint.sent), 2)
        self.assertEqual(self.alertmanager.as_json()["waiting"], 0)

    def test_what_changes_while_it_is_told_is_told_next(self) -> None:
        self.alertmanager.alerts_changed(BEGIN)
        self.alertmanager.alerts_changed(END)
        self.endpoint.answer()
        self.assertEqual(self.ends(), [END.time])
        self.endpoint.answer()
        self.assertEqual(len(self.endpoint.sent), 2)
