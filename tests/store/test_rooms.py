"""Which rooms of the store know of which: what writes and what reads share no code of their own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import telemetry_twisted.store

STORE = Path(telemetry_twisted.store.__file__).parent
PACKAGE = "telemetry_twisted.store"


def imported(room: str) -> Iterator[str]:
    """The modules of the store that those of a room import."""
    for path in (STORE / room).rglob("*.py"):
        module = [*PACKAGE.split("."), *path.relative_to(STORE).with_suffix("").parts]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                base = module[: -node.level] if node.level else []
                name = ".".join([*base, *filter(None, [node.module])])
                yield from (f"{name}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)


@pytest.mark.parametrize(
    ("room", "strangers"),
    [
        ("read", ("write",)),
        ("write", ("read",)),
        ("database", ("read", "write")),
        ("schema", ("read", "write", "database")),
    ],
)
def test_a_room_knows_nothing_of_those_that_it_does_not_need(
    room: str, strangers: tuple[str, ...]
) -> None:
    known = set(imported(room))
    assert known
    for stranger in strangers:
        assert [name for name in known if f"{name}.".startswith(f"{PACKAGE}.{stranger}.")] == []
