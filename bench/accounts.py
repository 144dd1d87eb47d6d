"""What processes take, by the kernel's accounts: processor time and memory."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

PROCESS = "process"
_TICKS = os.sysconf("SC_CLK_TCK")
_PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


class HasPid(Protocol):
    """A process."""

    @property
    def pid(self) -> int:
        """Its number."""


class Watch:
    """The processor time that processes take from when it is made.

    ``server`` has the processes of a server by what they do, ``others`` those beside it.
    """

    def __init__(
        self, server: Mapping[str, Iterable[int]], others: Mapping[str, Iterable[int]]
    ) -> None:
        self._server = tuple(server)
        self._roles = {role: tuple(pids) for role, pids in {**server, **others}.items()}
        self._start = time.monotonic()
        self._before = self._now()

    @classmethod
    def of(cls, server: HasPid, **others: HasPid) -> Watch:
        """Watch the processes of ``server`` by what they do, and ``others`` by name."""
        return cls(family(server), {role: [process.pid] for role, process in others.items()})

    def shares(self) -> dict[str, float]:
        """Cores taken by each role since the beginning; 1.0 is a whole core."""
        elapsed = time.monotonic() - self._start
        return {f"{role} cores": seconds / elapsed for role, seconds in self._spent().items()}

    def server_seconds(self) -> float:
        """Seconds of processor time that all processes of the server took since the beginning."""
        spent = self._spent()
        return sum(spent[role] for role in self._server)

    def _spent(self) -> dict[str, float]:
        now = self._now()
        return {role: now[role] - self._before[role] for role in now}

    def _now(self) -> dict[str, float]:
        return {role: sum(map(cpu_seconds, pids)) for role, pids in self._roles.items()}


def family(server: HasPid) -> dict[str, list[int]]:
    """The processes of a server by what they do: ours by ``hub``, ``ingestion`` and ``store``.

    Those of any other server are ``process``, all of them.
    """
    roles: dict[str, list[int]] = {}
    for child in _descendants(server.pid):
        with suppress(OSError):
            roles.setdefault(_role(child), []).append(child)
    return {
        "hub" if "ingestion" in roles else PROCESS: [server.pid, *roles.pop(PROCESS, [])],
        **roles,
    }


def _role(pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    for role in ("ingestion", "store"):
        if f"telemetry_twisted.{role}".encode() in command:
            return role
    return PROCESS


def _descendants(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            yield child
            yield from _descendants(child)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    # These are exact, but without what threads took that have ended, and not on every system.
    nanoseconds = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):
            nanoseconds += int(path.read_text().split()[0])
    return max(ticks / _TICKS, nanoseconds / 1e9)


def resident_bytes(pid: int) -> int:
    """Memory of a process that is resident, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def proportional_bytes(pid: int) -> int:
    """Memory of a process in bytes, where it shares pages its part of them (PSS)."""
    found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    return int(found[1]) * 1024 if found else 0
