"""Frames and messages, made without parsing an event."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from telemetry_twisted.api.websocket.frames import (
    event_renderer,
    frame_header,
    message,
    recent_event,
    sample,
)

EVENT = (
    b'{"type":"event","data":{"id":12,"node_id":"' + b"ab" * 32 + b'","event_id":7,"event_type":41,'
    b'"event":{"AuthoringFailed":{"timestamp":1,"reason":"}},\\"event\\":{\\"timestamp\\":\\"x"}}},'
    b'"timestamp":"2026-11-24T07:42:00.123456Z"}'
)
NOW = 1_795_506_120.5


def payload_of(data: bytes) -> bytes:
    """The payload of a single text frame, as another implementation reads it."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parser = Frame.parse(reader.read_exact, mask=False)
    try:
        while True:
            next(parser)
    except StopIteration as done:
        frame: Frame = done.value
    assert frame.fin
    assert frame.opcode == 1
    assert next(reader.at_eof(), True)
    return bytes(frame.data)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20])
def test_a_header_announces_its_payload(length: int) -> None:
    payload = b"x" * length
    assert payload_of(frame_header(length) + payload) == payload


def test_a_lone_event_is_sent_as_it_is() -> None:
    assert payload_of(b"".join(event_renderer(lambda: NOW)([EVENT], 1))) == EVENT


@pytest.mark.parametrize("parts", [[EVENT + b"," + EVENT], [EVENT, EVENT]])
def test_more_are_a_batch(parts: list[bytes]) -> None:
    batch = json.loads(payload_of(b"".join(event_renderer(lambda: NOW)(parts, 2))))
    assert batch == {
        "type": "batch",
        "data": [json.loads(EVENT)] * 2,
        "timestamp": "2026-11-24T07:42:00.500000Z",
    }


def test_a_message_has_type_data_and_timestamp() -> None:
    assert message("pong", {"é/": None}, NOW) == (
        '{"type":"pong","data":{"é/":null},"timestamp":"2026-11-24T07:42:00.500000Z"}'.encode()
    )


@pytest.mark.parametrize(
    ("cut", "keys"),
    [
        (recent_event, ["id", "node_id", "event_id", "event_type", "timestamp", "event"]),
        (sample, ["id", "node_id", "event_type", "timestamp"]),
    ],
)
def test_other_forms_of_an_event_are_cut_from_it(
    cut: Callable[[bytes], bytes], keys: list[str]
) -> None:
    event = json.loads(EVENT)
    whole = {**event["data"], "timestamp": event["timestamp"]}
    shown = json.loads(cut(EVENT))
    assert list(shown) == keys
    assert shown == {key: whole[key] for key in keys}
