"""The same bytes to many sockets, by one call.

:func:`send_to_all` is compiled where a compiler was there at the installation (``_fan_out.pyx``),
and otherwise :func:`python_send_to_all`, which does the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from .sink import Piece


class SendToAll(Protocol):
    """Sends to sockets that do not block."""

    def __call__(
        self, descriptors: Sequence[int], pieces: Sequence[Piece], /
    ) -> list[tuple[int, int]]:
        """Offer all ``pieces``, which are ``IOV_MAX`` (1,024) at most, to each socket once.

        :param descriptors: an ``array("i")``.
        :returns: of each that has not taken all, its place among ``descriptors``, and how many
            bytes it has taken or, if it has failed, the number of the error (``errno``), negated.
        """


def python_send_to_all(
    descriptors: Sequence[int], pieces: Sequence[Piece], /
) -> list[tuple[int, int]]:
    """As :class:`SendToAll` says."""
    size = sum(map(len, pieces))
    behind = []
    for place, descriptor in enumerate(descriptors):
        try:
            taken = os.writev(descriptor, pieces)
        except OSError as error:
            taken = -(error.errno or 0)
        if taken != size:
            behind.append((place, taken))
    return behind


send_to_all: SendToAll
try:
    from ._fan_out import send_to_all
except ImportError:
    send_to_all = python_send_to_all
