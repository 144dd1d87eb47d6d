"""Filters as subscribers write them (protocol, "Filters")."""

from __future__ import annotations

import sys
from typing import Any

from telemetry_twisted.hub.filter import ALL, Filter
from telemetry_twisted.reading import genesis_in, node_id_in

from .frames import encode
from .refusal import BadRequest, is_int, shown

MOST_NODE_IDS = 1024
"""Most node IDs in a filter."""

MOST_EVENT_TYPES = 256
"""Most event types in a filter: as many as there can be."""

SUMMARY_BYTES = 1024
"""Longest filter that is shown as it was given."""

_FILTERS_ACCEPTED = (
    '{"type":"All"}, {"type":"Nodes","node_ids":["…"]} (["*"] for every node), '
    '{"type":"EventType","event_type":11}, {"type":"EventTypeRange","start":120,"end":131}, '
    'each with "event_types":[…] and "network":"0x…" if wanted'
)


def parse_filter(value: Any) -> Filter:
    """The filter that JSON ``value`` describes.

    :raises BadRequest: if it describes none.
    """
    if not isinstance(value, dict):
        raise BadRequest(f"filter is {shown(value)}; expected one of {_FILTERS_ACCEPTED}")
    kind = value.get("type")
    node_ids: frozenset[str] | None = None
    types: frozenset[int] | None = None
    if kind == "Nodes":
        node_ids = _node_ids(value.get("node_ids"))
    elif kind == "EventType":
        types = frozenset({_event_type("event_type", value.get("event_type"))})
    elif kind == "EventTypeRange":
        start = _event_type("start", value.get("start"))
        end = _event_type("end", value.get("end"))
        if start > end:
            raise BadRequest(f"start {start} is after end {end}; expected start ≤ end")
        types = frozenset(range(start, end + 1))
    elif kind == "Node":
        example = shown({"type": "Nodes", "node_ids": [value.get("node_id", "…")]})
        raise BadRequest(f"filter type Node is no longer accepted; use {example}")
    elif kind != "All":
        raise BadRequest(f"unknown filter type {shown(kind)}; expected one of {_FILTERS_ACCEPTED}")
    if value.get("event_types") is not None:
        narrowed = _event_types(value["event_types"])
        types = narrowed if types is None else types & narrowed
    found = Filter(node_ids, types, _network(value.get("network")))
    return found if found.narrows else ALL


def _network(value: Any) -> str | None:
    if value is None:
        return None
    genesis = genesis_in(value) if isinstance(value, str) else None
    if genesis is None:
        raise BadRequest(
            f"network is {shown(value)}; expected the genesis hash of one, 0x and 64 hex digits, "
            "or none for all"
        )
    return sys.intern(genesis)


def _node_ids(value: Any) -> frozenset[str] | None:
    if not isinstance(value, list) or not value:
        raise BadRequest(f'node_ids is {shown(value)}; expected a list of node IDs, or ["*"]')
    if "*" in value:
        return None
    if len(value) > MOST_NODE_IDS:
        raise BadRequest(
            f'node_ids has {len(value)} node IDs; expected {MOST_NODE_IDS} at most, or ["*"]'
        )
    found = set()
    for item in value:
        node_id = node_id_in(item) if isinstance(item, str) else None
        if node_id is None:
            raise BadRequest(
                f'node ID {shown(item)}; expected 64 hex digits (an Ed25519 public key), or "*"'
            )
        # The same few IDs come in many filters; each is kept once.
        found.add(sys.intern(node_id))
    return frozenset(found)


def _event_types(value: Any) -> frozenset[int]:
    if not isinstance(value, list) or not value:
        raise BadRequest(
            f"event_types is {shown(value)}; expected a list of event types, such as [11]"
        )
    if len(value) > MOST_EVENT_TYPES:
        raise BadRequest(
            f"event_types has {len(value)} event types; expected {MOST_EVENT_TYPES} at most"
        )
    return frozenset(_event_type("event_types", item) for item in value)


def _event_type(name: str, value: Any) -> int:
    if not is_int(value) or not 0 <= value <= 255:
        raise BadRequest(f"{name} is {shown(value)}; expected an event type, 0 to 255")
    return int(value)


def summary(given: dict[str, Any]) -> bytes:
    """The filter ``given``, which :func:`parse_filter` has read, as JSON of 1 KiB at most.

    One that is longer is shown by its type, its bounds, and the lengths of its lists
    (``node_id_count``, ``event_type_count``), and its network.
    """
    whole = encode(given)
    if len(whole) <= SUMMARY_BYTES:
        return whole
    kind = given["type"]
    brief: dict[str, Any] = {"type": kind}
    for name in _NUMBERS.get(kind, ()):
        brief[name] = given[name]
    if kind == "Nodes":
        brief["node_id_count"] = len(given["node_ids"])
    if given.get("event_types") is not None:
        brief["event_type_count"] = len(given["event_types"])
    if given.get("network") is not None:
        brief["network"] = given["network"]
    return encode(brief)


_NUMBERS = {"EventType": ("event_type",), "EventTypeRange": ("start", "end")}
