"""What makes a value of a text that somebody gave, or says what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
"""Units of time, in seconds."""

_GENESIS = re.compile(r"0x[0-9a-f]{64}", re.ASCII | re.IGNORECASE)
_NODE_ID = re.compile(r"(?:0x)?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number from ``least`` to ``most``; raises ValueError for all else."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,19}", text) or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(text)

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    """Reads one of ``choices``; raises ValueError for all else."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return read


def node_id_in(text: str) -> str | None:
    """The ID of a node, an Ed25519 public key, as 64 lowercase hex digits.

    In ``text`` they may be of either case, after ``0x`` or not; None if it is something else.
    """
    match = _NODE_ID.fullmatch(text)
    return None if match is None else match[1].lower()


def genesis_in(text: str) -> str | None:
    """A genesis hash, which is a network's name, as ``0x`` and 64 lowercase hex digits.

    In ``text`` they may be of either case; None if it is something else.
    """
    return text.lower() if _GENESIS.fullmatch(text) else None
