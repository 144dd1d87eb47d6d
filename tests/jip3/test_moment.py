"""What nodes say of time, compared with the server's clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.codec import DECODE_ERROR, VIOLATION, Codec, Decoded, Dialect, Stream
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import ANY_SLOT, ANY_TIME, COMMON_ERA, Moment, newest_slot
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.jip3.values import SLOT_AHEAD, TIME_OFF_CLOCK, TRAILING_BYTES, UNIX_TIME
from tests.examples import examples

NODE_ID = "ab" * 32
RECEIVED = b"2026-11-24T07:42:00.123456Z"
NOW = datetime.fromisoformat("2026-11-24T07:42:00").replace(tzinfo=timezone.utc).timestamp()
DAY = 24 * 3600 * 1_000_000
TIME = int(NOW) * 1_000_000 - COMMON_ERA
SLOT = TIME // 6_000_000

Reference = Callable[[Dialect], Stream]


def moment(seconds: float = 0) -> Moment:
    """So many seconds after the first."""
    return Moment.at(NOW + seconds, RECEIVED)


def requested(time: int) -> bytes:
    """A frame of an event that says nothing of time but its timestamp."""
    return frame(encode_event("ShardRequestSent", time, {"request_id": 1}, cores=2))


def best(slot: int, time: int = TIME, after: bytes = b"") -> bytes:
    content = encode_event("BestBlockChanged", time, {"slot": slot, "hash": bytes(32)}, cores=2)
    return frame(content + after)


def decode(stream: Stream, data: bytes, at: Moment) -> Decoded:
    return stream.decode(data, 0, 1_000, 1, 1, at)


def told(decoded: Decoded) -> list[tuple[str, int, str, int]]:
    return [(fault.kind, fault.offset, fault.reason, fault.times) for fault in decoded.faults]


OFF = (VIOLATION, 0, TIME_OFF_CLOCK, 1)
UNIX = (VIOLATION, 0, UNIX_TIME, 1)
AHEAD = (VIOLATION, 9, SLOT_AHEAD, 1)


class TestMoment:
    def test_bounds(self) -> None:
        assert moment() == Moment(
            RECEIVED, int(NOW // 60), TIME - DAY, TIME + DAY, SLOT + 10, 0, COMMON_ERA + TIME
        )

    def test_slots_begin_with_the_common_era(self) -> None:
        era = COMMON_ERA / 1_000_000
        assert [newest_slot(era + seconds) for seconds in (0, 5.9, 6, 12)] == [10, 10, 11, 12]

    @pytest.mark.parametrize("now", [0.0, COMMON_ERA / 1_000_000, 1e11, 1e12])
    def test_any_clock(self, now: float, codec: Codec) -> None:
        """A server's clock may be set to anything."""
        at = Moment.at(now, RECEIVED)
        assert 0 <= at.earliest <= at.latest <= ANY_TIME
        assert 0 <= at.newest_slot <= ANY_SLOT
        stream = codec.open(Dialect(NODE_ID, 2))
        assert len(decode(stream, best(ANY_SLOT, ANY_TIME), at).types) == 1

    def test_without_bounds_anything_will_do(self, codec: Codec) -> None:
        data = best(ANY_SLOT, ANY_TIME) + best(0, 0)
        assert decode(codec.open(Dialect(NODE_ID, 2)), data, Moment(RECEIVED)).faults == []


@pytest.mark.parametrize(
    ("time", "faults"),
    [
        (TIME, []),
        (TIME - DAY, []),
        (TIME + DAY, []),
        (TIME - DAY - 1, [OFF]),
        (TIME + DAY + 1, [OFF]),
        (0, [OFF]),
        (ANY_TIME, [OFF]),
        (TIME + COMMON_ERA, [UNIX]),
        (TIME + COMMON_ERA - DAY, [UNIX]),
        (TIME + COMMON_ERA + DAY, [UNIX]),
        (TIME + COMMON_ERA + DAY + 1, [OFF]),
        ((TIME + COMMON_ERA) // 1_000, [OFF]),
    ],
)
def test_times(codec: Codec, time: int, faults: list[Any]) -> None:
    """Delivered as they are, whatever they are."""
    decoded = decode(codec.open(Dialect(NODE_ID, 2)), requested(time), moment())
    assert json.loads(decoded.events)["data"]["event"]["ShardRequestSent"]["timestamp"] == time
    assert told(decoded) == faults


@pytest.mark.parametrize(("ahead", "faults"), [(-SLOT, []), (0, []), (10, []), (11, [AHEAD])])
def test_slots(codec: Codec, ahead: int, faults: list[Any]) -> None:
    decoded = decode(codec.open(Dialect(NODE_ID, 2)), best(SLOT + ahead), moment())
    assert json.loads(decoded.events)["data"]["event"]["BestBlockChanged"]["slot"] == SLOT + ahead
    assert told(decoded) == faults


def test_every_event_with_a_slot_of_its_own(codec: Codec) -> None:
    offsets = {
        event.discriminator: event.slot_offset
        for event in TABLE.events.values()
        if event.slot_offset is not None
    }
    assert offsets == {11: 9, 12: 9, 40: 9, 43: 9, 62: 42, 68: 17}
    for kind, offset in offsets.items():
        size = 9
        while not decode(codec.open(Dialect(NODE_ID, 2)), frame(raw(kind, size)), moment()).types:
            size += 1
        content = bytearray(raw(kind, size))
        content[offset : offset + 4] = (SLOT + 11).to_bytes(4, "little")
        decoded = decode(codec.open(Dialect(NODE_ID, 2)), frame(bytes(content)), moment())
        assert told(decoded) == [(VIOLATION, offset, SLOT_AHEAD, 1)]


def raw(kind: int, size: int) -> bytes:
    return (TIME.to_bytes(8, "little") + bytes([kind])).ljust(size, b"\0")


def test_once_a_minute_each(codec: Codec) -> None:
    stream = codec.open(Dialect(NODE_ID, 2))
    data = best(SLOT + 99) + best(SLOT + 99, 0) * 50 + requested(ANY_TIME) * 50
    assert told(decode(stream, data, moment())) == [AHEAD, OFF]
    for seconds in (0, 1, 30, 59.9):
        assert told(decode(stream, data, moment(seconds))) == []
    assert told(decode(stream, data, moment(60))) == [AHEAD, OFF]
    assert told(decode(stream, data, moment(61))) == []
    assert told(decode(stream, requested(TIME), moment(120))) == []
    assert told(decode(stream, requested(0), moment(121))) == [OFF]
    assert len(decode(stream, data, moment()).types) == 101


def test_each_connection_for_itself(codec: Codec) -> None:
    for _ in range(2):
        stream = codec.open(Dialect(NODE_ID, 2))
        assert told(decode(stream, requested(0), moment())) == [OFF]


def test_it_comes_after_other_violations_and_not_with_an_error(codec: Codec) -> None:
    stream = codec.open(Dialect(NODE_ID, 2))
    cut = frame(best(SLOT + 99, 0)[4:-1])
    (error,) = told(decode(stream, cut, moment()))
    assert error[0] == DECODE_ERROR
    decoded = decode(stream, best(SLOT + 99, 0, b"!"), moment())
    assert told(decoded) == [(VIOLATION, 45, TRAILING_BYTES, 1), OFF, AHEAD]


NEAR = st.sampled_from(
    [
        base + off
        for base in (0, TIME - DAY, TIME, TIME + DAY, TIME + COMMON_ERA + DAY, 2**63)
        for off in (0, 1)
    ]
    + [TIME - DAY - 1, TIME + COMMON_ERA - DAY - 1, ANY_TIME]
)


@examples(300)
@given(
    messages=st.lists(
        st.tuples(
            st.sampled_from([11, 12, 62, 68, 10, 255]),
            NEAR,
            st.sampled_from([0, SLOT, SLOT + 10, SLOT + 11, ANY_SLOT]),
            st.integers(0, 2),
        ),
        max_size=12,
    ),
    seconds=st.lists(st.sampled_from([-120, -60, 0, 1, 59, 60]), min_size=1, max_size=4),
)
def test_all_codecs_agree(
    codec: Codec,
    reference: Reference,
    messages: list[tuple[int, int, int, int]],
    seconds: list[int],
) -> None:
    options = Dialect(NODE_ID, 2)
    stream, right = codec.open(options), reference(options)
    data = b""
    for kind, time, slot, longer in messages:
        event = TABLE.events.get(kind)
        offset = (event.slot_offset if event else None) or 9
        size = {11: 45, 12: 45, 62: 78, 68: 82}.get(kind, 43) + longer - 1
        content = bytearray((time.to_bytes(8, "little") + bytes([kind])).ljust(size, b"\0"))
        content[offset : offset + 4] = slot.to_bytes(4, "little")
        data += frame(bytes(content))
    for after in seconds:
        assert decode(stream, data, moment(after)) == decode(right, data, moment(after))
