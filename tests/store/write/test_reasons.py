"""Reasons read straight from messages are those that the reference decoder reads."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from telemetry_twisted.jip3.encoder import encode_event
from telemetry_twisted.jip3.frames import encode_frames
from telemetry_twisted.jip3.natural import encode_natural
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.jip3.values import DecodeError, decode_event
from telemetry_twisted.store.write.facts import Facts, Origin
from telemetry_twisted.store.write.failures import LONGEST_REASON, MOST_REASONS
from telemetry_twisted.store.write.lines import Lines
from telemetry_twisted.store.write.reasons import read_reason

VECTORS = Path(__file__).parents[2] / "jip3" / "vectors.jsonl"
WITH_REASON = {kind for kind, event in TABLE.events.items() if event.has_reason}


def test_every_vector_with_a_reason() -> None:
    seen = set()
    for line in VECTORS.read_text().rstrip("\n").split("\n"):
        vector = json.loads(line)
        if vector["kind"] != "event":
            continue
        content = bytes.fromhex(vector["hex"])
        cores, version = vector.get("cores", 0), vector.get("version", 0)
        if content[8] in WITH_REASON:
            expected = decode_event(content, cores, version).fields["reason"]
            assert read_reason(content, cores, version) == expected
            seen.add(content[8])
    assert seen == WITH_REASON


@pytest.mark.parametrize("length", [0, 127, 128])
def test_reasons_of_any_length(length: int) -> None:
    fields = {"connecting_id": 1, "reason": "x" * length}
    content = encode_event("ConnectInFailed", 1, fields, cores=2)
    assert read_reason(content, 2, 0) == "x" * length


def test_field_before_the_reason_differs_by_version() -> None:
    fields = {"opened_id": 1, "closer": "Local", "reason": "why"}
    content = encode_event("BlockAnnouncementStreamClosed", 1, fields, cores=2, version=1)
    for version in (1, 7):
        assert read_reason(content, 2, version) == "why"


def test_message_that_is_cut_short() -> None:
    content = encode_event("ConnectInFailed", 1, {"connecting_id": 1, "reason": ""}, cores=2)
    with pytest.raises(DecodeError):
        read_reason(content[:-1], 2, 0)


def test_what_is_kept_of_a_minute_of_failures_is_bounded() -> None:
    """However many reasons a node invents, and however long it makes them."""
    facts, origin = Facts(Counter(), Lines(Clock())), Origin("aa" * 32, 2, 0)
    without = encode_event("ConnectInFailed", 1, {"connecting_id": 1, "reason": ""}, cores=2)[:-1]
    for number in range(10 * MOST_REASONS):
        reason = f"{number} ".encode().ljust(100 if number % 2 else 10_000, b"x")
        content = without + encode_natural(len(reason)) + reason
        facts.take(origin, encode_frames([content]), number * 10_000)
    facts.fold()
    for width, buckets in facts.failures.by_width.items():
        counts = {reason: sum_.value for _, (_, reason), sum_ in buckets.take()}
        if width > 60:
            assert len(counts) == MOST_REASONS + 1
            assert sum(counts.values()) == 10 * MOST_REASONS
        assert max(map(len, counts)) == LONGEST_REASON + 1
