"""How thoroughly to measure."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen


@frozen
class Settings:
    """How thoroughly to measure, and with what.

    Each figure is measured ``repeats`` times for ``seconds``; the one that is to be sustained for
    ``long_seconds``. ``systems`` are those to measure, ``traffic`` the file of what nodes send.
    """

    repeats: int
    seconds: float
    long_seconds: float
    systems: tuple[str, ...]
    traffic: Path

    @property
    def fastest(self) -> tuple[str, ...]:
        """The systems without our slower codec."""
        return tuple(system for system in self.systems if system != "python")
