"""Events of one type, with fields that differ from event to event."""

from __future__ import annotations

from random import Random
from typing import Any

from telemetry_twisted.jip3.encoder import encode_event, frame
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

from .traffic import CORES, Block, block_of

REASONS = (
    "connection reset by peer",
    "timed out after 5000 ms",
    "stream closed: code 3",
    "no such segment root",
    "signature check failed",
)


def block_of_type(event_type: int, events: int, seed: int = 1) -> Block:
    """So many events of type ``event_type``, with values as nodes have them."""
    rng = Random(seed)
    fields = TABLE.events[event_type].fields
    return block_of(
        frame(
            encode_event(
                event_type,
                50_000_000_000_000 + rng.randrange(6_000_000),
                {name: _value(kind, rng) for name, kind in fields},
                cores=CORES,
            )
        )
        for _ in range(events)
    )


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
