"""A network played without sockets: what its nodes report, in the order of time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from heapq import merge
from typing import Any, NamedTuple

from ..jip3.values import decode_event
from .blockchain import SECOND
from .network import Network
from .node import Node

_LENGTH = struct.Struct("<I")


class NodeEvent(NamedTuple):
    """Event ``event_id`` of node ``node`` (its index), with its fields in the form of the JSON."""

    time: int
    node: int
    event_id: int
    name: str
    fields: dict[str, Any]


def play(network: Network) -> Iterator[NodeEvent]:
    """What the nodes of ``network`` report, merged by time.

    It goes on for ever if the network does.
    """
    return merge(
        *(events_of(Node(network, index)) for index in range(network.nodes)),
        key=lambda event: event.time,
    )


def events_of(node: Node) -> Iterator[NodeEvent]:
    """What ``node`` reports, from its first event on."""
    network = node.network
    until = node.begins
    event_id = 0
    while not node.finished:
        until += SECOND
        for content in messages(node.advance(until)):
            event = decode_event(content, network.cores, network.version)
            yield NodeEvent(event.timestamp, node.index, event_id, event.name, event.fields)
            event_id += event.fields["num"] if event.name == "Dropped" else 1


def messages(data: bytes) -> Iterator[bytes]:
    """The contents of the messages in ``data``, which ends with a whole one."""
    offset = 0
    while offset < len(data):
        (length,) = _LENGTH.unpack_from(data, offset)
        offset += _LENGTH.size + length
        yield data[offset - length : offset]
