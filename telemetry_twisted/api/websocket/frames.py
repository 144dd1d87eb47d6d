"""What goes to a subscriber: messages, and the WebSocket frames around them.

A frame is built once for all who want it and never masked or compressed, so it is made here, in
pieces, instead of by Autobahn from one string: the events in it are the ring's own bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

import ujson

from telemetry_twisted.hub.memo import Frame, Render
from telemetry_twisted.timestamps import Stamp, rfc3339

_TEXT = 0x81
_SHORT, _MEDIUM, _LONG = Struct("!BB"), Struct("!BBH"), Struct("!BBQ")
_BATCH = b'{"type":"batch","data":['
_BATCH_END = b'],"timestamp":"%b"}'


def frame_header(length: int) -> bytes:
    """The header of an unfragmented text frame with ``length`` bytes of payload (RFC 6455, 5.2)."""
    if length < 126:
        return _SHORT.pack(_TEXT, length)
    if length < 1 << 16:
        return _MEDIUM.pack(_TEXT, 126, length)
    return _LONG.pack(_TEXT, 127, length)


def event_renderer(now: Callable[[], float]) -> Render:
    """Makes ``event`` and ``batch`` frames; ``now`` tells Unix time."""

    stamp = Stamp(now)

    def render(parts: list[bytes], count: int) -> Frame:
        events = parts[0] if len(parts) == 1 else b",".join(parts)
        if count == 1:
            return frame_header(len(events)), events
        end = _BATCH_END % stamp()
        return frame_header(len(_BATCH) + len(events) + len(end)) + _BATCH, events, end

    return render


def encode(value: Any) -> bytes:
    """``value`` as JSON."""
    return ujson.dumps(value, escape_forward_slashes=False, ensure_ascii=False).encode()


def message(kind: str, data: Any, now: float) -> bytes:
    """A server message of type ``kind``, sent at Unix time ``now``."""
    return encode({"type": kind, "data": data, "timestamp": rfc3339(now)})


_DATA_BEGIN = len(b'{"type":"event","data":')
_TIME_BEGIN = len(b'"2000-01-01T00:00:00.000000Z"}')


def recent_event(event: bytes) -> bytes:
    """An ``event`` message in the form of ``recent_events``, cut from it without parsing."""
    head, _, rest = event[_DATA_BEGIN:].partition(b',"event":')
    return b"%b,%b,%b" % (head, _timestamp(event), b'"event":' + rest[: -len(_AFTER_EVENT)] + b"}")


def sample(event: bytes) -> bytes:
    """An ``event`` message in the form of ``recent_event_samples``, cut from it without parsing."""
    head, _, _ = event[_DATA_BEGIN:].partition(b',"event":')
    named, _, event_id_and_type = head.partition(b',"event_id":')
    _, _, event_type = event_id_and_type.partition(b",")
    return b"%b,%b,%b}" % (named, event_type, _timestamp(event))


_AFTER_EVENT = b'},"timestamp":' + b'"2000-01-01T00:00:00.000000Z"}'


def _timestamp(event: bytes) -> bytes:
    return b'"timestamp":' + event[-_TIME_BEGIN:-1]
