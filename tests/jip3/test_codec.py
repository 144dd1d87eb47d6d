"""What every codec does."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import ujson
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3 import values
from telemetry_twisted.jip3.codec import (
    DECODE_ERROR,
    FACT_TYPES,
    MOST_DROPPED,
    VIOLATION,
    Codec,
    CodecUnavailable,
    Decoded,
    Dialect,
    Dropped,
    Fault,
    FrameTooLong,
    Stream,
    load_codec,
)
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.jip3.natural import encode_natural
from telemetry_twisted.jip3.table import TABLE, EventType, Fields
from tests.examples import examples

NODE_ID = "ab" * 32
RECEIVED = Moment(b"2026-11-24T07:42:00.123456Z")
CORES = 9

RandomFields = Callable[[Fields, int], st.SearchStrategy[dict[str, Any]]]
Reference = Callable[[Dialect], Stream]
EventMessage = Callable[..., bytes]
FaultsOf = Callable[[Iterable[Decoded]], list[Fault]]


def dialect(cores: int = CORES, **options: Any) -> Dialect:
    return Dialect(NODE_ID, cores, **options)


def decode(stream: Stream, data: bytes, start: int = 0, room: int = 1_000_000) -> Decoded:
    return stream.decode(data, start, room, 1, 1, RECEIVED)


def outcome(stream: Stream, data: bytes, start: int, room: int) -> Decoded | str:
    """What :func:`decode` returns, or what the :class:`FrameTooLong` says that it raises."""
    try:
        return decode(stream, data, start, room)
    except FrameTooLong as error:
        return str(error)


def split(decoded: Decoded) -> list[bytes]:
    """The messages one by one."""
    messages = []
    at = 0
    for (length,) in struct.iter_unpack("<I", decoded.lengths):
        messages.append(decoded.events[at : at + length])
        assert decoded.events[at + length : at + length + 1] in (b",", b"")
        at += length + 1
    assert at == len(decoded.events) + 1 if messages else not decoded.events
    assert len(messages) == len(decoded.types)
    return messages


def sent(request_id: int) -> bytes:
    """A frame of a small event: ``ShardRequestSent``."""
    return frame(encode_event(123, 1, {"request_id": request_id}, cores=CORES))


def dropped(num: int) -> bytes:
    return frame(encode_event(0, 1, {"last_timestamp": 2, "num": num}, cores=CORES))


def failed(reason: bytes, after: bytes = b"") -> bytes:
    """A frame of ``ConnectInFailed`` with a reason of less than 128 bytes."""
    return frame(bytes(8) + b"\x16" + bytes(8) + bytes([len(reason)]) + reason + after)


UNDECODABLE = frame(bytes(8) + b"\x01")


@pytest.mark.parametrize(("form", "byte_arrays"), [("json", False), ("json_arrays", True)])
def test_vectors(
    codec: Codec,
    vectors: list[dict[str, Any]],
    event_message: EventMessage,
    form: str,
    byte_arrays: bool,
) -> None:
    for vector in vectors:
        if vector["kind"] == "event":
            data = frame(bytes.fromhex(vector["hex"]))
            kind = vector["discriminator"]
            stream = codec.open(dialect(vector["cores"], byte_arrays=byte_arrays))
            decoded = stream.decode(data, 0, 1, 7, 1, RECEIVED)
            message = event_message(7, 0, kind, vector[form])
            assert decoded.events == message
            lengths = struct.pack("<I", len(message))
            assert decoded == Decoded(len(data), message, bytes([kind]), lengths, b"", b"", [])


@examples(15)
@given(data=st.data())
def test_random_events(
    codec: Codec,
    event_type: EventType,
    version: int,
    random_fields: RandomFields,
    event_message: EventMessage,
    data: st.DataObject,
) -> None:
    fields = data.draw(random_fields(event_type.fields, CORES))
    timestamp = data.draw(st.integers(0, 2**64 - 1))
    raw = encode_event(event_type.name, timestamp, fields, cores=CORES, version=version)
    for byte_arrays in (False, True):
        shown = values.decode_event(raw, CORES, version, byte_arrays).as_json()
        stream = codec.open(dialect(version=version, byte_arrays=byte_arrays))
        decoded = decode(stream, frame(raw))
        assert decoded.events == event_message(1, 0, event_type.discriminator, shown)
        assert decoded.faults == []
        assert stream.take_counts() == {event_type.discriminator: 1}
        if not byte_arrays:
            assert shown == {event_type.name: {"timestamp": timestamp, **fields}}


@examples(3)
@given(data=st.data())
def test_every_cut(
    codec: Codec,
    event_type: EventType,
    version: int,
    random_fields: RandomFields,
    reference: Reference,
    data: st.DataObject,
) -> None:
    fields = data.draw(random_fields(event_type.fields, CORES))
    raw = encode_event(event_type.name, 1, fields, cores=CORES, version=version)
    frames = b"".join(frame(raw[:end]) for end in range(len(raw) + 1))
    decoded = decode(codec.open(dialect(version=version)), frames)
    assert decoded == decode(reference(dialect(version=version)), frames)
    assert sum(fault.times for fault in decoded.faults) == len(raw)
    assert len(decoded.types) == 1


@pytest.mark.parametrize("cores", [0, 1, 7, 8, 9, 341, 4096, 65535])
@pytest.mark.parametrize("byte_arrays", [False, True])
def test_core_counts(codec: Codec, reference: Reference, cores: int, byte_arrays: bool) -> None:
    status = dict.fromkeys(("num_peers", "num_val_peers", "num_sync_peers"), 1) | {
        "num_guarantees": [core % 256 for core in range(cores)],
        **dict.fromkeys(("num_shards", "shards_size", "num_preimages", "preimages_size"), 2),
    }
    bitfield = b"\xa5" * ((cores + 7) // 8)
    assurance = {"statement": {"anchor": bytes(32), "bitfield": bitfield}}
    data = frame(encode_event(10, 1, status, cores=cores))
    data += frame(encode_event(126, 1, assurance, cores=cores))
    decoded = decode(codec.open(dialect(cores, byte_arrays=byte_arrays)), data)
    assert decoded == decode(reference(dialect(cores, byte_arrays=byte_arrays)), data)
    assert decoded.types == bytes([10, 126])
    first, second = map(json.loads, split(decoded))
    assert first["data"]["event"]["Status"]["num_guarantees"] == status["num_guarantees"]
    shown = second["data"]["event"]["DistributingAssurance"]["statement"]["bitfield"]
    assert shown == (list(bitfield) if byte_arrays else f"0x{bitfield.hex()}")


def test_text_is_escaped_as_json_asks(codec: Codec) -> None:
    reason = bytes(range(0x20)) + b'"\\/<\x7f' + "é\u2028\u20ac\U0001f600".encode()
    (message,) = split(decode(codec.open(dialect()), failed(reason)))
    shown = json.dumps(reason.decode(), ensure_ascii=False).encode()
    assert b'"reason":' + shown + b"}" in message
    assert rb"\b\t\n\u000b\f\r" in shown


@given(reason=st.binary(max_size=127))
def test_any_bytes_in_a_string(codec: Codec, reference: Reference, reason: bytes) -> None:
    decoded = decode(codec.open(dialect()), failed(reason))
    assert decoded == decode(reference(dialect()), failed(reason))
    shown = json.loads(decoded.events)["data"]["event"]["ConnectInFailed"]["reason"]
    assert shown == reason.decode("utf-8", "replace")


PIECES = (
    b"a\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xef\xf0\xf1\xf3\xf4\xf5\xff"
)
"""Where the ranges of RFC 3629, section 4, begin and end."""


@examples(500)
@given(reason=st.lists(st.sampled_from(PIECES), max_size=12).map(bytes))
def test_ill_formed_utf8(codec: Codec, reason: bytes) -> None:
    decoded = decode(codec.open(dialect()), failed(reason))
    shown = json.loads(decoded.events)["data"]["event"]["ConnectInFailed"]["reason"]
    assert shown == reason.decode("utf-8", "replace")
    assert len(decoded.faults) == (b"\xef\xbf\xbd" in shown.encode())


@given(raw=st.lists(st.sampled_from([0, 0, 0, 1, 0xFF, 0xA0]), min_size=16, max_size=16).map(bytes))
def test_addresses(codec: Codec, raw: bytes) -> None:
    data = frame(encode_event(20, 1, {"from": {"ipv6": raw, "port": 7}}, cores=CORES))
    for byte_arrays, shown in ((False, values.address_text(raw)), (True, list(raw))):
        decoded = decode(codec.open(dialect(byte_arrays=byte_arrays)), data)
        sender = json.loads(decoded.events)["data"]["event"]["ConnectionRefused"]["from"]
        assert sender == {"ipv6": shown, "port": 7}


class TestFaults:
    """Protocol, "What bad input gets": the rows that concern a decoder."""

    @pytest.mark.parametrize(
        ("content", "kind", "offset", "reason"),
        [
            (b"", None, 0, values.CUT_SHORT),
            (bytes(7), None, 0, values.CUT_SHORT),
            (bytes(8), None, 8, values.CUT_SHORT),
            (bytes(9), 0, 9, values.CUT_SHORT),
            (bytes(8) + b"\x01", 1, 8, values.UNKNOWN_DISCRIMINATOR),
            (bytes(8) + b"\xff" * 99, 255, 8, values.UNKNOWN_DISCRIMINATOR),
            (bytes(8) + b"\x0b\0\0\0\0" + bytes(31), 11, 13, values.CUT_SHORT),
            (bytes(8) + b"\x0d\x02", 13, 9, values.BAD_BOOL),
            (bytes(8) + b"\x1b" + bytes(32) + b"\2\0\0", 27, 41, values.BAD_OPTION),
            (bytes(8) + b"\x1b" + bytes(32) + b"\1\2\0", 27, 42, values.BAD_ENUM),
            (bytes(8) + b"\x3c" + bytes(32) + b"\xff", 60, 41, values.BAD_ENUM),
            (bytes(8) + b"\x16" + bytes(8) + b"\x02a", 22, 17, values.COUNT_TOO_LARGE),
            (bytes(8) + b"\x16" + bytes(8) + b"\xff" * 9, 22, 17, values.COUNT_TOO_LARGE),
            (bytes(8) + b"\x16" + bytes(8) + b"\xff" * 8, 22, 17, values.CUT_SHORT),
            (bytes(8) + b"\x52" + bytes(8) + b"\x21" + bytes(32), 82, 17, values.COUNT_TOO_LARGE),
            (bytes(8) + b"\x52" + bytes(8) + b"\x02" + bytes(32), 82, 50, values.CUT_SHORT),
        ],
    )
    def test_undecodable(
        self, codec: Codec, content: bytes, kind: int | None, offset: int, reason: str
    ) -> None:
        stream = codec.open(dialect())
        data = sent(1) + frame(content) + sent(2)
        decoded = decode(stream, data)
        assert decoded.end == len(data)
        assert decoded.faults == [Fault(DECODE_ERROR, kind, offset, reason, content[:64])]
        numbers = [json.loads(message)["data"]["event_id"] for message in split(decoded)]
        assert numbers == [0, 2]
        assert stream.take_counts() == {123: 2}

    @pytest.mark.parametrize(
        ("data", "faults"),
        [
            (failed(b"a\xffb"), [(17, values.INVALID_UTF8)]),
            (failed(b"ab", b"\0"), [(20, values.TRAILING_BYTES)]),
            (failed(b"\xff", b"\0"), [(17, values.INVALID_UTF8), (19, values.TRAILING_BYTES)]),
            (
                frame(bytes(8) + b"\x16" + bytes(8) + b"\x80\x81" + b"a" * 129),
                [(17, values.STRING_TOO_LONG)],
            ),
            (
                frame(bytes(8) + b"\x16" + bytes(8) + b"\x80\x81" + b"\xff" * 129 + b"\0"),
                [(17, values.STRING_TOO_LONG), (148, values.TRAILING_BYTES)],
            ),
        ],
    )
    def test_violations(self, codec: Codec, data: bytes, faults: list[tuple[int, str]]) -> None:
        decoded = decode(codec.open(dialect()), data)
        assert decoded.types == b"\x16"
        excerpt = data[4:68]
        assert decoded.faults == [Fault(VIOLATION, 22, *fault, excerpt) for fault in faults]

    @pytest.mark.parametrize("size", [129, 1_000, 70_000])
    def test_a_long_string_is_delivered_whole(self, codec: Codec, size: int) -> None:
        content = bytes(8) + b"\x16" + bytes(8) + encode_natural(size) + b"\n" * size
        decoded = decode(codec.open(dialect()), frame(content))
        shown = json.loads(decoded.events)["data"]["event"]["ConnectInFailed"]["reason"]
        assert shown == "\n" * size
        assert [fault.reason for fault in decoded.faults] == [values.STRING_TOO_LONG]

    def test_faults_that_are_alike_are_one(self, codec: Codec, reference: Reference) -> None:
        """In the order in which each first came, each with what the last of them was."""
        data = failed(b"\xff", b"\0") + UNDECODABLE + sent(1) + failed(b"a", b"\1") + frame(b"")
        decoded = decode(codec.open(dialect()), data + UNDECODABLE)
        assert decoded == decode(reference(dialect()), data + UNDECODABLE)
        assert [(fault.kind, fault.reason, fault.times) for fault in decoded.faults] == [
            (VIOLATION, values.INVALID_UTF8, 1),
            (VIOLATION, values.TRAILING_BYTES, 2),
            (DECODE_ERROR, values.UNKNOWN_DISCRIMINATOR, 2),
            (DECODE_ERROR, values.CUT_SHORT, 1),
        ]
        assert decoded.faults[1].excerpt == failed(b"a", b"\1")[4:]

    @pytest.mark.parametrize("frames", [frame(b""), frame(bytes(8) + b"\xff"), failed(b"", b"!")])
    def test_a_flood_of_bad_frames_makes_one_fault_a_call(
        self, codec: Codec, frames: bytes
    ) -> None:
        decoded = decode(codec.open(dialect()), frames * 8_192)
        assert [fault.times for fault in decoded.faults] == [8_192]

    def test_naturals_may_be_longer_than_need_be(self, codec: Codec) -> None:
        content = bytes(8) + b"\x52" + bytes(8) + b"\xc0\x01\x00" + bytes(32)
        decoded = decode(codec.open(dialect()), frame(content))
        assert decoded.types == b"\x52"
        assert decoded.faults == []

    def test_version_of_event_61(self, codec: Codec) -> None:
        content = bytes(8) + b"\x3d" + bytes(8) + b"\x01\x00"
        for version, kinds in ((0, b""), (1, b"\x3d"), (255, b"\x3d")):
            assert decode(codec.open(dialect(version=version)), frame(content)).types == kinds


class TestFrames:
    def test_split_at_any_byte(
        self, codec: Codec, contents: list[bytes], reference: Reference, faults_of: FaultsOf
    ) -> None:
        frames = [frame(content) for content in contents if len(content) < 60][::9]
        data = b"".join([*frames, UNDECODABLE, frame(b""), dropped(5), *frames[:3]])
        whole = decode(codec.open(dialect(341)), data)
        assert whole == decode(reference(dialect(341)), data)
        assert whole.end == len(data)
        for at in range(len(data)):
            stream = codec.open(dialect(341))
            first = decode(stream, data[:at])
            assert first.end <= at
            rest = stream.decode(data, first.end, 1_000, 1 + len(first.types), 1, RECEIVED)
            assert rest.end == len(data)
            assert split(first) + split(rest) == split(whole)
            assert faults_of([first, rest]) == whole.faults

    def test_byte_by_byte(self, codec: Codec) -> None:
        data = sent(1) + dropped(3) + sent(2)
        stream = codec.open(dialect())
        held = b""
        messages = []
        for byte in data:
            held += bytes([byte])
            decoded = decode(stream, held)
            messages += split(decoded)
            held = held[decoded.end :]
        assert not held
        assert [json.loads(message)["data"]["event_id"] for message in messages] == [0, 1, 4]

    def test_start(self, codec: Codec) -> None:
        data = sent(1) + sent(2)
        decoded = decode(codec.open(dialect()), data, len(sent(1)))
        assert decoded.end == len(data)
        assert b'"request_id":2' in decoded.events
        assert decode(codec.open(dialect()), data, len(data)).end == len(data)

    def test_no_data(self, codec: Codec) -> None:
        assert decode(codec.open(dialect()), b"") == Decoded(0, b"", b"", b"", b"", b"", [])

    def test_room_is_for_events_alone(self, codec: Codec) -> None:
        stream = codec.open(dialect())
        data = UNDECODABLE + sent(1) + UNDECODABLE + sent(2) + UNDECODABLE
        first = decode(stream, data, room=2)
        assert first.end == len(data) - len(UNDECODABLE)
        assert [fault.times for fault in first.faults] == [2]
        second = decode(stream, data, first.end, room=2)
        assert (second.end, second.types, len(second.faults)) == (len(data), b"", 1)

    def test_room(self, codec: Codec) -> None:
        stream = codec.open(dialect())
        data = b"".join(map(sent, range(10)))
        at, messages = 0, []
        for room in (3, 1, 4, 100):
            decoded = decode(stream, data, at, room)
            messages.append(len(split(decoded)))
            at = decoded.end
        assert messages == [3, 1, 4, 2]
        assert at == len(data)

    def test_ids(self, codec: Codec) -> None:
        data = sent(1) + UNDECODABLE + sent(2) + sent(3)
        decoded = codec.open(dialect()).decode(data, 0, 10, 2**53 - 5, 4, RECEIVED)
        ids = [json.loads(message)["data"]["id"] for message in split(decoded)]
        assert ids == [2**53 - 5, 2**53 - 1, 2**53 + 3]

    def test_too_long(self, codec: Codec) -> None:
        stream = codec.open(dialect(max_message_size=17))
        exact = sent(1)
        assert len(exact) == 4 + 17
        too_long = (18).to_bytes(4, "little")
        decoded = decode(stream, exact + too_long)
        assert decoded.end == len(exact)
        for call in (lambda: decode(stream, too_long), lambda: stream.skip(too_long, 0, 9)):
            with pytest.raises(FrameTooLong, match="18 bytes, at most 17") as caught:
                call()
            assert (caught.value.length, caught.value.limit) == (18, 17)
        assert stream.next_event_id == 1
        assert stream.take_counts() == {123: 1}

    def test_too_long_by_far(self, codec: Codec) -> None:
        with pytest.raises(FrameTooLong):
            decode(codec.open(dialect()), b"\xff" * 100)

    def test_large_messages(
        self, codec: Codec, contents: list[bytes], reference: Reference
    ) -> None:
        data = b"".join(frame(content) for content in sorted(contents, key=len)[-8:])
        assert len(data) > 100_000
        for byte_arrays in (False, True):
            options = dialect(341, byte_arrays=byte_arrays)
            decoded = decode(codec.open(options), data)
            assert decoded == decode(reference(options), data)
            assert not [fault for fault in decoded.faults if fault.kind == VIOLATION]


class TestEventIds:
    """JIP-3, Event IDs."""

    @pytest.mark.parametrize(
        ("frames", "event_ids", "following"),
        [
            ([sent(1), sent(2)], [0, 1], 2),
            ([dropped(1), sent(1)], [0, 1], 2),
            ([dropped(0), sent(1)], [0, 0], 1),
            ([sent(1), dropped(1000), sent(2)], [0, 1, 1001], 1002),
            ([UNDECODABLE, frame(b""), sent(1)], [2], 3),
            ([frame(dropped(9)[4:-1]), sent(1)], [1], 2),
            ([frame(dropped(9)[4:] + b"\0"), sent(1)], [0, 9], 10),
            ([dropped(2**64 - 1), sent(1), sent(2)], [0, 2**64 - 1, 0], 1),
            ([sent(1), dropped(2**64 - 1), sent(2)], [0, 1, 0], 1),
            ([sent(1), sent(2), dropped(2**64 - 1), sent(3)], [0, 1, 2, 1], 2),
        ],
    )
    def test_event_ids(
        self, codec: Codec, frames: list[bytes], event_ids: list[int], following: int
    ) -> None:
        data = b"".join(frames)
        stream = codec.open(dialect())
        decoded = decode(stream, data)
        assert [json.loads(message)["data"]["event_id"] for message in split(decoded)] == event_ids
        assert stream.next_event_id == following
        skipping = codec.open(dialect())
        assert skipping.skip(data, 0, 100) == (len(data), len(frames))
        assert skipping.next_event_id == following

    def test_an_error_uses_up_the_last_id(self, codec: Codec) -> None:
        stream = codec.open(dialect())
        decode(stream, dropped(2**64 - 1) + UNDECODABLE)
        assert stream.next_event_id == 0


class TestSkip:
    def test_skip(self, codec: Codec) -> None:
        stream = codec.open(dialect(fact_types=frozenset({0, 123})))
        data = sent(1) + dropped(10) + UNDECODABLE + sent(2) + sent(3)[:-1]
        after_two = len(sent(1)) + len(dropped(0))
        assert stream.skip(data, 0, 2) == (after_two, 2)
        assert stream.next_event_id == 11
        assert stream.skip(data, after_two, 100) == (len(data) - len(sent(3)) + 1, 2)
        assert stream.next_event_id == 13
        assert stream.take_counts() == {}
        decoded = decode(stream, sent(4))
        assert json.loads(decoded.events)["data"]["event_id"] == 13

    def test_nothing_to_skip(self, codec: Codec) -> None:
        stream = codec.open(dialect())
        assert stream.skip(sent(1), 0, 0) == (0, 0)
        assert stream.skip(sent(1)[:-1], 0, 9) == (0, 0)
        assert stream.skip(b"", 0, 9) == (0, 0)
        assert stream.next_event_id == 0

    def test_stops_before_what_is_too_long(self, codec: Codec) -> None:
        stream = codec.open(dialect())
        assert stream.skip(sent(1) + b"\xff" * 9, 0, 9) == (len(sent(1)), 1)


class TestFactsAndCounts:
    def test_facts_are_verbatim(self, codec: Codec) -> None:
        stream = codec.open(dialect(fact_types=frozenset({22, 0})))
        odd = failed(b"\xff", b"more")
        undecodable = frame(failed(b"abc")[4:-1])
        data = sent(1) + failed(b"a") + dropped(2) + undecodable + odd + sent(2)
        decoded = decode(stream, data)
        assert decoded.facts == failed(b"a") + dropped(2) + odd
        assert decoded.types == bytes([123, 22, 0, 22, 123])

    def test_no_facts_unless_asked_for(self, codec: Codec) -> None:
        assert decode(codec.open(dialect()), failed(b"a")).facts == b""

    def test_every_fact_type(
        self, codec: Codec, contents: list[bytes], reference: Reference
    ) -> None:
        data = b"".join(frame(content) for content in contents if len(content) < 2_000)
        options = dialect(341, fact_types=FACT_TYPES)
        decoded = decode(codec.open(options), data)
        assert decoded == decode(reference(options), data)
        assert set(range(10, 14)) <= {data[4 + 8] for data in each_frame(decoded.facts)}

    def test_counts(self, codec: Codec) -> None:
        stream = codec.open(dialect())
        assert stream.take_counts() == {}
        decode(stream, sent(1) + failed(b"\xff") + UNDECODABLE + dropped(7) + sent(2))
        decode(stream, sent(3))
        assert stream.take_counts() == {123: 3, 22: 1, 0: 1}
        assert stream.take_counts() == {}
        decode(stream, sent(4))
        assert stream.take_counts() == {123: 1}

    def test_what_was_dropped(self, codec: Codec) -> None:
        stream = codec.open(dialect())
        assert stream.take_dropped() is None
        decode(stream, dropped(7) + sent(1) + dropped(0) + UNDECODABLE + dropped(10))
        assert stream.take_dropped() == Dropped(17, 3, 1, 2)
        assert stream.take_dropped() is None
        stream.skip(dropped(7), 0, 1)
        assert stream.take_dropped() is None
        decode(stream, dropped(2**64 - 1) + dropped(5))
        assert stream.take_dropped() == Dropped(MOST_DROPPED, 2, 1, 2)

    @examples(100)
    @given(
        spans=st.lists(
            st.tuples(
                st.sampled_from([0, 99, 100, 150, 200, 201, 2**64 - 1]),
                st.sampled_from([0, 99, 100, 160, 200, 201, 2**64 - 1]),
                st.sampled_from([0, 1, 2**62, 2**63 - 1, 2**64 - 1]),
            ),
            max_size=6,
        )
    )
    def test_all_codecs_agree_on_what_was_dropped(
        self, codec: Codec, reference: Reference, spans: list[tuple[int, int, int]]
    ) -> None:
        """Times that are off the clock are left out, also after the first of a minute."""
        stream, right = codec.open(dialect()), reference(dialect())
        moment = Moment(RECEIVED.received, 0, 100, 200)
        for time, last, num in spans:
            data = frame(encode_event(0, time, {"last_timestamp": last, "num": num}, cores=CORES))
            for each in (stream, right):
                each.decode(data, 0, 1, 1, 1, moment)
        assert stream.take_dropped() == right.take_dropped()

    def test_streams_do_not_share(self, codec: Codec) -> None:
        one, other = codec.open(dialect()), codec.open(Dialect("cd" * 32, CORES))
        decode(one, sent(1) + sent(2))
        decoded = decode(other, sent(3))
        assert other.take_counts() == {123: 1}
        assert (one.next_event_id, other.next_event_id) == (2, 1)
        assert json.loads(decoded.events)["data"]["node_id"] == "cd" * 32


def each_frame(data: bytes) -> list[bytes]:
    frames = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        frames.append(data[:end])
        data = data[end:]
    return frames


@given(data=st.binary(max_size=400), start=st.integers(0, 400), room=st.integers(1, 9))
def test_any_bytes(codec: Codec, reference: Reference, data: bytes, start: int, room: int) -> None:
    """No framing at all: what follows a length is what the length says."""
    options = dialect(2, max_message_size=100)
    stream, right = codec.open(options), reference(options)
    at = min(start, len(data))
    while True:
        decoded = outcome(stream, data, at, room)
        assert decoded == outcome(right, data, at, room)
        assert stream.next_event_id == right.next_event_id
        if not isinstance(decoded, Decoded) or decoded.end == at:
            break
        at = decoded.end


def test_names(codec: Codec) -> None:
    assert codec.name in ("python", "compiled")
    assert load_codec(codec.name).name == codec.name


def test_auto_is_the_compiled_codec_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        best = load_codec("compiled").name
    except CodecUnavailable:
        best = "python"
    assert load_codec("auto").name == best
    monkeypatch.setitem(sys.modules, "telemetry_twisted.jip3.compiled", None)
    assert load_codec("auto").name == "python"
    with pytest.raises(CodecUnavailable, match="--codec python"):
        load_codec("compiled")


def test_all_events_in_one_buffer(codec: Codec, contents: list[bytes]) -> None:
    frames = [frame(content) for content in contents]
    for cores in (2, 341):
        decoded = decode(codec.open(dialect(cores)), b"".join(frames))
        errors = sum(fault.times for fault in decoded.faults if fault.kind == DECODE_ERROR)
        assert len(decoded.types) + errors == len(frames)
        assert set(decoded.types) >= set(TABLE.events) - {10, 126}
        batch = ujson.loads(b"[" + decoded.events + b"]")
        assert [event["data"]["event_type"] for event in batch] == list(decoded.types)
