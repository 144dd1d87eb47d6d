"""Chains: ``chains.json`` fits the table of all messages, and what is derived from it is right."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from telemetry_twisted.jip3 import chains
from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.table import HEAD_SIZE, TABLE, Uint

ROWS: dict[str, Any] = json.loads((resources.files(chains.__package__) / "chains.json").read_text())


@pytest.mark.parametrize("row", ["references", "roots"])
def test_events_are_called_as_in_the_table(row: str) -> None:
    for kind, content in ROWS[row].items():
        assert content["name"] == TABLE.events[int(kind)].name


def test_every_id_of_an_event_in_the_table_is_a_reference_or_known_to_be_opaque() -> None:
    """Those that JIP-3 itself leaves open are in the file as well."""
    ids = {
        (kind, name)
        for kind, event in TABLE.events.items()
        for name, wire in event.fields
        if name.endswith("_id") and wire == Uint(8)
    }
    told = {(int(kind), row["field"]) for kind, row in ROWS["references"].items()}
    assert ids == told | {(int(kind), field) for kind, field in ROWS["opaque"].items()}


def test_a_reference_is_a_u64_behind_the_head() -> None:
    for kind, reference in CHAINS.references.items():
        assert reference.offset == HEAD_SIZE
        assert TABLE.events[kind].fields[0][1] == Uint(8)


def test_only_a_link_stands_between_an_event_and_its_root() -> None:
    assert {TABLE.events[kind].name for kind in CHAINS.links} == {"GuaranteeBuilt"}


def test_what_ends_a_chain_is_a_member_of_it() -> None:
    for kind, root in CHAINS.roots.items():
        assert CHAINS.members[kind] >= {kind} | root.success | root.failure
        assert not root.success & root.failure


def test_every_latency_can_be_observed() -> None:
    observed = {number for numbers in CHAINS.latencies_of.values() for number in numbers}
    assert observed == set(range(len(CHAINS.latencies)))


def test_a_chain_keeps_the_times_at_which_its_latencies_begin() -> None:
    assert CHAINS.stages[90] == (94, 95, 101, 102, 105)
    assert CHAINS.stages[91] == (91, 94, 95, 101)
    assert CHAINS.stages[43] == (43, 45)
    assert CHAINS.latencies_of[43, 47] == (5, 6)
    assert CHAINS.latencies[6].name == "import"


def test_a_root_that_refers_is_no_member_of_the_chain_around_it() -> None:
    assert 106 not in CHAINS.members[90]
    assert CHAINS.members[106] == {106, 107, 108}
    assert CHAINS.references[106].targets == {105}
