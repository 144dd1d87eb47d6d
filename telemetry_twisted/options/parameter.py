"""An option that takes a value."""

from __future__ import annotations

from typing import NamedTuple

from .readers import Read


class Parameter(NamedTuple):
    """An option: its name, its default as it would be typed, what reads it, and its help.

    Where the default is empty, the option is off until it is given.
    """

    name: str
    default: str
    read: Read
    help: str
