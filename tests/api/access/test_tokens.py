"""Tokens in a file: what may stand there, and when it is read again."""

from __future__ import annotations

import hmac
import os
import re
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.access.tokens import Role, TokenFile, TokenSet

READ = "5f0c8e6b6d1f4c7e9a3b2d10"
METRICS = "c2a91e0d7b8844f5b6a0e3f9"
FILE = f"""
# who may come in
dashboard   read     {READ}
  prometheus\tmetrics\t{METRICS}  \r

"""


class TokenSetTests(SynchronousTestCase):
    """What stands in a file."""

    def test_each_line_is_a_token(self) -> None:
        tokens = TokenSet.parse(FILE)
        dashboard, prometheus = tokens.holder_of(READ), tokens.holder_of(METRICS)
        assert dashboard is not None
        assert prometheus is not None
        self.assertEqual((dashboard.name, dashboard.role), ("dashboard", Role.READ))
        self.assertEqual((prometheus.name, prometheus.role), ("prometheus", Role.METRICS))
        for wrong in ("", READ[:-1], READ + "0", READ.upper(), "dashboard", "\udcff", "é"):
            self.assertIsNone(tokens.holder_of(wrong))

    def test_what_is_wrong_is_told_by_line_without_the_token(self) -> None:
        for lines, number, expected in (
            (f"dashboard {READ}", 1, "expected a name, a role and a token"),
            (f"\n\ndashboard read {READ} more", 3, "expected a name, a role and a token"),
            (READ, 1, "expected a name, a role and a token"),
            (f"#\ndashboard write {READ}", 2, "expected to be read or metrics"),
            (f"dash/board read {READ}", 1, "the name, which stands first, is expected"),
            (f"{READ} read dashboard", 1, "expected to be of letters"),
            ("dashboard read secret", 1, "16 to 256 of them"),
            (f"dashboard read {READ}=", 1, "expected to be of letters"),
            (f"dashboard read {'x' * 257}", 1, "16 to 256 of them"),
            (f"one read {READ}\ntwo metrics {READ}", 2, "the same token"),
        ):
            with self.assertRaisesRegex(ValueError, f"^line {number}: .*{expected}") as caught:
                TokenSet.parse(lines)
            self.assertNotIn(READ, str(caught.exception))
            self.assertNotIn("secret", str(caught.exception))

    def test_there_has_to_be_one_and_not_too_many(self) -> None:
        for text in ("", "# none\n"):
            with self.assertRaisesRegex(ValueError, "0 tokens; expected 1 to 1000"):
                TokenSet.parse(text)
        many = "".join(f"one read {number:016}\n" for number in range(1001))
        with self.assertRaisesRegex(ValueError, "1001 tokens; expected 1 to 1000"):
            TokenSet.parse(many)

    def test_every_digest_is_compared_wherever_the_right_one_stands(self) -> None:
        text = "".join(f"one read {number:016}\n" for number in range(50))
        tokens = TokenSet.parse(text)
        compare = hmac.compare_digest
        for wanted in (0, 25, 49, 99):
            with mock.patch.object(hmac, "compare_digest", side_effect=compare) as compared:
                found = tokens.holder_of(f"{wanted:016}")
            self.assertEqual(found is not None, wanted < 50)
            self.assertEqual(compared.call_count, 50)

    def test_no_token_is_kept(self) -> None:
        self.assertNotIn(READ, repr(TokenSet.parse(FILE)))

    @given(st.text())
    def test_any_text_is_tokens_or_told_what_is_wrong(self, text: str) -> None:
        try:
            TokenSet.parse(text)
        except ValueError as error:
            self.assertRegex(str(error), re.compile(r"^line \d+: |^\d+ tokens; expected"))


class TokenFileTests(SynchronousTestCase):
    """When it is read again."""

    def setUp(self) -> None:
        self.clock = Clock()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name, "tokens")
        self.write(FILE)
        self.file = TokenFile(str(self.path), self.clock)

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self.path.chmod(0o600)

    def has(self, token: str) -> bool:
        return self.file.current.holder_of(token) is not None

    def test_it_is_read_again_when_it_has_changed_and_a_second_has_passed(self) -> None:
        self.write(f"other read {'x' * 16}\n")
        self.assertTrue(self.has(READ))
        self.clock.advance(1)
        self.assertFalse(self.has(READ))
        self.assertTrue(self.has("x" * 16))

    def test_it_is_looked_at_once_a_second_at_most(self) -> None:
        with mock.patch.object(os, "stat", side_effect=os.stat) as looked:
            for _ in range(1000):
                self.clock.advance(0.01)
                self.has(READ)
        self.assertLessEqual(looked.call_count, 10)

    def test_it_is_read_again_when_asked_to(self) -> None:
        self.write(f"other read {'x' * 16}\n")
        self.file.reload()
        self.assertFalse(self.has(READ))

    def test_a_bad_file_leaves_the_tokens_as_they_were_and_is_told_once(self) -> None:
        self.write("dashboard read short\n")
        with capturedLogs() as logged:
            for _ in range(5):
                self.clock.advance(1)
                self.assertTrue(self.has(READ))
        (event,) = logged
        self.assertEqual(event["log_level"], LogLevel.error)
        self.assertIn("line 1", str(event["error"]))
        self.assertNotIn("short", str(event["error"]))

    def test_so_does_one_that_is_gone(self) -> None:
        self.path.unlink()
        with capturedLogs() as logged:
            self.clock.advance(1)
            self.assertTrue(self.has(READ))
        self.assertIn("cannot be read", str(logged[0]["error"]))
        with self.assertRaisesRegex(ValueError, "cannot be read: No such file"):
            self.file.reload()
        self.assertTrue(self.has(READ))

    def test_a_bad_file_at_the_start_is_an_error(self) -> None:
        for content, expected in (
            (b"\xff", "no UTF-8 text"),
            (b"#" * (1 << 20) + b"#", "more than 1048576 bytes"),
            (b"dashboard", "line 1"),
        ):
            self.path.write_bytes(content)
            with self.assertRaisesRegex(ValueError, expected):
                TokenFile(str(self.path), self.clock)

    def test_one_that_others_can_read_is_warned_of(self) -> None:
        for mode, warned in ((0o600, False), (0o400, False), (0o640, True), (0o604, True)):
            self.path.chmod(mode)
            with capturedLogs() as logged:
                TokenFile(str(self.path), self.clock)
            self.assertEqual([event["log_level"] for event in logged], [LogLevel.warn] * warned)
