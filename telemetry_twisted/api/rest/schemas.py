"""The shapes of the answers of the REST API, as JSON Schema (OpenAPI 3.1)."""

from __future__ import annotations

from typing import Any

from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.schema.tables import STATE_COLUMNS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
NODE_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
HASH: Schema = {"type": "string", "pattern": "^0x[0-9a-f]{64}$"}
GROUP: Schema = {"enum": [*TABLE.groups, "unknown"]}


def optional(schema: Schema) -> Schema:
    """Null, or ``schema``."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def record(fields: dict[str, Schema]) -> Schema:
    """An object with just these ``fields``, all of them there."""
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def several(schema: Schema) -> Schema:
    """An array of ``schema``."""
    return {"type": "array", "items": schema}


ERROR = record({"error": record({"status": INTEGER, "message": TEXT})})

RANGE = {"from": TIME, "to": TIME}
STEPS = {**RANGE, "resolution_seconds": INTEGER}
NEXT = {"next": optional(INTEGER)}
SERIES = {"total": INTEGER, "counts": several(INTEGER)}
DELAYS = {name: optional(NUMBER) for name in ("p50_ms", "p95_ms", "p99_ms", "all_ms")}

_BLOCK = record({"slot": INTEGER, "hash": HASH, "at": TIME})
_NODE = {
    "node_id": NODE_ID,
    "connected": BOOLEAN,
    "address": optional(TEXT),
    "implementation": optional(TEXT),
    "implementation_version": optional(TEXT),
    "gp_version": optional(TEXT),
    "protocol_version": optional(INTEGER),
    "cores": optional(INTEGER),
    "flags": optional(INTEGER),
    "first_seen": TIME,
    "last_seen": TIME,
    "best": optional(_BLOCK),
    "finalized": optional(_BLOCK),
    "synced": optional(BOOLEAN),
}
_CONNECTION = record(
    {"started": TIME, "ended": optional(TIME), "address": TEXT, "reason": optional(TEXT)}
)
_FIGURES = STATE_COLUMNS[3:]  # those of Status
_STATE = record(
    {
        "time": TIME,
        "best": optional(INTEGER),
        "finalized": optional(INTEGER),
        "synced": optional(BOOLEAN),
        **{name: optional(INTEGER) for name in _FIGURES},
    }
)
_STATUS = record(
    {
        **{name: INTEGER for name in _FIGURES if name != "num_guarantees"},
        "num_guarantees": several(INTEGER),
        "at": TIME,
    }
)
_HEAD = record({"slot": INTEGER, "hash": HASH, "nodes": INTEGER})
_SPREAD = record(
    {
        "first": optional(TIME),
        "nodes": INTEGER,
        **DELAYS,
        "off_clock": INTEGER,
        "blocks": several(record({"hash": HASH, "nodes": INTEGER})),
        "histogram": several(record({"up_to_ms": NUMBER, "nodes": INTEGER})),
    }
)

HEALTH = record(
    {
        "status": {"enum": ["ok", "degraded"]},
        "service": TEXT,
        "version": TEXT,
        "problems": several(TEXT),
        "metrics": OBJECT,
    }
)
STATS = record({"server": OBJECT, "history": OBJECT})
METRICS = OBJECT
NETWORK = record(
    {
        "nodes": record({"known": INTEGER, "connected": INTEGER, "synced": INTEGER}),
        "best": optional(_HEAD),
        "finalized": optional(_HEAD),
        "implementations": several(
            record(
                {
                    "implementation": optional(TEXT),
                    "implementation_version": optional(TEXT),
                    "gp_version": optional(TEXT),
                    "nodes": INTEGER,
                }
            )
        ),
    }
)
NODES = record({"nodes": several(record(_NODE)), **NEXT})
NODE = record(
    {
        **_NODE,
        "status": optional(_STATUS),
        "info": optional(OBJECT),
        "connections": several(_CONNECTION),
    }
)
TIMELINE = record(
    {
        "node_id": NODE_ID,
        **STEPS,
        "groups": several(record({"group": GROUP, **SERIES})),
        "states": several(_STATE),
        "connections": several(_CONNECTION),
    }
)
EVENT = record(
    {
        "id": INTEGER,
        "node_id": NODE_ID,
        "event_id": INTEGER,
        "event_type": INTEGER,
        "timestamp": TIME,
        "event": OBJECT,
    }
)
EVENTS = record(
    {
        **RANGE,
        "count": INTEGER,
        "sampled": record({"seen": INTEGER, "kept": INTEGER}),
        "events": several(EVENT),
        "next": optional(TEXT),
    }
)
EVENT_TYPES = record(
    {
        **RANGE,
        "event_types": several(
            record(
                {
                    "event_type": INTEGER,
                    "name": TEXT,
                    "group": GROUP,
                    "has_reason": BOOLEAN,
                    "count": INTEGER,
                }
            )
        ),
    }
)
SLOT = record({"slot": INTEGER, "best": optional(_SPREAD), "finalized": optional(_SPREAD)})
PROPAGATION = record(
    {
        **RANGE,
        "resolution_seconds": optional(INTEGER),
        "total": record({"slots": INTEGER, "nodes": INTEGER, **DELAYS}),
        "points": several(
            {
                "type": "object",
                "properties": {
                    "time": TIME,
                    "slot": INTEGER,
                    "slots": INTEGER,
                    "nodes": INTEGER,
                    **DELAYS,
                },
                "required": ["time", "slots", "nodes", *DELAYS],
                "additionalProperties": False,
            }
        ),
    }
)
FAILURES = record(
    {
        **RANGE,
        "failures": several(
            record(
                {"event_type": INTEGER, "name": optional(TEXT), "reason": TEXT, "count": INTEGER}
            )
        ),
        **NEXT,
    }
)
PROTOCOL_ERRORS = record(
    {
        **RANGE,
        "protocol_errors": several(
            record(
                {
                    "node_id": optional(NODE_ID),
                    "kind": {"enum": ["decode_error", "violation"]},
                    "event_type": optional(INTEGER),
                    "name": optional(TEXT),
                    "reason": TEXT,
                    "count": INTEGER,
                    "last_seen": TIME,
                    "offset": optional(INTEGER),
                    "excerpt": optional({"type": "string", "pattern": "^([0-9a-f]{2})*$"}),
                }
            )
        ),
        **NEXT,
    }
)
TIMESERIES = record(
    {
        **STEPS,
        "series": several(
            {
                "type": "object",
                "properties": {
                    "event_type": INTEGER,
                    "name": optional(TEXT),
                    "group": GROUP,
                    "node_id": NODE_ID,
                    **SERIES,
                },
                "required": list(SERIES),
                "additionalProperties": False,
            }
        ),
    }
)
