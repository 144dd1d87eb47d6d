"""What the Python codec generates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.encoder import encode_event
from telemetry_twisted.jip3.moment import ANY_SLOT, ANY_TIME
from telemetry_twisted.jip3.table import EventType, Fields
from telemetry_twisted.jip3.values import decode_event
from telemetry_twisted.jip3.writers import UNUSUAL, Writers
from tests.examples import examples

CORES = 9
ANY = (0, ANY_TIME, ANY_SLOT)
"""Bounds that any time and any slot are within."""

RandomFields = Callable[[Fields, int], st.SearchStrategy[dict[str, Any]]]
EventMessage = Callable[..., bytes]


@examples(5)
@given(data=st.data(), byte_arrays=st.booleans())
def test_nothing_that_obeys_the_rules_is_left_to_the_reference_decoder(
    event_type: EventType,
    version: int,
    random_fields: RandomFields,
    event_message: EventMessage,
    data: st.DataObject,
    byte_arrays: bool,
) -> None:
    fields = data.draw(random_fields(event_type.fields, CORES))
    raw = encode_event(event_type.name, 1, fields, cores=CORES, version=version)
    write = Writers(CORES, version, byte_arrays)[event_type.discriminator]
    text = write(b"before" + raw + b"after", 6, 6 + len(raw), 7, 8, "ab" * 32, "then", *ANY)
    shown = decode_event(raw, CORES, version, byte_arrays).as_json()
    message = event_message(7, 8, event_type.discriminator, shown)
    assert text.encode() == message.replace(b"2026-11-24T07:42:00.123456Z", b"then")


def test_an_event_ends_where_its_message_does(event_type: EventType, version: int) -> None:
    write = Writers(CORES, version, False)[event_type.discriminator]

    def is_written(end: int) -> bool:
        try:
            return bool(write(bytes(10_000), 0, end, 1, 1, "", "", *ANY))
        except UNUSUAL:
            return False

    (end,) = filter(is_written, range(1_000))
    zeros = bytes(8) + bytes([event_type.discriminator]) + bytes(end - 9)
    assert decode_event(zeros, CORES, version).violations == ()


def test_an_unknown_discriminator_has_no_writer() -> None:
    for discriminator in (1, 255, -1):
        with pytest.raises(UNUSUAL):
            Writers(CORES, 0, False)[discriminator]


def test_nodes_share_writers_that_do_not_depend_on_their_cores() -> None:
    few, many = Writers(2, 0, False), Writers(341, 0, False)
    assert few[11] is many[11]
    assert few[10] is not many[10]
    assert few[126] is not many[126]
    assert Writers(2, 1, False)[11] is few[11]
    assert Writers(2, 1, False)[61] is not few[61]
    assert Writers(2, 0, True)[11] is not few[11]
