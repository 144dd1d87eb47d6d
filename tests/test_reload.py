"""What SIGHUP has read again."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.reload import Reloads


class ReloadsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reloads = Reloads()
        self.done: list[str] = []

    def run_all(self) -> list[str]:
        """Have everything read again; what is logged."""
        with capturedLogs() as captured:
            self.successResultOf(self.reloads.run())
        return [
            eventAsText(event, includeTimestamp=False, includeSystem=False) for event in captured
        ]

    def test_everything_is_read_in_order(self) -> None:
        for title in ("tokens", "certificates"):
            self.reloads.add(title, partial(self.done.append, title))
        self.assertEqual(self.run_all(), ["tokens: read again", "certificates: read again"])
        self.assertEqual(self.done, ["tokens", "certificates"])
        self.run_all()
        self.assertEqual(self.done, ["tokens", "certificates"] * 2)

    def test_what_an_operator_got_wrong_is_told_in_a_line_and_hurts_no_other(self) -> None:
        self.reloads.add("tokens", partial(open, "no/such/file"))
        self.reloads.add("certificates", partial(self.done.append, "certificates"))
        self.assertEqual(
            self.run_all(),
            [
                "tokens: cannot be read again: [Errno 2] No such file or directory: "
                "'no/such/file'; what was read before stays",
                "certificates: read again",
            ],
        )
        self.assertEqual(self.done, ["certificates"])

    def test_a_mistake_is_logged_with_its_traceback_and_hurts_no_other(self) -> None:
        self.reloads.add("tokens", partial(dict[str, str]().__getitem__, "none"))
        self.reloads.add("certificates", partial(self.done.append, "certificates"))
        self.run_all()
        self.assertEqual(self.done, ["certificates"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_what_takes_time_is_awaited(self) -> None:
        reading: Deferred[None] = Deferred()
        self.reloads.add("tokens", lambda: reading)
        done = self.reloads.run()
        self.assertNoResult(done)
        reading.errback(ValueError("line 3 is no token"))
        self.successResultOf(done)

    def test_nothing_to_read_is_told(self) -> None:
        self.assertEqual(len(self.run_all()), 1)
