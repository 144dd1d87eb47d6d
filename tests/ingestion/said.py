"""Frames of all kinds that a node may send, for tests that compare."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from telemetry_twisted.jip3.codec import FACT_TYPES, Dialect
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.jip3.natural import encode_natural

LONGEST = 3_000
"""The longest message content that is taken, in bytes."""

NOW = 10**15


def event(kind: int, time: int, fields: dict[str, Any]) -> bytes:
    """The content of the message of an event."""
    return encode_event(kind, time, fields, cores=341)


def failed(reason: bytes) -> bytes:
    """A frame that gives ``reason``, which may be too long, or not UTF-8."""
    head = NOW.to_bytes(8, "little") + b"\x16" + bytes(8)
    return frame(head + encode_natural(len(reason)) + reason)


STOCK = (
    frame(event(26, NOW, {"connecting_id": 7})),
    frame(event(0, NOW, {"last_timestamp": NOW + 5, "num": 3})),
    frame(event(11, NOW, {"slot": 9, "hash": "0x" + "ab" * 32})),
    frame(event(11, NOW, {"slot": 10, "hash": "0x" + "cd" * 32})),
    frame(event(13, NOW, {"synced": True})),
    frame(event(22, NOW, {"connecting_id": 3, "reason": 'not "yet"\n'})),
    failed(b"x" * 129),
    failed(b"\xff"),
    frame(event(26, 1, {"connecting_id": 8})),  # a time that is off the clock
    frame(event(26, NOW, {"connecting_id": 9}) + b"more"),
    frame(event(26, NOW, {"connecting_id": 9})[:-1]),
    frame(bytes(8) + b"\xff"),
    frame(b""),
    failed(b"\x01" * (LONGEST - 19)),
)
"""Events with and without facts, with violations, and messages that are no events; the last is as
long as it may be."""

TOO_LONG = frame(bytes(LONGEST + 1))

MOMENTS = tuple(
    Moment(b"2026-11-24T07:42:00.%06dZ" % second, second // 3, NOW - 9, NOW + 9, 9, second)
    for second in range(6)
)


def dialect_of(number: int) -> Dialect:
    """How the node with ``number`` speaks: each in another way."""
    return Dialect(
        f"{number:064x}",
        cores=(341, None)[number % 2],
        byte_arrays=number % 3 == 0,
        max_message_size=LONGEST,
        fact_types=FACT_TYPES if number % 4 else frozenset(),
    )


def streams_of_frames(most: int) -> st.SearchStrategy[bytes]:
    """What a node sends: at most ``most`` different frames, short ones often many times."""
    some = st.tuples(st.sampled_from(STOCK), st.just(1)) | st.tuples(
        st.sampled_from(STOCK[:-1]), st.sampled_from((2, 40, 130))
    )
    return st.lists(some, max_size=most).map(
        lambda frames: b"".join(each * times for each, times in frames)
    )
