"""Sharing out what is not enough for all."""

from __future__ import annotations

from collections.abc import Mapping


def shares(wanted: Mapping[int, int], room: int) -> dict[int, int]:
    """What each gets of ``room``: all it wants, or else as much as any other, to one.

    All of the room is given out, or all that is wanted.
    """
    got = {}
    left = room
    for number, (who, want) in enumerate(sorted(wanted.items(), key=lambda item: item[1])):
        got[who] = min(want, left // (len(wanted) - number))
        left -= got[who]
    return got
