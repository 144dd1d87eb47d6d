"""What only the compiled codec has: a kernel that must stay within its bounds."""

from __future__ import annotations

import gc
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.codec import FACT_TYPES, Decoded, Dialect, Fault, FrameTooLong, Stream
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.jip3.natural import encode_natural
from telemetry_twisted.jip3.python import PythonCodec
from telemetry_twisted.jip3.table import TABLE, EventType, Fields

pytest.importorskip("telemetry_twisted.jip3.compiled", exc_type=ImportError)

from telemetry_twisted.jip3 import _kernel
from telemetry_twisted.jip3._program import program_of
from telemetry_twisted.jip3.compiled import CompiledCodec
from tests.examples import examples

NODE_ID = "ab" * 32
RECEIVED = Moment(b"2026-11-24T07:42:00.123456Z")
MIB = 1 << 20
SHOWN_AT_MOST = 8
"""Bytes of JSON for a byte of a large message, at most."""

EVENTS: list[list[EventType]] = [list(TABLE.events_of(version).values()) for version in (0, 1)]

RandomFields = Callable[[Fields, int], st.SearchStrategy[dict[str, Any]]]
Reference = Callable[[Dialect], Stream]
FaultsOf = Callable[[Iterable[Decoded]], list[Fault]]


def dialect(cores: int = 341, **options: Any) -> Dialect:
    return Dialect(NODE_ID, cores, **options)


def decode(stream: Stream, data: bytes, start: int = 0, room: int = 1_000_000) -> Decoded:
    return stream.decode(data, start, room, 1, 1, RECEIVED)


def of_size(head: bytes, items: bytes, count: int) -> bytes:
    """A frame of content ``head``, and a sequence or string of ``count``: ``items``."""
    return frame(head + encode_natural(count) + items)


def reason(text: bytes) -> bytes:
    """A frame of ``ConnectInFailed``."""
    return of_size(bytes(8) + b"\x16" + bytes(8), text, len(text))


LARGE = {
    "control characters": reason(b"\x01" * (MIB - 25)),
    "ill-formed UTF-8": reason(b"\xff" * (MIB - 25)),
    "segments": of_size(bytes(8) + b"\xac" + bytes(8), b"\xff" * (MIB - 32), MIB // 2 - 16),
    "tickets": of_size(bytes(8) + b"\x52" + bytes(8), b"\xff" * (MIB - 32), MIB // 32 - 1),
    "costs": of_size(bytes(8) + b"\x65" + bytes(8), b"\xff" * (104 * 10_000), 10_000),
}
"""The messages that grow most when they become JSON, of close to 1 MiB."""


class TestBounds:
    @pytest.mark.parametrize(
        "byte_arrays", [False, pytest.param(True, marks=pytest.mark.end_to_end)]
    )
    def test_every_prefix_of_every_vector(
        self,
        contents: list[bytes],
        reference: Reference,
        faults_of: FaultsOf,
        byte_arrays: bool,
    ) -> None:
        """Each in a buffer that ends where it ends; of a large one the ends and a sample."""
        stream = CompiledCodec().open(dialect(byte_arrays=byte_arrays))
        right = reference(dialect(byte_arrays=byte_arrays))
        for content in contents:
            ends = list(range(len(content)))
            if len(content) > 400:
                ends = ends[:80] + ends[80 : -40 : len(content) // 20] + ends[-40:]
            frames = [frame(content[:end]) for end in ends]
            alone = [decode(stream, data) for data in frames]
            together = decode(right, b"".join(frames))
            assert not any(decoded.types for decoded in alone)
            assert faults_of(alone) == together.faults

    def test_every_prefix_of_a_frame(self, contents: list[bytes]) -> None:
        stream = CompiledCodec().open(dialect())
        for content in contents:
            data = frame(content)
            for end in range(min(len(data), 200)):
                assert decode(stream, data[:end]) == Decoded(0, b"", b"", b"", b"", b"", [])
        assert stream.next_event_id == 0

    @pytest.mark.parametrize("start", [-1, -(2**63), 14, 2**63 - 1])
    def test_a_start_outside_the_data(self, start: int) -> None:
        stream = CompiledCodec().open(dialect())
        with pytest.raises(ValueError, match=f"start is {start}"):
            decode(stream, bytes(13), start)
        with pytest.raises(ValueError, match=f"start is {start}"):
            stream.skip(bytes(13), start, 9)

    def test_what_is_not_what_it_should_be(self) -> None:
        stream: Any = CompiledCodec().open(dialect())
        for data in (None, "text", bytearray(4), memoryview(b"1234")):
            with pytest.raises(TypeError):
                stream.decode(data, 0, 1, 1, 1, RECEIVED)
            with pytest.raises(TypeError):
                stream.skip(data, 0, 1)
        with pytest.raises(TypeError):
            stream.decode(b"", 0, 1, 1, 1, None)
        for number in (-1, 2**64):
            with pytest.raises(OverflowError):
                stream.decode(b"", 0, 1, number, 1, RECEIVED)
            with pytest.raises(OverflowError):
                stream.next_event_id = number
        for discriminator in (-1, 256, 2**70):
            with pytest.raises(OverflowError):
                CompiledCodec().open(dialect(fact_types=frozenset({discriminator})))
        with pytest.raises(TypeError):
            _kernel.Stream(None, _kernel.Buffers(), dialect())  # type: ignore[arg-type]

    def test_largest_numbers(self) -> None:
        stream = CompiledCodec().open(dialect())
        stream.next_event_id = 2**64 - 1
        data = frame(b"\xff" * 8 + b"\x1a" + b"\xff" * 8)
        message = json.loads(stream.decode(data, 0, 1, 2**64 - 1, 1, RECEIVED).events)
        assert message["data"]["id"] == message["data"]["event_id"] == 2**64 - 1
        assert message["data"]["event"]["ConnectedOut"] == {
            "timestamp": 2**64 - 1,
            "connecting_id": 2**64 - 1,
        }
        assert stream.next_event_id == 0

    def test_numbers_of_every_length(self) -> None:
        stream = CompiledCodec().open(dialect())
        for digits in range(1, 21):
            for number in (10 ** (digits - 1) - 1, 10 ** (digits - 1), int("123456789" * 3)):
                number %= min(10**digits, 2**64)
                data = frame(struct.pack("<QBQ", number, 26, number))
                event = json.loads(decode(stream, data).events)["data"]["event"]["ConnectedOut"]
                assert event == {"timestamp": number, "connecting_id": number}

    def test_a_received_time_of_any_length(self) -> None:
        stream = CompiledCodec().open(dialect())
        for received in (b"", b"now", b"x" * 5_000):
            decoded = stream.decode(frame(bytes(9 + 8) + bytes(8)), 0, 1, 1, 1, Moment(received))
            assert json.loads(decoded.events)["timestamp"] == received.decode()


class TestMemory:
    @pytest.mark.parametrize("name", LARGE)
    @pytest.mark.parametrize(
        "byte_arrays", [False, pytest.param(True, marks=pytest.mark.end_to_end)]
    )
    def test_messages_of_a_mebibyte(
        self, reference: Reference, name: str, byte_arrays: bool
    ) -> None:
        data = LARGE[name]
        assert MIB - 20_000 < len(data) - 4 <= MIB
        options = dialect(byte_arrays=byte_arrays, fact_types=FACT_TYPES | {0xAC, 0x52, 0x65})
        buffers = _kernel.Buffers()
        decoded = decode(_kernel.Stream(program_of(0, byte_arrays), buffers, options), data + data)
        assert decoded == decode(reference(options), data + data)
        assert len(decoded.types) == 2
        assert decoded.facts == b""  # too long to be passed on
        assert len(decoded.events) < SHOWN_AT_MOST * len(data + data)
        assert sys.getsizeof(buffers) < 4 * MIB

    def test_what_a_failed_message_wrote_is_taken_back(self, reference: Reference) -> None:
        cut = frame(LARGE["segments"][4:-1])
        small = frame(bytes(8) + b"\x1a" + bytes(8))
        data = small + cut + small
        decoded = decode(CompiledCodec().open(dialect()), data)
        assert decoded == decode(reference(dialect()), data)
        assert decoded.types == b"\x1a\x1a"

    def test_a_stream_is_small(self) -> None:
        stream = CompiledCodec().open(dialect(fact_types=FACT_TYPES))
        assert sys.getsizeof(stream) < 1_500

    @pytest.mark.end_to_end
    @pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory that is kept")
    def test_no_memory(self) -> None:
        """A message that cannot be written raises; what comes after is written again."""
        program = f"""if True:
            import resource, struct
            from telemetry_twisted.jip3.codec import Dialect
            from telemetry_twisted.jip3.compiled import CompiledCodec
            from telemetry_twisted.jip3.moment import Moment
            stream = CompiledCodec().open(Dialect({NODE_ID!r}, 341))
            size = 64 << 20
            large = struct.pack("<IQBQBQ", 26 + size, 1, 22, 2, 0xFF, size) + b"\\x01" * size
            small = struct.pack("<IQBQ", 17, 1, 26, 2)
            stream = CompiledCodec().open(Dialect({NODE_ID!r}, 341, max_message_size=2 * size))
            pages = int(open("/proc/self/statm").read().split()[0])
            limit = pages * resource.getpagesize() + size
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            try:
                stream.decode(large, 0, 1, 1, 1, Moment(b"now"))
            except MemoryError:
                print(stream.decode(small, 0, 1, 1, 1, Moment(b"now")).types)
        """
        result = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
        assert (result.stdout, result.stderr) == ("b'\\x1a'\n", "")


class TestManyStreams:
    def test_they_share_buffers_and_nothing_else(self, contents: list[bytes]) -> None:
        random = Random(7)
        codec, python = CompiledCodec(), PythonCodec()
        small = [content for content in contents if len(content) < 1_000]
        streams = []
        for number in range(200):
            options = Dialect(
                f"{number:064x}",
                cores=random.choice((0, 2, 341)),
                version=random.choice((0, 1)),
                byte_arrays=random.random() < 0.5,
                fact_types=frozenset(random.sample(sorted(TABLE.events), 20)),
            )
            streams.append((codec.open(options), python.open(options)))
        for _ in range(600):
            stream, right = random.choice(streams)
            data = b"".join(map(frame, random.choices(small, k=5)))
            room = random.randrange(1, 6)
            assert decode(stream, data, 0, room) == decode(right, data, 0, room)
        for stream, right in streams:
            assert stream.next_event_id == right.next_event_id
            assert stream.take_counts() == right.take_counts()
            assert stream.take_dropped() == right.take_dropped()

    @pytest.mark.parametrize("step", [40, pytest.param(9, marks=pytest.mark.end_to_end)])
    def test_a_finalizer_that_decodes(self, step: int) -> None:
        """Making faults may run the garbage collector, and that any code."""
        codec = CompiledCodec()
        stream, other = codec.open(dialect()), codec.open(dialect())
        data = b"".join(frame(bytes(8) + bytes([number])) for number in range(200))
        right = decode(PythonCodec().open(dialect()), data)
        runs = 0

        class Cycle:
            def __init__(self) -> None:
                self.itself = self

            def __del__(self) -> None:
                nonlocal runs
                runs += decode(other, data + data).faults[0].excerpt == bytes(9)

        thresholds = gc.get_threshold()
        try:
            for threshold in range(1, 200, step):
                gc.collect()
                Cycle()
                gc.set_threshold(threshold)
                assert decode(stream, data) == right
                gc.set_threshold(*thresholds)
        finally:
            gc.set_threshold(*thresholds)
        gc.collect()
        assert runs > 0

    def test_types_of_facts(self) -> None:
        small = frame(bytes(8) + b"\x1a" + bytes(8))
        for discriminator in range(256):
            stream = CompiledCodec().open(dialect(fact_types=frozenset({discriminator})))
            assert decode(stream, small).facts == (small if discriminator == 0x1A else b"")


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """``content``, or with bytes replaced, taken out or put in."""
    at = st.integers(0, len(content))

    def change(change: tuple[int, int, bytes]) -> bytes:
        begin, end, instead = change
        return content[:begin] + instead + content[end:]

    return st.just(content) | st.tuples(at, at, st.binary(max_size=9)).map(change)


@examples(400)
@given(data=st.data())
def test_identical_to_the_python_codec(random_fields: RandomFields, data: st.DataObject) -> None:
    cores = data.draw(st.sampled_from((0, 2, 9, 341)))
    version = data.draw(st.sampled_from((0, 1)))
    options = dialect(cores, version=version, byte_arrays=data.draw(st.booleans()))
    frames = b""
    for event in data.draw(st.lists(st.sampled_from(EVENTS[version]), min_size=1, max_size=4)):
        fields = data.draw(random_fields(event.fields, cores))
        content = encode_event(event.discriminator, 7, fields, cores=cores, version=version)
        frames += frame(data.draw(mutated(content)))
    decoded = decode(CompiledCodec().open(options), frames)
    assert decoded == decode(PythonCodec().open(options), frames)


@pytest.mark.parametrize("byte_arrays", [False, True])
@pytest.mark.parametrize("cores", [4096, 65535])
def test_identical_with_many_cores(cores: int, byte_arrays: bool) -> None:
    random = Random(cores)
    options = dialect(cores, byte_arrays=byte_arrays)
    stream, right = CompiledCodec().open(options), PythonCodec().open(options)
    for _ in range(40):
        kind, size = random.choice(((10, 12 + cores + 20), (126, 32 + (cores + 7) // 8)))
        size = max(0, size - random.choice((0, 0, 1, size // 2)) + random.choice((0, 0, 1)))
        data = frame(bytes(8) + bytes([kind]) + random.randbytes(size))
        assert decode(stream, data) == decode(right, data)


def test_a_frame_that_is_too_long_is_no_event() -> None:
    stream = CompiledCodec().open(dialect(max_message_size=2**40))
    assert decode(stream, b"\xff" * 100).end == 0
    stream = CompiledCodec().open(dialect(max_message_size=2**32 - 2))
    with pytest.raises(FrameTooLong):
        decode(stream, b"\xff" * 100)
