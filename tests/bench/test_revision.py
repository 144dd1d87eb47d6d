from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import ROOT, BenchError
from bench.revision import revision


def _no_news(what: str) -> None:
    raise AssertionError(f"it is there already, and was made again: {what}")


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    place = tmp_path / f"{commit}-{sys.implementation.cache_tag}"
    place.mkdir()
    (place / "installed").touch()
    system = revision("HEAD", _no_news, tmp_path)
    assert (system.name, system.label) == (commit[:7], f"HEAD ({commit[:7]})")
    assert system.python == place / "env" / "bin" / "python"
    assert system.directory == place / "source"
    assert revision(commit[:10], _no_news, tmp_path).label == commit[:7]


def test_a_revision_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no-such-revision"):
        revision("no-such-revision", _no_news, tmp_path)
    assert not list(tmp_path.iterdir())
