"""Ours as it was at another revision: checked out, and installed into an environment of its own.

Both are kept in the user's cache, by commit, so that it is made once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .processes import ROOT, BenchError
from .systems import Ours

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "telemetry-twisted-bench")
INSTALL_SECONDS = 600
SHORT = 7


def revision(name: str, say: Callable[[str], None], cache: Path = CACHE) -> Ours:
    """The system that revision ``name`` of the repository is; ``say`` is told what takes time.

    :raises BenchError: if there is no such revision, or it cannot be installed.
    """
    commit = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
    place = cache / f"{commit}-{sys.implementation.cache_tag}"
    place.mkdir(parents=True, exist_ok=True)
    source, environment, installed = (place / part for part in ("source", "env", "installed"))
    with _alone(place):
        if not installed.exists():
            say(f"installing {name} ({commit[:SHORT]}) into {place}, once")
            for begun in (source, environment):
                shutil.rmtree(begun, ignore_errors=True)
            _check_out(commit, source)
            _run(sys.executable, "-m", "venv", str(environment))
            # In place: what is compiled is found beside the sources, from which it runs.
            _run(str(environment / "bin" / "pip"), "install", "--quiet", "--editable", str(source))
            installed.touch()
    short = commit[:SHORT]
    label = short if commit.startswith(name) else f"{name} ({short})"
    python = environment / "bin" / "python"
    return Ours(short, label, "compiled", python, directory=source)


def _check_out(commit: str, directory: Path) -> None:
    archive = directory.with_suffix(".tar")
    archive.write_bytes(_git("archive", "--format=tar", commit))
    with tarfile.open(archive) as files:
        files.extractall(directory, filter="data")
    archive.unlink()


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Have others that want the same wait until it is there."""
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _git(*arguments: str) -> bytes:
    return _run("git", "-C", str(ROOT), *arguments)


def _run(*command: str) -> bytes:
    try:
        return subprocess.run(
            command, capture_output=True, check=True, timeout=INSTALL_SECONDS
        ).stdout
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace")[-2000:]
        raise BenchError(f"{' '.join(command)} failed\n{said}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{' '.join(command)} failed: {error}") from error
