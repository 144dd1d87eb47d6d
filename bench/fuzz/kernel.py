"""The codecs against each other: a stream of each is given the same, in the same steps."""

from __future__ import annotations

from random import Random
from typing import Any

from telemetry_twisted.jip3.codec import DECODE_ERROR, Decoded, FrameTooLong, Stream
from telemetry_twisted.jip3.compiled import CompiledCodec
from telemetry_twisted.jip3.python import PythonCodec

from .messages import CORES, Messages, damaged, random_dialect, random_frames, random_moment


class Tally:
    """What was done so far."""

    def __init__(self) -> None:
        self.rounds = self.frames = self.bytes = 0
        self.events = self.errors = self.violations = self.skipped = self.too_long = 0

    def add(self, result: Decoded | tuple[int, int] | str) -> None:
        """Count what :func:`outcome` gave."""
        if isinstance(result, str):
            self.too_long += 1
        elif isinstance(result, Decoded):
            self.events += len(result.types)
            for fault in result.faults:
                if fault.kind == DECODE_ERROR:
                    self.errors += fault.times
                else:
                    self.violations += fault.times
        else:
            self.skipped += result[1]

    def __str__(self) -> str:
        return (
            f"{self.rounds:,} rounds, {self.frames:,} frames ({self.bytes:,} bytes): "
            f"{self.events:,} events, {self.errors:,} decode errors, "
            f"{self.violations:,} violations, {self.skipped:,} skipped, "
            f"{self.too_long:,} times FrameTooLong"
        )


def fuzz(random: Random, shared: CompiledCodec, python: PythonCodec, tally: Tally) -> None:
    """One round: some frames of a node, through both codecs in steps.

    Half the time it is not the ``shared`` codec but a new one, whose buffers have yet to grow.

    :raises AssertionError: if they differ.
    """
    cores = random.choice(CORES)
    options = random_dialect(random, cores)
    messages = Messages(random, cores, options.version)
    frames = random_frames(random, messages, (1, 1, 3, 20))
    data = damaged(random, b"".join(frames))
    tally.frames += len(frames)
    tally.bytes += len(data)
    codec = random.choice((shared, CompiledCodec()))
    ours, theirs = codec.open(options), python.open(options)
    ours.next_event_id = theirs.next_event_id = random.choice((0, 2**64 - 2))
    at, first_id = 0, random.randrange(2**50)
    progress = True
    while progress:
        call: tuple[Any, ...] = "skip", data, at, random.randrange(1, 4)
        if random.random() < 0.9:
            room = random.choice((1, 2, 100, 1_000_000))
            call = "decode", data, at, room, first_id, random.randrange(9), random_moment(random)
        result, expected = outcome(ours, *call), outcome(theirs, *call)
        assert result == expected, f"{options}\n{call}\n{result}\n{expected}"
        assert ours.next_event_id == theirs.next_event_id
        assert ours.cores == theirs.cores
        tally.add(result)
        progress = not isinstance(result, str) and result[0] > at
        at = result[0] if progress else at
    assert ours.take_counts() == theirs.take_counts()
    assert ours.take_dropped() == theirs.take_dropped()


def outcome(stream: Stream, method: str, *arguments: Any) -> Any:
    """What the call returns, or the text of the :class:`FrameTooLong` that it raises."""
    try:
        return getattr(stream, method)(*arguments)
    except FrameTooLong as error:
        return str(error)
