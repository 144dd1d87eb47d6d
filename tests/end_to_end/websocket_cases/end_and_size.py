"""Sections 7, 9 and 10: how a connection ends, and messages that are large or many."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from telemetry_twisted.testing import BINARY, CLOSE, CONTINUATION, PING, TEXT, ReceivedFrame
from tests.end_to_end.raw_websocket import close_payload, fragments, frame

from .case import (
    INVALID_PAYLOAD,
    KIB,
    MIB,
    NO_CODE,
    NORMAL,
    PROTOCOL_ERROR,
    Case,
    Step,
    letters,
    octets,
    sent,
    text,
)
from .utf_8 import BAD


def closing() -> Iterator[Case]:
    """7: the end of a connection."""
    hello = b"Hello World!"
    end = frame(CLOSE, close_payload(NORMAL))
    big = letters(256 * KIB)
    for number, title, steps, answers in (
        ("7.1.1", "message, close", [frame(TEXT, hello) + end], [text(hello)]),
        ("7.1.2", "two close frames", [end * 2], []),
        ("7.1.3", "ping after close", [end + frame(PING)], []),
        ("7.1.4", "text after close", [end + frame(TEXT, hello)], []),
        (
            "7.1.5",
            "close between two fragments",
            [frame(TEXT, b"fragment1", fin=False) + end + frame(CONTINUATION, b"fragment2")],
            [],
        ),
        (
            "7.1.6",
            "message of 256 KiB, close, ping",
            [frame(TEXT, big), text(big), end + frame(PING)],
            [],
        ),
    ):
        yield sent(number, title, *steps, answers=answers, code=NORMAL)
    for number, title, payload, code in (
        ("7.3.1", "close without payload", b"", None),
        ("7.3.2", "close of one byte", b"a", PROTOCOL_ERROR),
        ("7.3.3", "close with a code", close_payload(NORMAL), NORMAL),
        ("7.3.4", "close with a reason", close_payload(NORMAL, hello), NORMAL),
        ("7.3.5", "longest reason", close_payload(NORMAL, b"*" * 123), NORMAL),
        ("7.3.6", "reason that is too long", close_payload(NORMAL, b"*" * 124), PROTOCOL_ERROR),
        ("7.5.1", "reason that is not UTF-8", close_payload(NORMAL, BAD), INVALID_PAYLOAD),
    ):
        yield sent(number, title, frame(CLOSE, payload), code=NO_CODE if code is None else code)
    valid = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for at, code in enumerate(valid, start=1):
        yield sent(f"7.7.{at}", f"close code {code}", frame(CLOSE, close_payload(code)), code=code)
    for at, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), start=1):
        for part, reason in (("", b""), (" with a reason", hello)):
            yield sent(
                f"7.9.{at}",
                f"close code {code}{part}",
                frame(CLOSE, close_payload(code, reason)),
                code=PROTOCOL_ERROR,
            )


def sizes() -> Iterator[Case]:
    """9: large messages, many fragments, small segments, many messages."""
    kinds = (("text", TEXT, letters), ("binary", BINARY, octets))
    for at, size in enumerate((64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB), start=1):
        for section, (name, opcode, make) in enumerate(kinds, start=1):
            yield _large(f"9.{section}.{at}", f"{name} of {size >> 10} KiB", opcode, make, size)
    for at, size in enumerate((64 << 2 * step for step in range(9)), start=1):
        for section, (name, opcode, make) in enumerate(kinds, start=3):
            title = f"{name} of 4 MiB in fragments of {size} bytes"
            yield _large(f"9.{section}.{at}", title, opcode, make, 4 * MIB, fragment=size)
    for at, size in enumerate((64, 128, 256, 512, 1024, 2048), start=1):
        for section, (name, opcode, make) in enumerate(kinds, start=5):
            title = f"{name} of 1 MiB in segments of {size} bytes"
            yield _large(f"9.{section}.{at}", title, opcode, make, MIB, chop=size)
    for at, size in enumerate((0, 16, 64, 256, 1024, 4096), start=1):
        for section, (name, opcode, make) in enumerate(kinds, start=7):
            title = f"1000 messages of {size} bytes, {name}, one after the other"
            yield _many(f"9.{section}.{at}", title, opcode, make(size))


def _large(
    number: str,
    title: str,
    opcode: int,
    make: Callable[[int], bytes],
    size: int,
    fragment: int = 0,
    chop: int = 0,
) -> Case:
    """One large message, made when it is sent."""

    def steps() -> Iterator[Step]:
        payload = make(size)
        if fragment:
            yield b"".join(fragments(opcode, payload, fragment))
        else:
            yield frame(opcode, payload)
        yield ReceivedFrame(opcode, payload)

    return Case(number, title, steps, chop=chop)


def _many(number: str, title: str, opcode: int, payload: bytes) -> Case:
    def steps() -> Iterator[Step]:
        for _ in range(1000):
            yield frame(opcode, payload)
            yield ReceivedFrame(opcode, payload)

    return Case(number, title, steps)


def automatic_fragmentation() -> Iterator[Case]:
    """10: a message that its sender fragments by itself."""
    payload = letters(65536)
    yield sent(
        "10.1.1",
        "text of 65536 bytes in fragments of 1300",
        b"".join(fragments(TEXT, payload, 1300)),
        answers=[text(payload)],
    )
