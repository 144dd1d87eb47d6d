"""What the last events of a connection were, so that a wrong reference to them can be told.

It takes a byte for each, and no more of them than a node that says little for long may cost.
"""

from __future__ import annotations

REMEMBERED = 2048
"""Event IDs whose kind is remembered, the last ones."""

NO_SUCH_EVENT = 254
"""The ID was used up by a message that could not be decoded."""

UNTOLD = 255
"""Nothing can be told of the ID: it is one of those that a ``Dropped`` stands for, or of a message
that was passed over, or its chain was let go of before its end."""


class PastKinds:
    """The kinds of the last :data:`REMEMBERED` event IDs, which count modulo 2^64.

    A kind is a discriminator, :data:`NO_SUCH_EVENT` or :data:`UNTOLD`.
    """

    def __init__(self) -> None:
        self._kinds = bytearray(REMEMBERED)
        self._known = 0
        self._next = 0

    def remember(self, first: int, kind: int, ids: int) -> None:
        """So many ``ids`` from ``first`` on, which is the next one, are of ``kind``."""
        for id in range(first, first + min(ids, REMEMBERED)):
            self._kinds[id % REMEMBERED] = kind
        self._known = min(self._known + ids, REMEMBERED)
        self._next = (first + ids) % 2**64

    def kind(self, id: int) -> int | None:
        """The kind of ``id``, None if it is not remembered."""
        return self._kinds[id % REMEMBERED] if self._remembers(id) else None

    def forget(self, id: int) -> None:
        """Nothing can be told of ``id`` any more."""
        if self._remembers(id):
            self._kinds[id % REMEMBERED] = UNTOLD

    def _remembers(self, id: int) -> bool:
        return 1 <= (self._next - id) % 2**64 <= self._known
