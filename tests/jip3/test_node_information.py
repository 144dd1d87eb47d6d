from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from telemetry_twisted.jip3.codec import VIOLATION, Fault
from telemetry_twisted.jip3.cores import believed
from telemetry_twisted.jip3.encoder import encode_node_information
from telemetry_twisted.jip3.natural import decode_natural, encode_natural
from telemetry_twisted.jip3.node_information import (
    LENGTH_PREFIXED,
    NO_KNOWN_LAYOUT,
    VERSION_TOO_NEW,
    NodeInformation,
    NodeInformationError,
    decode_node_information,
)
from telemetry_twisted.jip3.table import TABLE, Fields
from telemetry_twisted.jip3.values import INVALID_UTF8, STRING_TOO_LONG
from tests.examples import examples

PARAMETERS = {"gp-0.7": 134, "gp-0.8": 122}
STRINGS = 32 + 32 + 16 + 2 + 4
"""Where the strings begin, counted from the end of the parameters."""

RandomFields = Callable[[Fields, int], st.SearchStrategy[dict[str, Any]]]


def content(size: int, strings: bytes, *, cores: int = 341, version: int = 0) -> bytes:
    """Node information with ``size`` bytes of parameters, in which no string can begin."""
    params = bytearray(b"\xff" * size)
    if size >= 26:
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


def _printed(value: Any) -> Any:
    """A text without control characters, which would let the message mean something else."""
    return re.sub(r"[\x00-\x1f\x7f]", "", value) if isinstance(value, str) else value


@pytest.mark.parametrize("layout", TABLE.parameters)
@examples(50)
@given(data=st.data(), version=st.integers(0, 1), patch=st.integers(0, 99))
def test_round_trip(
    layout: str, random_fields: RandomFields, data: st.DataObject, version: int, patch: int
) -> None:
    told = data.draw(random_fields(TABLE.node_information, 0))
    sent = {
        "params": data.draw(random_fields(TABLE.parameters[layout], 0)),
        **{name: _printed(value) for name, value in told.items()},
        "gp_version": f"{layout.removeprefix('gp-')}.{patch}",
    }
    assume(sent["details"]["peer_id"] != f"0x{64 * '0'}")
    raw = encode_node_information(sent, layout=layout, version=version)
    information = decode_node_information(raw)
    assert information.as_json() == {"version": version, "layout": layout, **sent}
    assert information.cores == believed(sent["params"]["core_count"])
    assert information.faults == ()


@pytest.mark.parametrize(
    ("told", "cores"), [(0, None), (1, 1), (341, 341), (4096, 4096), (4097, None), (65535, None)]
)
@pytest.mark.parametrize("size", [122, 134, 150])
def test_a_core_count_is_believed_if_it_may_be(size: int, told: int, cores: int | None) -> None:
    raw = content(size, strings(b"node", b"1.2", b"0.9.1", b""), cores=told)
    information = decode_node_information(raw)
    assert information.cores == cores
    assert information.params["core_count"] == (cores if size == 150 else told)


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


@pytest.mark.parametrize("size", [0, 1, 2, 25, 26, 100, 121, 123, 133, 135, 136, 4096])
@pytest.mark.parametrize("version", [0, 1])
def test_parameters_of_an_unknown_layout_are_kept_as_they_are(size: int, version: int) -> None:
    raw = content(size, strings(b"node", b"1.2", b"0.9.1", b"new"), cores=12, version=version)
    information = decode_node_information(raw)
    cores = 12 if size >= 26 else None
    assert information.layout is None
    assert information.cores == cores
    assert information.params == {"core_count": cores, "raw": f"0x{raw[1 : 1 + size].hex()}"}
    assert information.node_id == "ff" * 32
    assert information.implementation_name == "node"
    assert information.additional_info == "new"
    assert encode_node_information(information.as_json(), layout=None, version=version) == raw
    reason = f"parameters of {size} bytes are of no known layout"
    assert information.faults == (Fault(VIOLATION, None, 1, reason, raw[:64]),)


@pytest.mark.parametrize("layout", PARAMETERS)
@pytest.mark.parametrize("longer", [False, True])
@pytest.mark.parametrize("version", [0, 1])
def test_parameters_preceded_by_their_length(layout: str, longer: bool, version: int) -> None:
    size = PARAMETERS[layout]
    plain = content(
        size, strings(b"node", b"1.2", layout.encode()[3:] + b".1", b""), version=version
    )
    prefix = bytes([0xC0, size, 0]) if longer else encode_natural(size)
    raw = plain[:1] + prefix + plain[1:]
    information = decode_node_information(raw)
    right = decode_node_information(plain)
    assert right.faults == ()
    fault = Fault(VIOLATION, None, 1, "parameters are length-prefixed", raw[:64])
    assert information == evolve(right, faults=(fault,))
    assert information.cores == 341


def test_what_encoders_send_before_the_parameters() -> None:
    assert encode_natural(134) == b"\x80\x86"
    assert encode_natural(122) == b"\x7a"


def test_another_number_before_the_parameters_is_part_of_them() -> None:
    plain = content(134, strings(b"node", b"1.2", b"0.7.1", b""))
    information = decode_node_information(plain[:1] + b"\x80\x85" + plain[1:])
    assert information.layout is None
    assert information.faults[0].reason == NO_KNOWN_LAYOUT.format(136)


def test_text_without_control_characters_decides_between_lengths() -> None:
    """A name lies within the other, with its length, a control character, in front of it."""
    name = strings(b"elevenbytes" + strings(b"short"))
    information = decode_node_information(content(200, name + strings(b"1", b"0.9.1", b"")))
    assert len(information.params["raw"]) == 2 + 2 * 212
    assert information.implementation_name == "short"


def test_a_length_that_is_not_certain_is_refused() -> None:
    name = strings(b"elevenbytes" + strings(b"sh\trt"))
    with pytest.raises(NodeInformationError, match="may take 200 or 212 bytes"):
        decode_node_information(content(200, name + strings(b"", b"", b"")))


@pytest.mark.parametrize("size", [0, 1, 26, 122, 134, 136, 200])
@pytest.mark.parametrize("prefix", [b"", b"\x80\x86", b"\x7a"])
def test_a_node_id_of_zeros_is_refused(size: int, prefix: bytes) -> None:
    raw = content(size, strings(b"node", b"1.2", b"0.7.1", b""))
    at = 1 + size + 32
    raw = raw[:1] + prefix + raw[1:at] + bytes(32) + raw[at + 32 :]
    with pytest.raises(NodeInformationError, match="all-zero node ID"):
        decode_node_information(raw)


def fits(raw: bytes, at: int) -> bool:
    """Whether parameters that end at ``at`` leave what ends with the message."""
    at += STRINGS
    for _ in range(4):
        try:
            length, at = decode_natural(raw, at, len(raw))
        except ValueError:
            return False
        at += length
    return at == len(raw)


plain_text = st.text(st.characters(min_codepoint=32, max_codepoint=126))
told = st.fixed_dictionaries(
    {
        "genesis": st.binary(min_size=32, max_size=32),
        "details": st.fixed_dictionaries(
            {
                "peer_id": st.binary(min_size=32, max_size=32).filter(any),
                "peer_address": st.fixed_dictionaries(
                    {"ipv6": st.binary(min_size=16, max_size=16), "port": st.integers(0, 65535)}
                ),
            }
        ),
        "flags": st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1)),
        "implementation_name": plain_text.map(lambda text: text[:32]),
        "implementation_version": plain_text.map(lambda text: text[:32]),
        "gp_version": st.from_regex(r"[0-9]{1,3}\.[0-9]{1,3}(\.[0-9]{1,3})?", fullmatch=True),
        "additional_info": st.text(
            st.characters(min_codepoint=32, max_codepoint=126), max_size=512
        ),
    }
)


@examples(500)
@given(
    sizes=st.one_of(
        st.sampled_from([0, 1, 2, 24, 25, 26, 27, 121, 122, 123, 133, 134, 135, 136, 4096]),
        st.integers(0, 4096),
    ),
    prefix=st.sampled_from([b"", b"", b"\x80\x86", b"\x7a", b"\x86\0\0\0"]),
    seed=st.integers(0, 2**32),
    zeros=st.booleans(),
    version=st.integers(0, 1),
    told=told,
)
def test_what_is_recognised_is_right(
    sizes: int, prefix: bytes, seed: int, zeros: bool, version: int, told: dict[str, Any]
) -> None:
    """Whatever the parameters: the rest is as it was sent, or the message is refused."""
    parameters = prefix + (bytes(sizes) if zeros else Random(seed).randbytes(sizes))
    if len(parameters) > 26:
        parameters = parameters[:24] + b"\x55\x01" + parameters[26:]
    assume(len(parameters) <= 4096)
    sent = {"params": {"raw": f"0x{parameters.hex()}"}, **told}
    raw = encode_node_information(sent, layout=None, version=version)
    try:
        information = decode_node_information(raw)
    except NodeInformationError:
        return
    ends = {1 + size for size in PARAMETERS.values()} | {3 + 134, 2 + 122}
    assume(not any(fits(raw, end) for end in ends - {1 + len(parameters)}))
    assert information.node_id == told["details"]["peer_id"].hex()
    assert information.genesis == f"0x{told['genesis'].hex()}"
    assert information.flags == told["flags"]
    names = ("implementation_name", "implementation_version", "gp_version", "additional_info")
    assert [getattr(information, name) for name in names] == [told[name] for name in names]
    assert information.version == version
    reasons = [fault.reason for fault in information.faults]
    if len(parameters) in PARAMETERS.values():
        assert information.layout is not None
        assert reasons == []
    elif (prefix, sizes) in ((b"\x80\x86", 134), (b"\x7a", 122)):
        assert information.layout is not None
        assert reasons == [LENGTH_PREFIXED]
    else:
        assert information.params["raw"] == f"0x{parameters.hex()}"
        assert reasons == [NO_KNOWN_LAYOUT.format(len(parameters))]


@examples(200)
@given(st.integers(0, 6000), st.integers(0, 2**32), st.sampled_from([256, 128, 33, 3]))
def test_any_bytes_are_read_or_refused(size: int, seed: int, up_to: int) -> None:
    random = Random(seed)
    raw = bytes(random.randrange(up_to) for _ in range(size))
    try:
        information = decode_node_information(raw)
    except NodeInformationError:
        return
    assert isinstance(information, NodeInformation)
    assert information.node_id != 64 * "0"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        bytes(80),
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
    assert "cannot be decoded" in str(caught.value)
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


@examples(300)
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
