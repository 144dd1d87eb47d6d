"""How thoroughly to measure."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from .systems import System


@frozen
class Settings:
    """How thoroughly to measure, and with what.

    Each figure is measured ``repeats`` times for ``seconds``; the one that is to be sustained for
    ``long_seconds``. ``systems`` are those to measure, ``traffic`` the file of what nodes send.
    """

    repeats: int
    seconds: float
    long_seconds: float
    systems: tuple[System, ...]
    traffic: Path

    @property
    def fastest(self) -> tuple[System, ...]:
        """The systems without our slower codec."""
        return self.without("python")

    def without(self, *names: str) -> tuple[System, ...]:
        """The systems but for those that are named."""
        return tuple(system for system in self.systems if system.name not in names)
