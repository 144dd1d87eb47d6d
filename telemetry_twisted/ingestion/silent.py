"""Nodes that are connected and say nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

SILENT_SECONDS = 5.0
"""After how long the hub is told: a node has something to say every two seconds (JIP-3, Status)."""


class Member(Protocol):
    """A connection of a node that was admitted."""

    @property
    def connection(self) -> int: ...
    @property
    def silent(self) -> float: ...


def silent(members: Iterable[Member]) -> dict[int, int]:
    """For how many seconds each has said nothing that has been silent for long, by connection."""
    seconds = ((member.connection, member.silent) for member in members)
    return {connection: int(each) for connection, each in seconds if each >= SILENT_SECONDS}
