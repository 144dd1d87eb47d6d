"""What the nodes of a benchmark send: node information, and blocks of encoded events."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from itertools import accumulate
from random import Random
from typing import Any

from attrs import frozen

from telemetry_twisted.jip3.encoder import encode_event, encode_node_information, frame
from telemetry_twisted.jip3.table import (
    TABLE,
    Bool,
    CoreBitfield,
    CoreBytes,
    Enum,
    Hash32,
    ImportSpec,
    Ipv6,
    Opt,
    Pair,
    Seq,
    Str,
    Struct,
    Type,
    Uint,
)

CORES = 341
BLOCK_EVENTS = 8192

REASONS = (
    "connection reset by peer",
    "timed out after 5000 ms",
    "stream closed: code 3",
    "no such segment root",
    "signature check failed",
)

PER_SLOT = {
    10: 3,
    11: 2,
    12: 1,
    20: 1,
    23: 2,
    26: 2,
    27: 2,
    40: 0.1,
    42: 0.1,
    43: 1,
    45: 1,
    47: 1,
    60: 2,
    61: 2,
    62: 20,
    63: 4,
    66: 4,
    68: 4,
    84: 30,
    94: 1,
    95: 1,
    101: 1,
    102: 1,
    105: 1,
    106: 60,
    107: 1,
    108: 60,
    110: 60,
    112: 60,
    113: 5,
    120: 341,
    121: 341,
    122: 3,
    123: 341,
    124: 341,
    125: 680,
    126: 1,
    127: 5,
    128: 1018,
    129: 1,
    130: 5,
    131: 1018,
    140: 10,
    143: 10,
    145: 10,
    162: 10,
    165: 10,
    167: 10,
    191: 10,
    193: 5,
    196: 5,
    198: 5,
}
"""How many events of each type a validator sends in a slot of six seconds: one assurance from
and to each other validator, one shard request for each core as assurer and as guarantor, and little
of everything else."""


@frozen
class Block:
    """Encoded events: ``data`` is the frames joined, ``offsets`` where each begins and the end."""

    data: bytes
    offsets: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of events."""
        return len(self.offsets) - 1


def block_of(frames: Iterable[bytes]) -> Block:
    """The frames joined."""
    frames = tuple(frames)
    return Block(b"".join(frames), tuple(accumulate(map(len, frames), initial=0)))


def realistic_block(events: int = BLOCK_EVENTS, seed: int = 1) -> Block:
    """Events of all groups, as often as validators send them."""
    rng = Random(seed)
    types = rng.choices(list(PER_SLOT), list(PER_SLOT.values()), k=events)
    return block_of(event_frame(event_type, rng) for event_type in types)


def block_of_type(event_type: int, events: int, seed: int = 1) -> Block:
    """Events of one type with fields that differ."""
    rng = Random(seed)
    return block_of(event_frame(event_type, rng) for _ in range(events))


def event_frame(event_type: int, rng: Random) -> bytes:
    """An event with likely values, with its length prefix."""
    event = TABLE.events[event_type]
    fields = {name: _value(kind, rng) for name, kind in event.fields}
    timestamp = 50_000_000_000_000 + rng.randrange(6_000_000)
    return frame(encode_event(event_type, timestamp, fields, cores=CORES))


def node_id(index: int) -> bytes:
    """The 32 bytes that name node ``index``."""
    return sha256(b"node %d" % index).digest()


def node_information(index: int) -> bytes:
    """The first message of node ``index``, with its length prefix."""
    parameters = {name: 1 for name, _ in TABLE.parameters["gp-0.7"]} | {"core_count": CORES}
    content = encode_node_information(
        {
            "params": parameters,
            "genesis": bytes(32),
            "details": {
                "peer_id": node_id(index),
                "peer_address": {"ipv6": "127.0.0.1", "port": 40_000},
            },
            "flags": 0,
            "implementation_name": "bench",
            "implementation_version": "1.0",
            "gp_version": "0.7.1",
            "additional_info": "",
        },
        layout="gp-0.7",
    )
    return frame(content)


def _value(kind: Type, rng: Random) -> Any:
    match kind:
        case Uint(size):
            return rng.randrange(min(1 << (8 * size), 10_000_000))
        case Hash32():
            return rng.randbytes(32)
        case Bool():
            return rng.random() < 0.5
        case Str():
            return rng.choice(REASONS)
        case Opt(item):
            return _value(item, rng) if rng.random() < 0.5 else None
        case Seq(item):
            return [_value(item, rng) for _ in range(rng.randint(1, 3))]
        case Pair(first, second):
            return [_value(first, rng), _value(second, rng)]
        case Enum(_, names):
            return rng.choice(names)
        case Ipv6():
            return f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        case CoreBytes():
            return bytes(rng.choices(range(4), k=CORES))
        case CoreBitfield():
            return rng.randbytes((CORES + 7) // 8)
        case ImportSpec():
            root = rng.choice(["SegmentsRoot", "WorkPackageHash"])
            return {"root_identifier": {root: rng.randbytes(32)}, "export_index": rng.randrange(64)}
        case Struct(_, fields):
            return {name: _value(item, rng) for name, item in fields}
