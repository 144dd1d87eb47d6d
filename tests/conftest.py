"""What concerns all tests: which of them need real processes; a few are marked as slow as those."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import settings

import tests.examples  # noqa: F401 (registers the profiles)

settings.load_profile("quick")

_HERE = Path(__file__).parent

_WITH_PROCESSES = {"end_to_end", "bench"}
"""Folders whose tests all start processes."""

_STARTS_PROCESSES = {"postgresql_server", "start_process", "start_server", "server", "command"}
"""Fixtures that start processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs real processes, so that ``-m "not end_to_end"`` runs everything else."""
    for item in items:
        folder = item.path.relative_to(_HERE).parts[0]
        parameters = getattr(item, "callspec", None)
        values = set() if parameters is None else set(map(str, parameters.params.values()))
        fixtures = set(getattr(item, "fixturenames", ()))
        if folder in _WITH_PROCESSES or fixtures & _STARTS_PROCESSES or "postgresql" in values:
            item.add_marker("end_to_end")


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at thousands of tests that stay, again and again."""
    gc.collect()
    gc.freeze()
