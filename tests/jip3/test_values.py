from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from telemetry_twisted.jip3 import values
from telemetry_twisted.jip3.encoder import encode_event
from telemetry_twisted.jip3.table import EventType, Fields
from telemetry_twisted.jip3.values import DecodeError, Violation, address_text, decode_event
from tests.examples import examples

CORES = 9
HASH = bytes(range(32))

RandomFields = Callable[[Fields, int], st.SearchStrategy[dict[str, Any]]]


def content(kind: int, body: str) -> bytes:
    """The content of an event of discriminator ``kind`` at time 1 whose fields are ``body``, hex
    in which ``H`` stands for a hash."""
    raw = bytes.fromhex(body.replace("H", HASH.hex()))
    return (1).to_bytes(8, "little") + bytes([kind]) + raw


@pytest.mark.parametrize(("form", "byte_arrays"), [("json", False), ("json_arrays", True)])
def test_vectors(vectors: list[dict[str, Any]], form: str, byte_arrays: bool) -> None:
    decoded = 0
    for vector in vectors:
        if vector["kind"] == "event":
            raw = bytes.fromhex(vector["hex"])
            event = decode_event(raw, vector["cores"], byte_arrays=byte_arrays)
            assert json.dumps(event.as_json()) == json.dumps(vector[form])
            assert event.discriminator == vector["discriminator"]
            assert event.violations == ()
            decoded += 1
    assert decoded == 377


@examples(20)
@given(data=st.data(), timestamp=st.integers(0, 2**64 - 1))
def test_round_trip(
    event_type: EventType,
    version: int,
    random_fields: RandomFields,
    data: st.DataObject,
    timestamp: int,
) -> None:
    fields = data.draw(random_fields(event_type.fields, CORES))
    raw = encode_event(event_type.name, timestamp, fields, cores=CORES, version=version)
    event = decode_event(raw, CORES, version)
    assert event == values.Event(event_type.discriminator, event_type.name, timestamp, fields, ())
    arrays = decode_event(raw, CORES, version, byte_arrays=True)
    again = encode_event(event_type.name, timestamp, arrays.fields, cores=CORES, version=version)
    assert again == raw


@examples(5)
@given(data=st.data())
def test_every_cut_is_an_error_at_the_read_that_fails(
    event_type: EventType, version: int, random_fields: RandomFields, data: st.DataObject
) -> None:
    fields = data.draw(random_fields(event_type.fields, CORES))
    raw = encode_event(event_type.name, 1, fields, cores=CORES, version=version)
    offsets = []
    for end in range(len(raw)):
        with pytest.raises(DecodeError) as caught:
            decode_event(raw[:end], CORES, version)
        assert caught.value.reason in (values.CUT_SHORT, values.COUNT_TOO_LARGE)
        assert caught.value.offset <= end
        offsets.append(caught.value.offset)
    assert offsets[:9] == [0] * 8 + [8]


ERRORS = {
    "no bytes": (b"", 0, values.CUT_SHORT),
    "timestamp cut short": (bytes(7), 0, values.CUT_SHORT),
    "no discriminator": (bytes(8), 8, values.CUT_SHORT),
    "unknown discriminator": (content(1, ""), 8, values.UNKNOWN_DISCRIMINATOR),
    "last discriminator": (content(255, "H"), 8, values.UNKNOWN_DISCRIMINATOR),
    "integer cut short": (content(11, "020000"), 9, values.CUT_SHORT),
    "hash cut short": (content(11, "02000000 00"), 13, values.CUT_SHORT),
    "hash missing": (content(11, "02000000"), 13, values.CUT_SHORT),
    "bool": (content(13, "02"), 9, values.BAD_BOOL),
    "option": (content(27, "H 02 00 00"), 41, values.BAD_OPTION),
    "enum in option": (content(27, "H 01 02 00"), 42, values.BAD_ENUM),
    "enum": (content(60, "H 02"), 41, values.BAD_ENUM),
    "enum of five": (content(113, "H 01000000 00 05"), 46, values.BAD_ENUM),
    "address cut short": (content(20, "00" * 15), 9, values.CUT_SHORT),
    "port cut short": (content(20, "00" * 17), 25, values.CUT_SHORT),
    "string longer than what is left": (content(22, "00" * 8 + "0361 62"), 17, "count"),
    "string length cut short": (content(22, "00" * 8 + "80"), 17, values.CUT_SHORT),
    "string length missing": (content(22, "00" * 8), 17, values.CUT_SHORT),
    "string of 2^64 - 1 bytes": (content(22, "00" * 8 + "ff" * 9), 17, "count"),
    "count larger than what is left": (content(82, "00" * 8 + "21 H"), 17, "count"),
    "count that fits, items that do not": (content(82, "00" * 8 + "02 H"), 50, values.CUT_SHORT),
    "count of 2^56": (content(168, "00" * 8 + "ff00000000000000 01 0000"), 17, "count"),
    "core bytes cut short": (content(10, "00" * 12 + "00" * 8), 21, values.CUT_SHORT),
    "bitfield cut short": (content(126, "H 00"), 41, values.CUT_SHORT),
    "import spec cut short": (
        content(94, "00" * 10 + "00000000 H H 00000000 00 01" + "00" * 28 + "01 H 00"),
        9 + 10 + 4 + 64 + 4 + 1 + 1 + 28 + 1 + 32,
        values.CUT_SHORT,
    ),
    "nothing after an error is reported": (content(83, "H 00 02 81" + "ff" * 300), 42, "bool"),
}


@pytest.mark.parametrize(("raw", "offset", "reason"), ERRORS.values(), ids=ERRORS.keys())
def test_errors(raw: bytes, offset: int, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_event(raw, CORES)
    assert (caught.value.offset, caught.value.reason.startswith(reason)) == (offset, True)


def test_version_decides_the_fields_of_event_61() -> None:
    raw = content(61, "0500000000000000 00 00")
    assert decode_event(raw, CORES, version=1).fields == {
        "opened_id": 5,
        "closer": "Local",
        "reason": "",
    }
    assert decode_event(raw, CORES, version=9) == decode_event(raw, CORES, version=1)
    with pytest.raises(DecodeError):
        decode_event(raw, CORES, version=0)


VIOLATIONS = {
    "128 bytes are allowed": ("8080" + "61" * 128, "a" * 128, []),
    "129 bytes are not": ("8081" + "61" * 129, "a" * 129, [(17, values.STRING_TOO_LONG)]),
    "characters do not count": (
        "8082" + "c3bc" * 65,
        "ü" * 65,
        [(17, values.STRING_TOO_LONG)],
    ),
    "invalid UTF-8": ("03 61ff62", "a�b", [(17, values.INVALID_UTF8)]),
    "maximal subparts": (
        "0b 61 f09f98 e28c41 eda080 80",
        "a��A����",
        [(17, values.INVALID_UTF8)],
    ),
    "too long and invalid": (
        "8081 ff" + "61" * 128,
        "�" + "a" * 128,
        [(17, values.STRING_TOO_LONG)],
    ),
    "one byte left over": ("00 00", "", [(18, values.TRAILING_BYTES)]),
    "many left over, and invalid": (
        "01 ff" + "00" * 200,
        "�",
        [(17, values.INVALID_UTF8), (19, values.TRAILING_BYTES)],
    ),
    "length longer than need be": ("8001 61", "a", []),
}


@pytest.mark.parametrize(
    ("string", "shown", "violations"), VIOLATIONS.values(), ids=VIOLATIONS.keys()
)
def test_violations(string: str, shown: str, violations: list[tuple[int, str]]) -> None:
    event = decode_event(content(22, "0700000000000000" + string), CORES)
    assert event.fields == {"connecting_id": 7, "reason": shown}
    assert event.violations == tuple(Violation(*violation) for violation in violations)


@given(raw=st.binary(min_size=16, max_size=16))
def test_address_text(raw: bytes) -> None:
    assume(raw[:12] != bytes(10) + b"\xff\xff")
    assert address_text(raw) == str(IPv6Address(raw))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("00000000000000000000ffff0a000007", "10.0.0.7"),
        ("00000000000000000000ffff00000000", "0.0.0.0"),
        ("00000000000000000000ffffffffffff", "255.255.255.255"),
        ("00000000000000000000fffe0a000007", "::fffe:a00:7"),
        ("0000000000000000000000000a000007", "::a00:7"),
        ("00000000000000000000000000000000", "::"),
        ("00000000000000000000000000000001", "::1"),
        ("00010000000000000000000000000000", "1::"),
        ("20010db8000000010000000000000001", "2001:db8:0:1::1"),
        ("20010db8000000000001000000000001", "2001:db8::1:0:0:1"),
        ("00010000000200030004000500060007", "1:0:2:3:4:5:6:7"),
        ("0123456789abcdef0123456789abcdef", "123:4567:89ab:cdef:123:4567:89ab:cdef"),
    ],
)
def test_address_texts(raw: str, text: str) -> None:
    assert address_text(bytes.fromhex(raw)) == text
    assert ip_address(text)
