"""Whether files have changed."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.files import LOOK_SECONDS, WatchedFiles


class WatchedFilesTests(SynchronousTestCase):
    """Two files, of which the second comes later."""

    def setUp(self) -> None:
        self.clock = Clock()
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        directory = Path(temporary.name)
        self.first, self.second = directory / "first", directory / "second"
        self.first.write_text("one")
        self.files = WatchedFiles([str(self.first), str(self.second)], self.clock)

    def looked_at(self) -> bool:
        self.clock.advance(LOOK_SECONDS)
        return self.files.changed

    def test_nothing_has_changed(self) -> None:
        self.assertFalse(self.looked_at())

    def test_each_way_to_change_is_seen_until_they_are_read(self) -> None:
        for change in (
            lambda: self.first.write_text("another length"),
            lambda: os.utime(self.first, ns=(1, 1)),
            lambda: self.second.write_text("two"),
            lambda: self.second.replace(self.first),
            lambda: self.first.unlink(),
        ):
            change()
            self.assertTrue(self.looked_at())
            self.assertTrue(self.looked_at())
            self.files.reading()
            self.assertFalse(self.looked_at())

    def test_it_is_looked_at_now_and_then(self) -> None:
        self.assertFalse(self.looked_at())
        self.second.write_text("two")
        self.clock.advance(LOOK_SECONDS / 2)
        self.assertFalse(self.files.changed)
        self.clock.advance(LOOK_SECONDS / 2)
        self.assertTrue(self.files.changed)
