"""Which nodes the hub is told of as silent."""

from __future__ import annotations

from attrs import frozen

from telemetry_twisted.ingestion.silent import SILENT_SECONDS, silent


@frozen
class Member:
    connection: int
    silent: float


def test_those_that_have_been_silent_for_long() -> None:
    members = (Member(1, 0.0), Member(2, SILENT_SECONDS - 0.1), Member(3, SILENT_SECONDS + 2.9))
    assert silent(members) == {3: int(SILENT_SECONDS) + 2}
