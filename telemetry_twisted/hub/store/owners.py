"""Whose events a chunk holds, as the store process would understand it."""

from __future__ import annotations

from collections.abc import Mapping

from telemetry_twisted.transport.records import Chunk


class Owners:
    """Which node a handle stands for since which of the records that the store process was sent.

    A chunk goes after the record that it came after. When it has waited, its handles may have gone
    to other nodes by then, whose its events are not.
    """

    def __init__(self) -> None:
        self._owners: dict[int, tuple[str, int]] = {}
        self._newest = 0
        self._resumed = 0

    def connected(self, number: int, handle: int, node_id: str) -> None:
        """With record ``number``, which goes now, ``handle`` stands for that node."""
        owner, _ = self._owners.get(handle, ("", 0))
        if owner != node_id:
            self._owners[handle] = node_id, number
            self._newest = max(self._newest, number)

    def resumed(self, number: int, nodes: Mapping[int, str]) -> None:
        """With record ``number``, which goes now, handles stand for these nodes and no others."""
        before, self._owners = self._owners, {}
        for handle, node_id in nodes.items():
            owner, since = before.get(handle, ("", 0))
            self._owners[handle] = node_id, since if owner == node_id else number
        self._resumed = self._newest = number

    def meant(self, after: int, chunk: Chunk) -> list[int] | None:
        """How many events of each run of a chunk that came after record ``after`` are understood.

        :returns: None where that is all of them.
        """
        if after >= self._newest:
            return None
        unknown = "", self._resumed
        return [
            count if after >= self._owners.get(handle, unknown)[1] else 0
            for handle, count in chunk.runs
        ]
