"""What receivers of alerts are told of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

Alert = Mapping[str, Any]
"""An alert as subscribers get it: ``kind``, ``subject``, ``count``, ``examples``, ``value``,
``threshold``, ``message``, ``advice``, ``started``, and ``ended`` or None."""


@frozen
class Change:
    """The alerts that have ``begun`` or ``ended`` at ``time`` (RFC 3339), and all that hold since.

    Of a kind there is one alert in each of them: those who joined it, those who left it, and all.
    """

    time: str
    begun: Sequence[Alert]
    ended: Sequence[Alert]
    current: Sequence[Alert]


class Receiver(Protocol):
    """Where alerts are taken to."""

    def alerts_changed(self, change: Change) -> None:
        """Have it told of ``change``, as soon as it can be."""

    def as_json(self) -> Mapping[str, Any]:
        """How that fares: ``receiver`` and ``kind`` name it, ``delivered``, ``failed`` and
        ``refused`` count attempts, ``given_up`` changes, ``waiting`` tells how many wait, ``error``
        why the last attempt failed, and ``failing_since`` (RFC 3339) since when all do."""
