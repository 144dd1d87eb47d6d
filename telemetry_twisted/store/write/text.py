"""Text that both databases take."""

from __future__ import annotations


def clean(text: str) -> str:
    """``text`` without NUL, which PostgreSQL cannot hold in a text."""
    return text.replace("\0", "\ufffd")
