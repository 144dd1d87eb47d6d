"""What a case is, and what most are made of."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from attrs import frozen

from telemetry_twisted.testing import BINARY, TEXT, ReceivedFrame
from tests.end_to_end.raw_websocket import frame

NORMAL, PROTOCOL_ERROR, INVALID_PAYLOAD = 1000, 1002, 1007
"""Status codes of close frames (RFC 6455, 7.4.1)."""

OCTETS = 1
"""To send octet by octet."""

KIB, MIB = 1 << 10, 1 << 20

Step = bytes | ReceivedFrame
"""What is sent in one go, or a frame of the server that is waited for."""


@frozen
class Case:
    """One case: ``steps`` in order, then the frames of ``answers``, then the end.

    ``code`` is what the server closes with; None where the client closes, with 1000. ``chop`` is
    how many bytes go into a segment, 0 for all of a step.
    """

    number: str
    title: str
    steps: Callable[[], Iterator[Step]]
    answers: Sequence[ReceivedFrame] = ()
    code: int | None = None
    chop: int = 0

    def __str__(self) -> str:
        return f"{self.number} {self.title}"


def sent(
    number: str,
    title: str,
    *steps: Step,
    answers: Sequence[ReceivedFrame] = (),
    code: int | None = None,
    chop: int = 0,
) -> Case:
    """A case whose steps are few and small."""
    return Case(number, title, lambda: iter(steps), answers, code, chop)


def text(payload: bytes) -> ReceivedFrame:
    """A text message of the server."""
    return ReceivedFrame(TEXT, payload)


def binary(payload: bytes) -> ReceivedFrame:
    """A binary message of the server."""
    return ReceivedFrame(BINARY, payload)


def letters(size: int) -> bytes:
    """``size`` bytes of text, of characters of one to four bytes."""
    base = "Hello-µ@ßöäüàá-€𝄞-UTF-8!! ".encode()
    return (base * (size // len(base))).ljust(size, b"*")


def octets(size: int) -> bytes:
    """``size`` bytes without a pattern."""
    return random.Random(size).randbytes(size)


def echoed(number: str, title: str, opcode: int, payload: bytes, chop: int = 0) -> Case:
    """A message that comes back."""
    return sent(
        number, title, frame(opcode, payload), answers=[ReceivedFrame(opcode, payload)], chop=chop
    )


NO_CODE = 0
"""Stands for a close frame of the server without a status code."""
