from __future__ import annotations

from typing import Any

import pytest

from telemetry_twisted.jip3.encoder import (
    EncodeError,
    encode_event,
    encode_node_information,
    frame,
)

HASH = bytes(range(32))


@pytest.mark.parametrize("form", ["json", "json_arrays"])
def test_event_vectors(vectors: list[dict[str, Any]], form: str) -> None:
    encoded = 0
    for vector in vectors:
        if vector["kind"] == "event":
            ((name, fields),) = vector[form].items()
            content = encode_event(name, fields["timestamp"], fields, cores=vector["cores"])
            assert content.hex() == vector["hex"]
            encoded += 1
    assert encoded == 377


def test_node_information_vectors(vectors: list[dict[str, Any]]) -> None:
    for vector in vectors:
        if vector["kind"] == "node_information":
            content = encode_node_information(
                vector["json"], layout=vector["layout"], version=vector["version"]
            )
            assert content.hex() == vector["hex"]


def test_an_event_is_named_or_numbered() -> None:
    fields = {"slot": 2, "hash": HASH}
    content = encode_event(11, 1, fields, cores=2)
    assert content == encode_event("BestBlockChanged", 1, fields, cores=2)
    assert content == bytes.fromhex("0100000000000000 0b 02000000") + HASH


def test_version_1_names_the_opening_event() -> None:
    fields = {"opened_id": 5, "closer": "Remote", "reason": ""}
    content = encode_event(61, 0, fields, cores=2, version=1)
    assert content == bytes(8) + bytes.fromhex("3d 0500000000000000 01 00")


@pytest.mark.parametrize(
    ("address", "raw"),
    [
        ("10.0.0.7", bytes(10) + bytes.fromhex("ffff0a000007")),
        ("::ffff:10.0.0.7", bytes(10) + bytes.fromhex("ffff0a000007")),
        ("2001:db8::1", bytes.fromhex("20010db8000000000000000000000001")),
        (bytes(range(16)), bytes(range(16))),
        (list(range(16)), bytes(range(16))),
    ],
)
def test_addresses(address: Any, raw: bytes) -> None:
    content = encode_event(20, 0, {"from": {"ipv6": address, "port": 1}}, cores=2)
    assert content[9:25] == raw


def test_a_frame_has_its_length_in_front() -> None:
    assert frame(b"abc") == b"\3\0\0\0abc"


def test_parameters_of_an_unknown_layout(vectors: list[dict[str, Any]]) -> None:
    vector = next(vector for vector in vectors if vector["kind"] == "node_information")
    information = {**vector["json"], "params": {"core_count": 0, "raw": "0x" + "00" * 30}}
    content = encode_node_information(information, layout=None)
    assert content == bytes(31) + bytes.fromhex(vector["hex"])[1 + 134 :]


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("BestBlockChanged", {"slot": 2}),
        ("BestBlockChanged", {"slot": -1, "hash": HASH}),
        ("BestBlockChanged", {"slot": 1 << 32, "hash": HASH}),
        ("BestBlockChanged", {"slot": 2, "hash": HASH[1:]}),
        ("BestBlockChanged", {"slot": 2, "hash": HASH.hex()}),
        ("BestBlockChanged", {"slot": 2, "hash": "0xzz"}),
        ("BestBlockChanged", {"slot": 2, "hash": None}),
        ("SyncStatusChanged", {"synced": 2}),
        ("ConnectInFailed", {"connecting_id": 1, "reason": "ü" * 65}),
        ("ConnectInFailed", {"connecting_id": 1, "reason": 7}),
        ("Disconnected", {"peer": HASH, "terminator": "Both", "reason": ""}),
        ("ConnectingIn", {"from": {"ipv6": "10.0.0", "port": 1}}),
        ("ConnectingIn", {"from": {"ipv6": "10.0.0.7", "port": 1 << 16}}),
        ("DistributingAssurance", {"statement": {"anchor": HASH, "bitfield": "0x0000"}}),
    ],
)
def test_a_value_that_does_not_fit(event: str, fields: dict[str, Any]) -> None:
    with pytest.raises(EncodeError, match=event):
        encode_event(event, 0, fields, cores=2)


@pytest.mark.parametrize("event", ["NoSuchEvent", 1, 255])
def test_no_such_event(event: int | str) -> None:
    with pytest.raises(EncodeError, match="no event"):
        encode_event(event, 0, {}, cores=2)


@pytest.mark.parametrize("index", [-1, 0x8000])
def test_export_index_out_of_range(vectors: list[dict[str, Any]], index: int) -> None:
    received = next(
        vector["json"]["WorkPackageReceived"]
        for vector in vectors
        if "WorkPackageReceived" in vector.get("json", {})
        and vector["json"]["WorkPackageReceived"]["outline"]["work_items"]
    )
    work_item = {
        **received["outline"]["work_items"][0],
        "imports": [{"root_identifier": {"SegmentsRoot": HASH}, "export_index": index}],
    }
    fields = {**received, "outline": {**received["outline"], "work_items": [work_item]}}
    with pytest.raises(EncodeError, match="export index"):
        encode_event(94, 0, fields, cores=2)


def test_node_information_that_does_not_fit() -> None:
    with pytest.raises(EncodeError, match="node information"):
        encode_node_information({"params": {}}, layout="gp-0.8")
    with pytest.raises(EncodeError, match="node information"):
        encode_node_information({"params": {}}, layout="gp-0.1")
