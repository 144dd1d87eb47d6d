"""The Python codec: always there, and quick because its writers are generated from the table."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from .chains import CHAINS
from .codec import (
    DECODE_ERROR,
    EXCERPT_BYTES,
    MOST_DROPPED,
    VIOLATION,
    Decoded,
    Dialect,
    Dropped,
    Fault,
    FaultTally,
    Following,
    FrameTooLong,
    Gatherer,
)
from .cores import CoreCount
from .following import Follower
from .gathering import PythonGatherer
from .moment import ANY_SLOT, ANY_TIME, Moment
from .state_types import STATE_TYPES
from .thinning import MOST_FACT_BYTES, Thinning
from .values import SLOT_AHEAD, DecodeError, clock_violations, decode_event
from .writers import UNUSUAL, Writers

_EVENT_IDS = 2**64
_NO_DISCRIMINATOR = -1
_DROPPED = 0
_DROPPED_SIZE = 25
_length = struct.Struct("<I").unpack_from
_dropped_num = struct.Struct("<17xQ").unpack_from
_block_slot = struct.Struct("<9xI").unpack_from
_dropped = struct.Struct("<QxQQ").unpack_from


class PythonCodec:
    """Implements :class:`.codec.Codec`."""

    name = "python"

    def gatherer(self) -> Gatherer:
        """What the streams of a process may put in what they find."""
        return PythonGatherer()

    def open(self, dialect: Dialect, following: Following | None = None) -> PythonStream:
        """A stream for a node that has just connected; no chains are followed by default."""
        return PythonStream(dialect, following)


class PythonStream:
    """Implements :class:`.codec.Stream`."""

    def __init__(self, dialect: Dialect, following: Following | None = None) -> None:
        self.next_event_id = 0
        self._follower = None if following is None else _follower(dialect, following)
        self._dialect = dialect
        self._core_count = CoreCount(dialect.cores)
        self._writers = self._make_writers()
        self._counts: Counter[int] = Counter()
        self._dropped: Dropped | None = None
        self._thinning = Thinning()
        self._faults = FaultTally()
        self._minute_of_time = self._minute_of_slot = -1

    def _make_writers(self) -> Writers:
        return Writers(self.cores, self._dialect.version, self._dialect.byte_arrays)

    @property
    def cores(self) -> int | None:
        """Implements :attr:`.codec.Stream.cores`."""
        return self._core_count.cores

    def decode(
        self, data: bytes, start: int, room: int, first_id: int, id_step: int, moment: Moment
    ) -> Decoded:
        """Implements :meth:`.codec.Stream.decode`."""
        node, fact_types = self._dialect.node_id, self._dialect.fact_types
        writers, timestamp = self._writers, moment.received.decode()
        earliest, latest, newest_slot = self._bounds(moment)
        event: str | None
        events: list[str] = []
        types: list[int] = []
        facts: list[bytes] = []
        newest: dict[int, bytes] = {}
        self._thinning.fill(moment.second)
        follower = self._follower
        if follower is not None:
            follower.begin(moment)
        next_id, event_id, at = first_id, self.next_event_id, start
        for begin, end in self._frames(data, start):
            if len(types) == room:
                break
            kind = data[begin + 8] if end - begin > 8 else _NO_DISCRIMINATOR
            try:
                event = writers[kind](
                    data,
                    begin,
                    end,
                    next_id,
                    event_id,
                    node,
                    timestamp,
                    earliest,
                    latest,
                    newest_slot,
                )
            except UNUSUAL:
                event = self._write_with_care(data[begin:end], next_id, event_id, moment)
                writers = self._writers
                earliest, latest, newest_slot = self._bounds(moment)
            if event:
                events.append(event)
                types.append(kind)
                next_id += id_step
                if kind in fact_types and end - begin <= MOST_FACT_BYTES:
                    slot = _block_slot(data, begin)[0] if end - begin > 12 else 0
                    if self._thinning.passes(kind, slot):
                        facts.append(data[at:end])
                        newest.pop(kind, None)
                    elif kind in STATE_TYPES:
                        newest[kind] = data[at:end]
                if kind == _DROPPED:
                    self._note_dropped(_dropped(data, begin), moment)
            ids = 1 if kind else _ids_used(data, begin, end)
            if follower is not None:
                if event:
                    self._follow(follower, data[begin:end], event_id, ids)
                else:
                    follower.pass_over(event_id, ids, known=True)
            event_id = (event_id + ids) % _EVENT_IDS
            at = end
        self.next_event_id = event_id
        self._counts.update(types)
        text = ",".join(events)
        lengths = map(len, events if text.isascii() else map(str.encode, events))
        return Decoded(
            at,
            text.encode(),
            bytes(types),
            struct.pack(f"<{len(events)}I", *lengths),
            b"".join(facts),
            b"".join(newest[kind] for kind in sorted(newest)),
            self._faults.take(),
        )

    def skip(self, data: bytes, start: int, most: int) -> tuple[int, int]:
        """Implements :meth:`.codec.Stream.skip`."""
        at, skipped = start, 0
        for begin, end in islice(self._frames(data, start), most):
            used = _ids_used(data, begin, end)
            if self._follower is not None:
                self._follower.pass_over(self.next_event_id, used, known=False)
            self.next_event_id = (self.next_event_id + used) % _EVENT_IDS
            skipped += 1
            at = end
        return at, skipped

    def take_counts(self) -> Mapping[int, int]:
        """Implements :meth:`.codec.Stream.take_counts`."""
        counts, self._counts = self._counts, Counter()
        return counts

    def take_dropped(self) -> Dropped | None:
        """Implements :meth:`.codec.Stream.take_dropped`."""
        dropped, self._dropped = self._dropped, None
        return dropped

    def end_chains(self) -> None:
        """Implements :meth:`.codec.Stream.end_chains`."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.end()

    def _follow(self, follower: Follower, content: bytes, event_id: int, ids: int) -> None:
        wrong = follower.follow(content, event_id, ids)
        if wrong is not None:
            kind = content[8]
            offset = CHAINS.references[kind].offset
            self._faults.add(Fault(VIOLATION, kind, offset, wrong, content[:EXCERPT_BYTES]))

    def _note_dropped(self, said: tuple[int, int, int], moment: Moment) -> None:
        """Add what a ``Dropped`` says, but for times of which one is off the clock."""
        first, last, num = said
        so_far = self._dropped or Dropped(0, 0, None, None)
        events, spans = min(so_far.events + num, MOST_DROPPED), so_far.spans + 1
        begin, end = so_far.first, so_far.last
        if moment.earliest <= min(first, last) and max(first, last) <= moment.latest:
            begin = first if begin is None else min(begin, first)
            end = last if end is None else max(end, last)
        self._dropped = Dropped(events, spans, begin, end)

    def _frames(self, data: bytes, start: int) -> Iterator[tuple[int, int]]:
        """Where the content of each whole frame of ``data`` from ``start`` on begins and ends."""
        at = start
        while at + 4 <= len(data):
            (length,) = _length(data, at)
            if length > self._dialect.max_message_size:
                if at == start:
                    raise FrameTooLong(length, self._dialect.max_message_size)
                return
            begin = at + 4
            at = begin + length
            if at > len(data):
                return
            yield begin, at

    def _bounds(self, moment: Moment) -> tuple[int, int, int]:
        """What times and slots need no word: any do if there was one in this minute."""
        _, minute, earliest, latest, newest_slot, *_ = moment
        if self._minute_of_time == minute:
            earliest, latest = 0, ANY_TIME
        return earliest, latest, ANY_SLOT if self._minute_of_slot == minute else newest_slot

    def _write_with_care(
        self, content: bytes, id: int, event_id: int, moment: Moment
    ) -> str | None:
        """The ``event`` message of ``content``, or None if it cannot be decoded."""
        discriminator = content[8] if len(content) > 8 else None
        excerpt = content[:EXCERPT_BYTES]
        dialect = self._dialect
        try:
            event = decode_event(
                content,
                self._core_count,
                dialect.version,
                dialect.byte_arrays,
                dialect.known_layout,
            )
        except DecodeError as error:
            fault = Fault(DECODE_ERROR, discriminator, error.offset, error.reason, excerpt)
            self._faults.add(fault)
            return None
        if self._writers.cores != self.cores:
            self._writers = self._make_writers()
        earliest, latest, newest_slot = self._bounds(moment)
        off_clock = list(
            clock_violations(
                event, moment._replace(earliest=earliest, latest=latest, newest_slot=newest_slot)
            )
        )
        for violation in off_clock:
            if violation.reason == SLOT_AHEAD:
                self._minute_of_slot = moment.minute
            else:
                self._minute_of_time = moment.minute
        for violation in (*event.violations, *off_clock):
            self._faults.add(Fault(VIOLATION, discriminator, *violation, excerpt))
        message = {
            "type": "event",
            "data": {
                "id": id,
                "node_id": dialect.node_id,
                "event_id": event_id,
                "event_type": discriminator,
                "event": event.as_json(),
            },
            "timestamp": moment.received.decode(),
        }
        return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _follower(dialect: Dialect, following: Following) -> Follower:
    assert isinstance(following.gatherer, PythonGatherer)
    return Follower(following.gatherer, following.handle, following.network, dialect.cores)


def _ids_used(data: bytes, begin: int, end: int) -> int:
    """How many event IDs the message in ``data`` from ``begin`` to ``end`` uses up."""
    if end - begin >= _DROPPED_SIZE and data[begin + 8] == _DROPPED:
        (num,) = _dropped_num(data, begin)
        return int(num)
    return 1
