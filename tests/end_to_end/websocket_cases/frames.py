"""Sections 1 to 5: frames of all kinds, and how messages are put together from them."""

from __future__ import annotations

from collections.abc import Iterator

from telemetry_twisted.testing import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, ReceivedFrame
from tests.end_to_end.raw_websocket import frame

from .case import (
    OCTETS,
    PROTOCOL_ERROR,
    Case,
    echoed,
    letters,
    octets,
    sent,
    text,
)

SIZES = (0, 125, 126, 127, 128, 65535, 65536, 65536)


def framing() -> Iterator[Case]:
    """1: messages of all lengths of a header."""
    for section, (name, opcode, make) in enumerate(
        (("text", TEXT, letters), ("binary", BINARY, octets)), start=1
    ):
        for at, size in enumerate(SIZES, start=1):
            chop = 997 if at == 8 else 0
            chopped = " in chops of 997" if chop else ""
            title = f"{name} message of {size} bytes{chopped}"
            yield echoed(f"1.{section}.{at}", title, opcode, make(size), chop)


def pings() -> Iterator[Case]:
    """2: pings and pongs."""
    no_text = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
    for number, title, payload, chop in (
        ("2.1", "ping without payload", b"", 0),
        ("2.2", "ping with text", b"Hello, world!", 0),
        ("2.3", "ping that is no UTF-8", no_text, 0),
        ("2.4", "ping of 125 bytes", b"\xfe" * 125, 0),
        ("2.6", "ping of 125 bytes in octets", b"\xfe" * 125, OCTETS),
    ):
        answers = [ReceivedFrame(PONG, payload)]
        yield sent(number, title, frame(PING, payload), answers=answers, chop=chop)
    yield sent("2.5", "ping of 126 bytes", frame(PING, b"\xfe" * 126), code=PROTOCOL_ERROR)
    yield sent("2.7", "pong that nobody asked for", frame(PONG))
    yield sent("2.8", "pong with payload that nobody asked for", frame(PONG, b"unasked"))
    yield sent(
        "2.9",
        "pong that nobody asked for, then a ping",
        frame(PONG, b"unasked") + frame(PING, b"asked"),
        answers=[ReceivedFrame(PONG, b"asked")],
    )
    payloads = [b"payload-%d" % at for at in range(10)]
    for number, title, chop in (("2.10", "ten pings", 0), ("2.11", "ten pings in octets", OCTETS)):
        steps = [frame(PING, payload) for payload in payloads]
        answers = [ReceivedFrame(PONG, payload) for payload in payloads]
        yield sent(number, title, *steps, answers=answers, chop=chop)


def reserved_bits() -> Iterator[Case]:
    """3: reserved bits that no extension gives a meaning."""
    hello = b"Hello, world!"
    good, ping = frame(TEXT, hello), frame(PING)
    yield sent("3.1", "text with RSV 1", frame(TEXT, hello, rsv=1), code=PROTOCOL_ERROR)
    for number, rsv, chop in (("3.2", 2, 0), ("3.3", 3, 0), ("3.4", 4, OCTETS)):
        steps = [good, frame(TEXT, hello, rsv=rsv), ping]
        if number == "3.2":
            steps = [b"".join(steps)]
        yield sent(
            number,
            f"text, text with RSV {rsv}, ping{' in octets' if chop else ''}",
            *steps,
            answers=[text(hello)],
            code=PROTOCOL_ERROR,
            chop=chop,
        )
    for number, title, opcode, payload, rsv in (
        ("3.5", "binary with RSV 5", BINARY, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", 5),
        ("3.6", "ping with RSV 6", PING, hello, 6),
        ("3.7", "close with RSV 7", CLOSE, b"", 7),
    ):
        yield sent(number, title, frame(opcode, payload, rsv=rsv), code=PROTOCOL_ERROR)


def reserved_opcodes() -> Iterator[Case]:
    """4: opcodes without a meaning."""
    hello = b"Hello, world!"
    for section, opcodes in ((1, range(3, 8)), (2, range(11, 16))):
        for at, opcode in enumerate(opcodes, start=1):
            bad = frame(opcode, hello if at in (2, 4, 5) else b"")
            if at <= 2:
                steps, answers = [bad], []
            else:
                steps, answers = [frame(TEXT, hello), bad, frame(PING)], [text(hello)]
            yield sent(
                f"4.{section}.{at}",
                f"opcode {opcode}{'' if at <= 2 else ' between text and ping'}",
                *steps,
                answers=answers,
                code=PROTOCOL_ERROR,
                chop=OCTETS if at == 5 else 0,
            )


def fragmentation() -> Iterator[Case]:
    """5: messages in fragments, and control frames between them."""
    first, second = frame(TEXT, b"fragment1", fin=False), frame(CONTINUATION, b"fragment2")
    whole, ping = text(b"fragment1fragment2"), frame(PING, b"ping payload")
    pong = ReceivedFrame(PONG, b"ping payload")
    for number, opcode in (("5.1", PING), ("5.2", PONG)):
        steps = [frame(opcode, b"fragment1", fin=False) + second]
        yield sent(number, f"opcode {opcode} in two fragments", *steps, code=PROTOCOL_ERROR)
    ways: tuple[tuple[str, bool, int], ...] = (
        ("", True, 0),
        (", each in a segment", False, 0),
        (", in octets", True, OCTETS),
    )
    for at, (way, joined, chop) in enumerate(ways):
        steps = [first + second] if joined else [first, second]
        yield sent(f"5.{3 + at}", f"text in two fragments{way}", *steps, answers=[whole], chop=chop)
    for at, (way, joined, chop) in enumerate(ways):
        steps = [first + ping + second] if joined else [first, ping, second]
        title = f"ping between two fragments{way}"
        yield sent(f"5.{6 + at}", title, *steps, answers=[pong, whole], chop=chop)
    for number, fin in (("5.9", True), ("5.12", False)):
        begin = int(number.partition(".")[2])
        for at, (way, joined, chop) in enumerate(ways):
            astray = (
                frame(CONTINUATION, b"non-continuation payload", fin=fin),
                frame(TEXT, b"Hello, world!"),
            )
            steps = [b"".join(astray)] if joined else [*astray]
            title = f"continuation of nothing, FIN {fin}, then text{way}"
            yield sent(f"5.{begin + at}", title, *steps, code=PROTOCOL_ERROR, chop=chop)
    yield sent(
        "5.15",
        "text in two fragments, continuation of nothing, text",
        first + second + frame(CONTINUATION, b"fragment3", fin=False) + frame(TEXT, b"fragment4"),
        answers=[whole],
        code=PROTOCOL_ERROR,
    )
    for number, fin in (("5.16", False), ("5.17", True)):
        twice = b"".join(
            (
                frame(CONTINUATION, b"fragment1", fin=fin),
                frame(TEXT, b"fragment2", fin=False),
                second,
            )
        )
        title = f"twice a continuation of nothing, FIN {fin}, and text in two fragments"
        yield sent(number, title, twice * 2, code=PROTOCOL_ERROR)
    yield sent(
        "5.18",
        "two fragments that are both text",
        first + frame(TEXT, b"fragment2"),
        code=PROTOCOL_ERROR,
    )
    parts = [
        frame(TEXT, b"fragment1", fin=False),
        frame(CONTINUATION, b"fragment2", fin=False),
        frame(PING, b"pongme 1!"),
        frame(CONTINUATION, b"fragment3", fin=False),
        frame(CONTINUATION, b"fragment4", fin=False),
        frame(PING, b"pongme 2!"),
        frame(CONTINUATION, b"fragment5"),
    ]
    pongs = [ReceivedFrame(PONG, b"pongme 1!"), ReceivedFrame(PONG, b"pongme 2!")]
    joined_text = text(b"fragment1fragment2fragment3fragment4fragment5")
    title = "five fragments with pings between"
    yield sent(
        "5.19",
        f"{title}, the first answered before the rest",
        b"".join(parts[:3]),
        pongs[0],
        b"".join(parts[3:6]),
        pongs[1],
        parts[6],
        answers=[joined_text],
    )
    yield sent("5.20", f"{title}, each in a segment", *parts, answers=[*pongs, joined_text])
