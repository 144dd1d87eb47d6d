"""What the tests of the wire share: vectors, random values of every type, and the reference."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from telemetry_twisted.jip3.codec import (
    DECODE_ERROR,
    VIOLATION,
    Codec,
    CodecUnavailable,
    Decoded,
    Dialect,
    Dropped,
    Fault,
    FaultTally,
    FrameTooLong,
    load_codec,
)
from telemetry_twisted.jip3.cores import CoreCount
from telemetry_twisted.jip3.encoder import frame
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.jip3.table import (
    TABLE,
    Bool,
    CoreBitfield,
    CoreBytes,
    Enum,
    Fields,
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
from telemetry_twisted.jip3.values import (
    SLOT_AHEAD,
    DecodeError,
    address_text,
    clock_violations,
    decode_event,
)

NODE_ID = "ab" * 32
RECEIVED = Moment(b"2026-11-24T07:42:00.123456Z")


def _codec_names() -> Iterator[str]:
    for name in ("python", "compiled"):
        try:
            load_codec(name)
        except CodecUnavailable:
            continue
        yield name


@pytest.fixture(scope="session", params=_codec_names())
def codec(request: pytest.FixtureRequest) -> Codec:
    """Each codec that can run here."""
    return load_codec(request.param)


@pytest.fixture(scope="session")
def vectors() -> list[dict[str, Any]]:
    """The vectors: bytes with the JSON they must give."""
    text = (Path(__file__).parent / "vectors.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.rstrip("\n").split("\n")]


@pytest.fixture(scope="session")
def contents(vectors: list[dict[str, Any]]) -> list[bytes]:
    """The contents of the event vectors."""
    return [bytes.fromhex(vector["hex"]) for vector in vectors if vector["kind"] == "event"]


def _hex(raw: bytes) -> str:
    return f"0x{raw.hex()}"


_hashes = st.binary(min_size=32, max_size=32).map(_hex)
_addresses = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=4, max_size=4).map(lambda quad: bytes(10) + b"\xff\xff" + quad),
    st.lists(st.sampled_from((b"\0\0", b"\0\0", b"\0\1", b"\xff\xff")), min_size=8, max_size=8).map(
        b"".join
    ),
).map(address_text)


@cache
def values_of(wire: Type, cores: int) -> st.SearchStrategy[Any]:
    """Random values of a wire type, in the form of the JSON."""
    match wire:
        case Uint(size):
            return st.integers(0, (1 << 8 * size) - 1)
        case Hash32():
            return _hashes
        case Bool():
            return st.booleans()
        case Enum(_, names):
            return st.sampled_from(names)
        case Str(limit):
            characters = st.characters(codec="utf-8")
            return st.text(characters, max_size=limit).filter(lambda s: len(s.encode()) <= limit)
        case Opt(item):
            return st.none() | values_of(item, cores)
        case Seq(item):
            return st.lists(values_of(item, cores), max_size=3)
        case Pair(first, second):
            return st.tuples(values_of(first, cores), values_of(second, cores)).map(list)
        case Ipv6():
            return _addresses
        case CoreBytes():
            return st.binary(min_size=cores, max_size=cores).map(list)
        case CoreBitfield():
            size = (cores + 7) // 8
            return st.binary(min_size=size, max_size=size).map(_hex)
        case ImportSpec():
            kind = st.sampled_from(("SegmentsRoot", "WorkPackageHash"))
            return st.builds(
                lambda kind, root, index: {"root_identifier": {kind: root}, "export_index": index},
                kind,
                _hashes,
                st.integers(0, 0x7FFF),
            )
        case Struct(_, fields):
            return fields_of(fields, cores)


def fields_of(fields: Fields, cores: int) -> st.SearchStrategy[dict[str, Any]]:
    """Random values of ``fields`` by name."""
    return st.fixed_dictionaries({name: values_of(wire, cores) for name, wire in fields})


@pytest.fixture(scope="session")
def random_fields() -> Callable[[Fields, int], st.SearchStrategy[dict[str, Any]]]:
    """A strategy for ``(fields, cores)``: random values by name, in the form of the JSON."""
    return fields_of


def message(
    id: int, event_id: int, kind: int, event: dict[str, Any], node_id: str = NODE_ID
) -> bytes:
    """An ``event`` message as the protocol has it."""
    shown = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return (
        f'{{"type":"event","data":{{"id":{id},"node_id":"{node_id}","event_id":{event_id},'
        f'"event_type":{kind},"event":{shown}}},"timestamp":"{RECEIVED.received.decode()}"}}'
    ).encode()


class ReferenceStream:
    """What a stream does, without a thought for speed."""

    def __init__(self, dialect: Dialect) -> None:
        self.next_event_id = 0
        self._dialect = dialect
        self._cores = CoreCount(dialect.cores)
        self._counts: Counter[int] = Counter()
        self._dropped: list[tuple[dict[str, int], Moment]] = []
        self._minutes: dict[bool, int] = {}
        self._second = 0
        self._left = {10: 1, 11: 64, 12: 64, 13: 1, None: 64}
        self._slot: dict[int, bytes] = {}

    @property
    def cores(self) -> int | None:
        """See :attr:`telemetry_twisted.jip3.codec.Stream.cores`."""
        return self._cores.cores

    def decode(
        self, data: bytes, start: int, room: int, first_id: int, id_step: int, moment: Moment
    ) -> Decoded:
        """See :meth:`telemetry_twisted.jip3.codec.Stream.decode`."""
        assert moment.received == RECEIVED.received
        events: list[bytes] = []
        types: list[int] = []
        facts: list[bytes] = []
        newest: dict[int, bytes] = {}
        self._fill(moment.second)
        faults = FaultTally()
        at = start
        while len(events) < room and (content := self._content(data, at, start)) is not None:
            id = first_id + len(events) * id_step
            event = self._decode_one(content, id, faults, moment)
            if event is not None:
                events.append(event)
                types.append(content[8])
                if content[8] in self._dialect.fact_types and len(content) <= 8192:
                    if self._passes(content):
                        facts.append(content)
                        newest[content[8]] = b""
                    elif content[8] in range(10, 14):
                        newest[content[8]] = content
            at += 4 + len(content)
        self._counts.update(types)
        lengths = struct.pack(f"<{len(events)}I", *map(len, events))
        return Decoded(
            at,
            b",".join(events),
            bytes(types),
            lengths,
            b"".join(map(frame, facts)),
            b"".join(frame(newest[kind]) for kind in range(10, 14) if newest.get(kind)),
            faults.take(),
        )

    def _fill(self, second: int) -> None:
        passed = max(second - self._second, 1) if second != self._second else 0
        for kind in self._left:
            most, rate = (1, 1) if kind in (10, 13) else (64, 16)
            self._left[kind] = min(most, self._left[kind] + passed * rate)
        self._second = second

    def _passes(self, content: bytes) -> bool:
        kind = content[8] if content[8] in self._left else None
        if self._left[kind] == 0:
            return False
        if kind in (11, 12):
            if self._slot.get(kind) == content[9:13]:
                return False
            self._slot[kind] = content[9:13]
        self._left[kind] -= 1
        return True

    def skip(self, data: bytes, start: int, most: int) -> tuple[int, int]:
        """See :meth:`telemetry_twisted.jip3.codec.Stream.skip`."""
        at, skipped = start, 0
        while skipped < most and (content := self._content(data, at, start)) is not None:
            self._pass_over(content)
            skipped += 1
            at += 4 + len(content)
        return at, skipped

    def take_counts(self) -> Counter[int]:
        """See :meth:`telemetry_twisted.jip3.codec.Stream.take_counts`."""
        counts, self._counts = self._counts, Counter()
        return counts

    def take_dropped(self) -> Dropped | None:
        """See :meth:`telemetry_twisted.jip3.codec.Stream.take_dropped`."""
        dropped, self._dropped = self._dropped, []
        if not dropped:
            return None
        dated = [
            (span["timestamp"], span["last_timestamp"])
            for span, moment in dropped
            if moment.earliest <= span["timestamp"] <= moment.latest
            if moment.earliest <= span["last_timestamp"] <= moment.latest
        ]
        return Dropped(
            min(sum(span["num"] for span, _ in dropped), 2**63 - 1),
            len(dropped),
            min((first for first, _ in dated), default=None),
            max((last for _, last in dated), default=None),
        )

    def _content(self, data: bytes, at: int, start: int) -> bytes | None:
        if len(data) < at + 4:
            return None
        length = int.from_bytes(data[at : at + 4], "little")
        if length > self._dialect.max_message_size:
            if at == start:
                raise FrameTooLong(length, self._dialect.max_message_size)
            return None
        content = data[at + 4 : at + 4 + length]
        return content if len(content) == length else None

    def _pass_over(self, content: bytes) -> None:
        used = 1
        if len(content) >= 25 and content[8] == 0:
            used = int.from_bytes(content[17:25], "little")
        self.next_event_id = (self.next_event_id + used) % 2**64

    def _decode_one(
        self, content: bytes, id: int, faults: FaultTally, moment: Moment
    ) -> bytes | None:
        dialect = self._dialect
        kind = content[8] if len(content) > 8 else None
        event_id = self.next_event_id
        used = 1
        try:
            event = decode_event(
                content,
                self._cores,
                dialect.version,
                dialect.byte_arrays,
                dialect.known_layout,
            )
        except DecodeError as error:
            faults.add(Fault(DECODE_ERROR, kind, error.offset, error.reason, content[:64]))
            return None
        else:
            if event.name == "Dropped":
                used = event.fields["num"]
                self._dropped.append(({"timestamp": event.timestamp, **event.fields}, moment))
        finally:
            self.next_event_id = (event_id + used) % 2**64
        for offset, reason in event.violations:
            faults.add(Fault(VIOLATION, kind, offset, reason, content[:64]))
        for offset, reason in clock_violations(event, moment):
            if self._minutes.get(reason == SLOT_AHEAD) != moment.minute:
                self._minutes[reason == SLOT_AHEAD] = moment.minute
                faults.add(Fault(VIOLATION, kind, offset, reason, content[:64]))
        return message(id, event_id, event.discriminator, event.as_json(), dialect.node_id)


@pytest.fixture(scope="session")
def reference() -> Callable[[Dialect], ReferenceStream]:
    """Opens a stream that is slow and right."""
    return ReferenceStream


@pytest.fixture(scope="session")
def event_message() -> Callable[..., bytes]:
    """``(id, event_id, kind, event)`` to the ``event`` message that a codec must give."""
    return message


def added_up(decoded: Iterable[Decoded]) -> list[Fault]:
    """The faults of several calls as one call would have told them."""
    tally = FaultTally()
    for each in decoded:
        tally.enter(each.faults)
    return tally.take()


@pytest.fixture(scope="session")
def faults_of() -> Callable[[Iterable[Decoded]], list[Fault]]:
    """``decoded`` of several calls to the faults that one call would have told."""
    return added_up


ALL_EVENTS = [
    pytest.param(event, version, id=f"{event.name}-v{version}")
    for version, events in ((0, TABLE.events), (1, TABLE.version_1_events))
    for event in events.values()
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``event_type`` and ``version`` for every event of the table."""
    if "event_type" in metafunc.fixturenames:
        metafunc.parametrize(("event_type", "version"), ALL_EVENTS)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Undo what pytest-twisted does to a hypothesis test for each of its parameters.

    It wraps the inner test each time that the test runs, and a wrapped one cannot be wrapped again.
    """
    hypothesis = getattr(pyfuncitem.obj, "hypothesis", None)
    inner_test = getattr(hypothesis, "inner_test", None)
    yield
    if hypothesis is not None:
        hypothesis.inner_test = inner_test
