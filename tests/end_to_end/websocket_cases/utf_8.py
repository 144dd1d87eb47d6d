"""Section 6: text that is UTF-8 or is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from telemetry_twisted.testing import CONTINUATION, TEXT
from tests.end_to_end.raw_websocket import fragments, frame

from .case import (
    INVALID_PAYLOAD,
    OCTETS,
    Case,
    echoed,
    sent,
    text,
)

GOOD = "Hello-µ@ßöäüàá-UTF-8!!".encode()
KOSME = bytes.fromhex("cebae1bdb9cf83cebcceb5")
"""``κόσμε``, with an accent that takes three bytes."""
BAD = bytes.fromhex("cebae1bdb9cf83cebcceb5eda080656469746564")
"""``κόσμε``, a surrogate, ``edited``."""


def utf_8() -> Iterator[Case]:
    """6: text that is UTF-8 or is not."""
    yield echoed("6.1.1", "empty text", TEXT, b"")
    for number, middle in (("6.1.2", b""), ("6.1.3", b"middle frame payload")):
        parts = frame(TEXT, fin=False), frame(CONTINUATION, middle, fin=False), frame(CONTINUATION)
        title = f"three fragments, the second of {len(middle)} bytes"
        yield sent(number, title, b"".join(parts), answers=[text(middle)])
    yield echoed("6.2.1", "UTF-8", TEXT, GOOD)
    parts2 = frame(TEXT, GOOD[:12], fin=False), frame(CONTINUATION, GOOD[12:])
    yield sent("6.2.2", "UTF-8 in two fragments", b"".join(parts2), answers=[text(GOOD)])
    for number, payload in (("6.2.3", GOOD), ("6.2.4", KOSME)):
        steps = b"".join(fragments(TEXT, payload, 1))
        yield sent(number, "UTF-8 in fragments of an octet", steps, answers=[text(payload)])
    yield sent("6.3.1", "not UTF-8", frame(TEXT, BAD), code=INVALID_PAYLOAD)
    steps = b"".join(fragments(TEXT, BAD, 1))
    yield sent("6.3.2", "not UTF-8, in fragments of an octet", steps, code=INVALID_PAYLOAD)
    yield from fail_fast()
    for at, (name, sequences) in enumerate(UTF_8, start=5):
        for index, payload in enumerate(sequences, start=1):
            number = f"6.{at}.{index}"
            title = f"{name}: {payload.hex()}"
            if is_utf_8(payload):
                yield echoed(number, title, TEXT, payload)
            else:
                yield sent(number, title, frame(TEXT, payload), code=INVALID_PAYLOAD)


def fail_fast() -> Iterator[Case]:
    """6.4: the first octet that cannot be is enough; the rest is never sent."""
    begin = KOSME + bytes.fromhex("f4")
    bad = bytes.fromhex("90")
    for number, title, steps, chop in (
        (
            "6.4.1",
            "fragment that is not UTF-8",
            [frame(TEXT, KOSME, fin=False), frame(CONTINUATION, begin[-1:] + bad, fin=False)],
            0,
        ),
        (
            "6.4.2",
            "fragment that cannot become UTF-8",
            [frame(TEXT, begin, fin=False), frame(CONTINUATION, bad, fin=False)],
            0,
        ),
        ("6.4.3", "part of a frame that is not UTF-8", [frame(TEXT, begin + bad, length=90)], 0),
        (
            "6.4.4",
            "part of a frame that cannot become UTF-8, in octets",
            [frame(TEXT, begin + bad, length=90)],
            OCTETS,
        ),
    ):
        yield sent(number, title, *steps, code=INVALID_PAYLOAD, chop=chop)


def _hex(*sequences: str) -> list[bytes]:
    return [bytes.fromhex(sequence) for sequence in sequences]


UTF_8: Sequence[tuple[str, Sequence[bytes]]] = (
    ("text", [GOOD, KOSME, b"\x00", "𝄞".encode(), "€".encode()]),
    ("beginning of a text", [KOSME[:end] for end in range(1, len(KOSME) + 1)]),
    ("first of its length", _hex("00", "c280", "e0a080", "f0908080")),
    ("first of five or six octets", _hex("f888808080", "fc8480808080")),
    ("last of its length", _hex("7f", "dfbf", "efbfbf", "f48fbfbf")),
    ("last that length would allow", _hex("f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf")),
    ("boundary", _hex("ed9fbf", "ee8080", "efbfbd", "f48fbfbf", "f4908080")),
    (
        "unexpected continuation",
        [
            *_hex("80", "bf", "80bf", "80bf80", "80bf80bf", "80bf80bf80", "80bf80bf80bf"),
            bytes(range(0x80, 0xC0)),
        ],
    ),
    (
        "lonely start",
        [
            b"".join(b"%c " % first for first in range(*bounds))
            for bounds in ((0xC0, 0xE0), (0xE0, 0xF0), (0xF0, 0xF8), (0xF8, 0xFC), (0xFC, 0xFE))
        ],
    ),
    (
        "last continuation missing",
        _hex(
            *("c0", "e080", "f08080", "f8808080", "fc80808080"),
            *("df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf"),
        ),
    ),
    (
        "last continuations missing",
        _hex("c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf"),
    ),
    ("impossible octet", _hex("fe", "ff", "fefeffff")),
    ("overlong slash", _hex("c0af", "e080af", "f08080af", "f8808080af", "fc80808080af")),
    ("longest overlong", _hex("c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf")),
    ("overlong null", _hex("c080", "e08080", "f0808080", "f880808080", "fc8080808080")),
    ("surrogate", _hex("eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf")),
    (
        "pair of surrogates",
        _hex(
            *("eda080edb080", "eda080edbfbf", "edadbfedb080", "edadbfedbfbf"),
            *("edae80edb080", "edae80edbfbf", "edafbfedb080", "edafbfedbfbf"),
        ),
    ),
    (
        "code point that is no character",
        [chr(plane << 16 | low).encode() for plane in range(17) for low in (0xFFFE, 0xFFFF)],
    ),
    ("special", [chr(point).encode() for point in range(0xFFF9, 0x10000)]),
)
"""Sections 6.5 to 6.23; which of them are UTF-8, Python knows."""


def is_utf_8(payload: bytes) -> bool:
    """Whether ``payload`` is text."""
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
