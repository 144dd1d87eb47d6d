"""Pages of things of which there is a row by each server that heard of them, the newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .history import History

T = TypeVar("T")

Row = tuple[Any, ...]


async def page_of(
    history: History,
    rows: Sequence[Row],
    limit: int,
    read: Callable[[Row], T],
    fullness: Callable[[T], int],
) -> tuple[list[T], int | None]:
    """What is told of ``limit`` things, and the moment before which to go on, None at the end.

    :param rows: one more than that if there are more; a thing's key first, then when it was first
        heard of.
    :param fullness: how much a row, as it is ``read``, knows; the fullest of a thing stands for it.
    """
    page = _of_whole_moments(rows, limit)
    fullest: dict[bytes, T] = {}
    async for row in history.turns.steps(page):
        found = read(row)
        there = fullest.get(bytes(row[0]))
        if there is None or fullness(there) < fullness(found):
            fullest[bytes(row[0])] = found
    return [*fullest.values()], page[-1][1] if len(rows) > limit else None


def _of_whole_moments(rows: Sequence[Row], limit: int) -> Sequence[Row]:
    """As many of ``rows`` as fit a page of ``limit`` without parting those of a moment, unless all
    are of one."""
    if len(rows) <= limit:
        return rows
    page = [row for row in rows[:limit] if row[1] != rows[limit][1]]
    return page or rows[:limit]
