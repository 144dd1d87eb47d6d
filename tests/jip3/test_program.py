"""The table as the compiled codec's program."""

from __future__ import annotations

import pytest

from telemetry_twisted.jip3._program import OP, PADDING, Code, Op, Program, ops_of, program_of
from telemetry_twisted.jip3.table import TABLE

WITH_BODY = {Code.OPTION, Code.SEQUENCE}
WITH_CHOICES = {Code.BOOL, Code.ENUM, Code.ROOT_KIND}

FORMS = pytest.mark.parametrize("byte_arrays", [False, True])
EVENTS = [*TABLE.events.values(), *TABLE.version_1_events.values()]


def unpack(program: Program) -> list[tuple[bytes, Code, int, int, int]]:
    """Text, code, reads, argument and room of each op."""
    return [
        (program.texts[text : text + size], Code(code), reads, argument, room)
        for text, size, code, reads, argument, room in OP.iter_unpack(program.ops)
    ]


def check_body(name: str, ops: list[Op], at: int, end: int) -> None:
    """What lies from ``at`` to ``end`` of event ``name`` is ops run in turn, the last an END."""
    while at < end:
        op = ops[at]
        at += 1
        assert (op.code is Code.END) == (at == end), name
        if op.code in WITH_BODY:
            assert op.argument > 0, name
            check_body(name, ops, at, at + op.argument)
            at += op.argument
        elif op.code in WITH_CHOICES:
            choices = ops[at : at + op.argument]
            assert [choice.code for choice in choices] == [Code.END] * op.argument, name
            assert max(len(choice.text) for choice in choices) <= op.width
            at += op.argument
    assert at == end, name


def test_a_program() -> None:
    assert ops_of(TABLE.events[27], byte_arrays=False) == [
        Op(b',"peer":"0x', Code.HASH, 32, 64),
        Op(b'","terminator":', Code.OPTION, 4),
        Op(b'"', Code.ENUM, 2, len("Remote")),
        Op(b"Local", Code.END),
        Op(b"Remote", Code.END),
        Op(b'"', Code.END),
        Op(b',"reason":"', Code.STRING, 128),
        Op(b'"}}},"timestamp":"', Code.END),
    ]


def test_a_program_of_arrays() -> None:
    assert ops_of(TABLE.events[20], byte_arrays=True) == [
        Op(b',"from":{"ipv6":[', Code.ARRAY, 16, 64),
        Op(b'],"port":', Code.U16),
        Op(b'}}}},"timestamp":"', Code.END),
    ]


@FORMS
def test_ops_nest(byte_arrays: bool) -> None:
    for event in EVENTS:
        ops = ops_of(event, byte_arrays)
        check_body(event.name, ops, 0, len(ops))


@FORMS
@pytest.mark.parametrize("version", [0, 1])
def test_every_event_has_a_start(version: int, byte_arrays: bool) -> None:
    ops = unpack(program_of(version, byte_arrays))
    events = TABLE.events_of(version)
    for discriminator in range(256):
        text, code, reads, argument, _ = ops[discriminator]
        if event := events.get(discriminator):
            assert (code, reads) == (Code.EVENT, 9)
            assert text.decode() == (
                f',"event_type":{discriminator},"event":{{"{event.name}":{{"timestamp":'
            )
            expected = ops_of(event, byte_arrays)
            found = ops[argument : argument + len(expected)]
            assert [op[:2] for op in found] == [(op.text, op.code) for op in expected]
        else:
            assert (text, code) == (b"", Code.UNKNOWN)


@FORMS
def test_room_for_text_and_value(byte_arrays: bool) -> None:
    widest = {
        Code.U8: 3,
        Code.U16: 5,
        Code.U32: 10,
        Code.U64: 20,
        Code.OPTION: 4,
        Code.HASH: 64,
        Code.ADDRESS: 39,
    }
    for text, code, reads, argument, room in unpack(program_of(0, byte_arrays)):
        value = 4 * argument if code is Code.ARRAY else widest.get(code, 0)
        assert room >= len(text) + value
        assert code not in (Code.ARRAY, Code.HASH) or reads == argument


def test_texts_are_padded() -> None:
    assert program_of(0, False).texts.endswith(b'}}},"timestamp":"' + bytes(PADDING))


def test_versions_differ_in_event_61_alone() -> None:
    for discriminator in TABLE.events:
        old, new = (
            ops_of(TABLE.events_of(version)[discriminator], byte_arrays=False) for version in (0, 1)
        )
        assert (old == new) == (discriminator != 61)


def test_programs_are_shared() -> None:
    assert program_of(1, True) is program_of(1, True)
