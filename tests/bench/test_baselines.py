"""The baselines do the work that they are measured for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bench.baselines.decode import DecodeError, decoders
from bench.baselines.node import NodeReader
from telemetry_twisted.jip3.encoder import frame

VECTORS = Path(__file__).parent.parent / "jip3" / "vectors.jsonl"
CORES = 341


def vectors(kind: str) -> Iterator[dict[str, Any]]:
    with VECTORS.open(encoding="utf-8") as lines:
        for line in lines:
            vector = json.loads(line)
            if vector["kind"] == kind and vector.get("version", 0) == 0:
                yield vector


def test_every_event_is_decoded_as_the_vectors_say() -> None:
    decode = decoders()
    seen = set()
    for vector in vectors("event"):
        content = bytes.fromhex(vector["hex"])
        number = vector["discriminator"]
        assert decode[number](content, 0, vector["cores"]) == (vector["json"], len(content))
        seen.add(number)
    assert len(seen) == 115


@pytest.fixture
def information() -> bytes:
    """The first message of a node."""
    return frame(bytes.fromhex(next(vectors("node_information"))["hex"]))


@pytest.fixture
def events() -> list[dict[str, Any]]:
    """An event of each type, of a node with as many cores as the one above, but Dropped."""
    chosen = {
        vector["discriminator"]: vector
        for vector in vectors("event")
        if vector["cores"] == CORES and vector["discriminator"] != 0
    }
    return list(chosen.values())


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_messages_come_out_whole_however_the_bytes_come_in(
    information: bytes, events: list[dict[str, Any]], size: int
) -> None:
    data = information + b"".join(frame(bytes.fromhex(event["hex"])) for event in events)
    reader = NodeReader(count(1))
    messages = []
    for begin in range(0, len(data), size):
        messages += reader.feed(data[begin : begin + size])
    assert [message["data"]["event"] for message in messages] == [event["json"] for event in events]
    assert [message["data"]["id"] for message in messages] == list(range(1, len(events) + 1))
    assert [message["data"]["event_id"] for message in messages] == list(range(len(events)))
    assert {message["data"]["node_id"] for message in messages} == {reader.node_id}
    assert len(reader.node_id) == 64
    assert reader.skipped == 0


def test_what_cannot_be_decoded_is_skipped_and_uses_up_its_event_id(
    information: bytes, events: list[dict[str, Any]]
) -> None:
    good = frame(bytes.fromhex(events[0]["hex"]))
    unknown = frame(bytes(8) + b"\xff")
    short = frame(bytes.fromhex(events[0]["hex"])[:-1])
    reader = NodeReader(count(1))
    messages = reader.feed(information + unknown + short + good)
    assert [message["data"]["event_id"] for message in messages] == [2]
    assert reader.skipped == 2


def test_a_dropped_event_moves_the_ids_by_its_number(
    information: bytes, events: list[dict[str, Any]]
) -> None:
    dropped = frame(bytes(8) + b"\x00" + bytes(8) + (5).to_bytes(8, "little"))
    good = frame(bytes.fromhex(events[0]["hex"]))
    messages = NodeReader(count(1)).feed(information + dropped + good)
    assert [message["data"]["event_id"] for message in messages] == [0, 5]


def test_a_node_is_refused_for_information_that_fits_no_layout() -> None:
    with pytest.raises(DecodeError, match="layout"):
        NodeReader(count(1)).feed(frame(bytes(300)))
