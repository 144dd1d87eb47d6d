from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry_twisted.jip3.codec import VIOLATION, Fault
from telemetry_twisted.jip3.encoder import encode_node_information
from telemetry_twisted.jip3.node_information import (
    VERSION_TOO_NEW,
    NodeInformationError,
    decode_node_information,
)
from telemetry_twisted.jip3.table import TABLE, Fields
from telemetry_twisted.jip3.values import INVALID_UTF8, STRING_TOO_LONG

PARAMETERS = {"gp-0.7": 134, "gp-0.8": 122}
STRINGS = 32 + 32 + 16 + 2 + 4
"""Where the strings begin, counted from the end of the parameters."""

RandomFields = Callable[[Fields, int], st.SearchStrategy[dict[str, Any]]]


def content(size: int, strings: bytes, *, cores: int = 341, version: int = 0) -> bytes:
    """Node information with ``size`` bytes of parameters, in which no string can begin."""
    params = bytearray(b"\xff" * size)
    params[24:26] = cores.to_bytes(2, "little")
    return bytes([version]) + params + b"\xff" * STRINGS + strings


def strings(*texts: bytes) -> bytes:
    return b"".join(bytes([len(text)]) + text for text in texts)


def test_vectors(vectors: list[dict[str, Any]]) -> None:
    seen = []
    for vector in vectors:
        if vector["kind"] == "node_information":
            information = decode_node_information(bytes.fromhex(vector["hex"]))
            version, layout = vector["version"], vector["layout"]
            assert json.dumps(information.as_json()) == json.dumps(
                {"version": version, "layout": layout, **vector["json"]}
            )
            assert (information.version, information.layout) == (version, layout)
            assert f"0x{information.node_id}" == vector["json"]["details"]["peer_id"]
            assert information.cores == 341
            assert information.address == ("10.0.0.7", 30333)
            assert information.faults == ()
            seen.append((version, layout))
    assert seen == [(0, "gp-0.7"), (0, "gp-0.8"), (1, "gp-0.7"), (1, "gp-0.8")]


@pytest.mark.parametrize("layout", TABLE.parameters)
@settings(max_examples=50, deadline=None)
@given(data=st.data(), version=st.integers(0, 1), patch=st.integers(0, 99))
def test_round_trip(
    layout: str, random_fields: RandomFields, data: st.DataObject, version: int, patch: int
) -> None:
    sent = {
        "params": data.draw(random_fields(TABLE.parameters[layout], 0)),
        **data.draw(random_fields(TABLE.node_information, 0)),
        "gp_version": f"{layout.removeprefix('gp-')}.{patch}",
    }
    raw = encode_node_information(sent, layout=layout, version=version)
    information = decode_node_information(raw)
    assert information.as_json() == {"version": version, "layout": layout, **sent}
    assert information.cores == sent["params"]["core_count"]
    assert information.faults == ()


@pytest.mark.parametrize("cores", [0, 1, 341, 65535])
@pytest.mark.parametrize("layout", PARAMETERS)
def test_any_core_count(layout: str, cores: int) -> None:
    raw = content(PARAMETERS[layout], strings(b"a", b"b", b"", b""), cores=cores)
    assert decode_node_information(raw).cores == cores


@pytest.mark.parametrize(
    ("gp_version", "layout"),
    [
        (b"0.7.2", "gp-0.7"),
        (b"0.7", "gp-0.7"),
        (b"0.8.0", "gp-0.8"),
        (b"0.8", "gp-0.8"),
        (b"0.80", "gp-0.7"),
        (b"1.0", "gp-0.7"),
        (b"", "gp-0.7"),
    ],
)
def test_gp_version_decides_where_both_layouts_fit(gp_version: bytes, layout: str) -> None:
    shared = strings(b"1.2.3", gp_version, b"")
    name_of_07 = strings(b"short")
    name_of_08 = strings(b"elevenbytes" + name_of_07)
    information = decode_node_information(content(122, name_of_08 + shared))
    assert information.layout == layout
    names = {"gp-0.7": "short", "gp-0.8": "elevenbytes\5short"}
    assert information.implementation_name == names[layout]


@pytest.mark.parametrize("size", [26, 100, 121, 123, 133, 135, 4096])
def test_parameters_of_an_unknown_layout_are_kept_as_they_are(size: int) -> None:
    raw = content(size, strings(b"node", b"1.2", b"0.9.1", b"new"), cores=12)
    information = decode_node_information(raw)
    assert information.layout is None
    assert information.cores == 12
    assert information.params == {"core_count": 12, "raw": f"0x{raw[1 : 1 + size].hex()}"}
    assert information.node_id == "ff" * 32
    assert information.implementation_name == "node"
    assert information.additional_info == "new"
    assert encode_node_information(information.as_json(), layout=None) == raw


def test_the_shortest_length_that_fits_is_taken() -> None:
    short_name = strings(b"short")
    long_name = strings(b"elevenbytes" + short_name)
    raw = content(200, long_name + strings(b"", b"", b""))
    information = decode_node_information(raw)
    assert len(information.params["raw"]) == 2 + 2 * 200
    assert information.implementation_name == "elevenbytes\5short"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        bytes(100),
        content(26, strings(b"", b"", b"", b""))[1:],
        content(4097, strings(b"", b"", b"", b"")),
        content(134, strings(b"a", b"b", b"c")),
        content(134, strings(b"a", b"b", b"c") + b"\x05four"),
        b"\xff" * 5000,
        b"\xc8\x00\x00" * 50_000,
    ],
    ids=lambda raw: f"{len(raw)}-bytes",
)
def test_what_is_not_node_information(raw: bytes) -> None:
    with pytest.raises(NodeInformationError, match=f"fits the {len(raw)} bytes") as caught:
        decode_node_information(raw)
    assert "gp-0.7" in str(caught.value)
    assert "gp-0.8" in str(caught.value)


@pytest.mark.parametrize("version", [2, 255])
def test_a_higher_version_is_a_violation(version: int) -> None:
    raw = content(122, strings(b"a", b"b", b"0.8.0", b""), version=version)
    information = decode_node_information(raw)
    assert information.version == version
    assert information.faults == (Fault(VIOLATION, None, 0, VERSION_TOO_NEW, raw[:64]),)


def test_strings_that_break_rules_are_delivered_and_counted() -> None:
    raw = content(122, strings(b"n" * 33, b"\xff1", b"0.8.0", b""), version=2)
    information = decode_node_information(raw)
    assert information.implementation_name == "n" * 33
    assert information.implementation_version == "�1"
    name_at = 1 + 122 + STRINGS
    assert information.faults == tuple(
        Fault(VIOLATION, None, offset, reason, raw[:64])
        for offset, reason in (
            (0, VERSION_TOO_NEW),
            (name_at, STRING_TOO_LONG),
            (name_at + 34, INVALID_UTF8),
        )
    )


def test_the_address_is_text() -> None:
    raw = bytearray(content(122, strings(b"a", b"b", b"0.8.0", b"")))
    at = 1 + 122 + 64
    raw[at : at + 18] = bytes.fromhex("20010db8000000000000000000000001 2823")
    assert decode_node_information(bytes(raw)).address == ("2001:db8::1", 9000)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_node_information_is_read_or_refused(
    vectors: list[dict[str, Any]], data: st.DataObject
) -> None:
    originals = [bytes.fromhex(v["hex"]) for v in vectors if v["kind"] == "node_information"]
    raw = bytearray(data.draw(st.sampled_from(originals)))
    for at, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=8)
    ):
        raw[at] = value
    del raw[data.draw(st.integers(0, len(raw))) : data.draw(st.integers(0, len(raw)))]
    try:
        information = decode_node_information(bytes(raw))
    except NodeInformationError:
        return
    assert json.loads(json.dumps(information.as_json())) == information.as_json()
    assert len(information.node_id) == 64
