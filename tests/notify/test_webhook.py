"""A webhook: what it is sent, in which order, how often, and what is given up."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.notify.address import ReceiverUrl
from telemetry_twisted.notify.change import Change
from telemetry_twisted.notify.notifier import Notifier, Receivers
from telemetry_twisted.notify.posting import NotTaken, Refused
from telemetry_twisted.notify.webhook import MOST_WAITING, WAIT_SECONDS, Webhook

ALERT = {
    "kind": "behind",
    "subject": None,
    "count": 2,
    "examples": ["a" * 64, "b" * 64],
    "value": 7,
    "threshold": 5,
    "message": "2 nodes are up to 7 slots behind",
    "advice": "see their logs",
    "started": "2026-01-01T00:00:00.000000Z",
    "ended": None,
}
SECRET = b"correct horse battery staple"


def change(number: int = 1) -> Change:
    return Change(f"2026-01-01T00:00:{number % 60:02}.000000Z", [ALERT], [], [ALERT])


class Endpoint:
    """Implements :class:`.Post`: each waits until it is answered."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []
        self.asked: list[Deferred[None]] = []

    async def __call__(
        self, url: str, auth: tuple[str, str] | None, headers: Mapping[str, str], body: bytes
    ) -> None:
        self.sent.append((url, headers, body))
        answer: Deferred[None] = Deferred()
        self.asked.append(answer)
        await answer

    @property
    def last(self) -> Any:
        return json.loads(self.sent[-1][2])

    def answer(self, error: Exception | None = None) -> None:
        """Answer what was asked first."""
        answer = self.asked.pop(0)
        if error is None:
            answer.callback(None)
        else:
            answer.errback(error)


class WebhookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.errors = InternalErrors(self.clock)
        self.endpoint = Endpoint()
        self.webhook = self.made(SECRET)
        self.webhook.startService()

    def tearDown(self) -> None:
        self.assertFalse(self.errors.counts)

    def made(self, secret: bytes | None) -> Webhook:
        return Webhook(
            ReceiverUrl.parse("https://user:word@example.org/hook?token=1"),
            "here",
            secret,
            self.endpoint,
            self.clock,
            self.clock.seconds,
            self.errors,
        )

    def test_a_change_is_told_whole_and_signed(self) -> None:
        self.webhook.alerts_changed(change())
        url, headers, body = self.endpoint.sent[0]
        self.assertEqual(url, "https://example.org/hook?token=1")
        self.assertEqual(
            json.loads(body),
            {
                "server": "here",
                "id": 1,
                "time": "2026-01-01T00:00:01.000000Z",
                "skipped": 0,
                "begun": [ALERT],
                "ended": [],
                "alerts": [ALERT],
                "count": 1,
            },
        )
        signed = hmac.new(SECRET, b"1000." + body, hashlib.sha256).hexdigest()
        self.assertEqual(headers["telemetry-signature"], f"t=1000,sha256={signed}")

    def test_without_a_secret_nothing_is_signed(self) -> None:
        webhook = self.made(None)
        webhook.startService()
        webhook.alerts_changed(change())
        self.assertEqual(self.endpoint.sent[0][1], {})

    def test_one_is_told_after_the_other(self) -> None:
        for number in range(1, 4):
            self.webhook.alerts_changed(change(number))
        self.assertEqual([1], [json.loads(body)["id"] for _, _, body in self.endpoint.sent])
        self.endpoint.answer()
        self.endpoint.answer()
        self.endpoint.answer()
        told = [json.loads(body)["id"] for _, _, body in self.endpoint.sent]
        self.assertEqual(told, [1, 2, 3])
        self.assertEqual(self.webhook.as_json()["waiting"], 0)
        self.assertEqual(self.webhook.as_json()["delivered"], 3)

    def test_what_is_not_taken_is_tried_again_later_and_later(self) -> None:
        self.webhook.alerts_changed(change())
        waits = []
        for _ in range(10):
            self.endpoint.answer(NotTaken("it answered 503"))
            (call,) = [each for each in self.clock.getDelayedCalls() if not _is_summary(each)]
            waits.append(call.getTime() - self.clock.seconds())
            self.clock.advance(waits[-1])
        self.assertEqual(len(self.endpoint.sent), 11)
        self.assertEqual({json.loads(body)["id"] for _, _, body in self.endpoint.sent}, {1})
        self.assertEqual(waits, sorted(waits))
        self.assertLess(waits[0], 3)
        self.assertEqual(waits[-1], 60)
        told = self.webhook.as_json()
        self.assertEqual((told["failed"], told["error"]), (10, "it answered 503"))
        self.assertEqual(told["failing_since"], "1970-01-01T00:16:40.000000Z")
        self.endpoint.answer()
        told = self.webhook.as_json()
        self.assertEqual((told["delivered"], told["error"], told["waiting"]), (1, None, 0))

    def test_what_is_refused_is_given_up_and_told_as_skipped(self) -> None:
        self.webhook.alerts_changed(change(1))
        self.webhook.alerts_changed(change(2))
        self.endpoint.answer(Refused("it answered 400"))
        self.assertEqual((self.endpoint.last["id"], self.endpoint.last["skipped"]), (2, 1))
        self.endpoint.answer()
        self.webhook.alerts_changed(change(3))
        self.assertEqual((self.endpoint.last["id"], self.endpoint.last["skipped"]), (3, 0))
        self.assertEqual(self.webhook.as_json()["refused"], 1)

    def test_of_too_many_the_oldest_but_the_one_under_way_are_given_up(self) -> None:
        for number in range(1, MOST_WAITING + 6):
            self.webhook.alerts_changed(change(number))
        self.assertEqual(self.webhook.as_json()["waiting"], MOST_WAITING)
        self.assertEqual(self.webhook.given_up, 5)
        self.endpoint.answer()
        self.assertEqual((self.endpoint.last["id"], self.endpoint.last["skipped"]), (7, 5))

    def test_what_is_too_old_is_given_up_but_for_the_newest(self) -> None:
        for number in (1, 2, 3):
            self.webhook.alerts_changed(change(number))
        self.endpoint.answer(NotTaken("no"))
        self.clock.advance(WAIT_SECONDS + 1)
        self.assertEqual((self.endpoint.last["id"], self.endpoint.last["skipped"]), (3, 2))

    def test_the_end_breaks_off_what_is_under_way(self) -> None:
        self.webhook.alerts_changed(change())
        self.webhook.stopService()
        self.webhook.alerts_changed(change(2))
        self.clock.advance(100)
        self.assertEqual(len(self.endpoint.sent), 1)

    def test_neither_path_nor_password_is_shown(self) -> None:
        shown = repr(self.webhook.as_json()) + repr(ReceiverUrl.parse("http://a:b@c:1/d?e"))
        for secret in ("user", "word", "hook", "token", "a:b", "/d"):
            self.assertNotIn(secret, shown.replace("webhook", ""))

    def test_one_receiver_that_breaks_keeps_no_other_from_its_alerts(self) -> None:
        urls = [ReceiverUrl.parse(f"http://example.org:{port}/") for port in (1, 2)]
        receivers = Receivers(urls, None, [], "here")
        notifier = Notifier(
            receivers, self.endpoint, self.clock, self.clock.seconds, InternalErrors(self.clock)
        )
        notifier.startService()
        notifier.alerts_changed(change())
        self.endpoint.answer(ZeroDivisionError())
        self.endpoint.answer()
        self.assertEqual([each["delivered"] for each in notifier.as_json()], [0, 1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        notifier.alerts_changed(change(2))
        told = [(url, json.loads(body)["id"]) for url, _, body in self.endpoint.sent[2:]]
        self.assertEqual(told, [("http://example.org:1/", 1), ("http://example.org:2/", 2)])


def _is_summary(call: Any) -> bool:
    return getattr(call.func, "__name__", "") == "_sum_up"
