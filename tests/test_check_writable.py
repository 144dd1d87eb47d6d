"""Whether the file of a database may be written, which is looked at before anything is started."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.services.history import check_writable
from telemetry_twisted.services.starting import CannotStart


class CheckWritableTests(SynchronousTestCase):
    def test_a_directory_is_no_database(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        with self.assertRaisesRegex(CannotStart, "is a directory"):
            check_writable(f"sqlite:{directory}")

    def test_what_is_not_there_yet_may_come(self) -> None:
        check_writable(f"sqlite:{self.mktemp()}/telemetry.sqlite")
