"""The cases of Autobahn's test suite for WebSocket servers: what is sent, and what must come back.

The numbers are the suite's. Sections 1 to 7, 9 and 10 are here; those are left out of which it says
that RFC 6455 leaves the outcome open, and compression, which the server does not offer.
"""

from __future__ import annotations

from collections.abc import Sequence

from .case import NO_CODE, NORMAL, Case
from .end_and_size import automatic_fragmentation, closing, sizes
from .frames import fragmentation, framing, pings, reserved_bits, reserved_opcodes
from .utf_8 import utf_8

__all__ = ["CASES", "NORMAL", "NO_CODE", "Case"]

CASES: Sequence[Case] = [
    *framing(),
    *pings(),
    *reserved_bits(),
    *reserved_opcodes(),
    *fragmentation(),
    *utf_8(),
    *closing(),
    *sizes(),
    *automatic_fragmentation(),
]
