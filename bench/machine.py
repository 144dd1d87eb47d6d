"""What the figures were taken on, and what else it was doing."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "Twisted",
    "autobahn",
    "ujson",
    "attrs",
    "websockets",
    "uvloop",
    "orjson",
    "picows",
)

_TICKS = os.sysconf("SC_CLK_TCK")
_WATCH_SECONDS = 0.5
_BUSY = 0.02


def describe() -> dict[str, Any]:
    """The machine, the software, and the load that is there before anything is measured."""
    return {
        "cpu": _line("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _line("/proc/meminfo", "MemTotal"),
        "virtual": "hypervisor" in _line("/proc/cpuinfo", "flags").split(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "clean": _git("status", "--porcelain", "--untracked-files=no") == "",
        "load_average": os.getloadavg(),
        "others": _others(),
    }


def _line(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git(*arguments: str) -> str | None:
    """What git says of the tree that is measured; None where it is none of git's."""
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _others() -> dict[str, float]:
    """Cores taken by other processes by name, where it is more than a little."""
    before = _processes()
    time.sleep(_WATCH_SECONDS)
    shares: dict[str, float] = {}
    for pid, (name, seconds) in _processes().items():
        if pid in before and pid != os.getpid():
            share = (seconds - before[pid][1]) / _WATCH_SECONDS
            shares[name] = shares.get(name, 0.0) + share
    return {name: round(share, 2) for name, share in shares.items() if share > _BUSY}


def _processes() -> dict[int, tuple[str, float]]:
    processes = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = path.read_text().rpartition(")")
        except OSError:
            continue
        fields = tail.split()
        seconds = (int(fields[11]) + int(fields[12])) / _TICKS
        processes[int(path.parent.name)] = head.partition("(")[2], seconds
    return processes
