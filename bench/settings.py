"""How thoroughly to measure."""

from __future__ import annotations

from attrs import frozen


@frozen
class Settings:
    """``repeats`` measurements of ``seconds`` each; ``systems`` to measure."""

    repeats: int
    seconds: float
    long_seconds: float
    systems: tuple[str, ...]
    quick: bool = False


FULL = Settings(5, 2.0, 30.0, ("A", "B", "python", "compiled"))
QUICK = Settings(1, 1.0, 10.0, ("A", "B", "python", "compiled"), quick=True)
