"""Where raw events are that are wanted: batches, then places in them, then their messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.threads import deferToThread

from telemetry_twisted.store.raw_layout import (
    CHUNK_SPAN,
    ROW_MICROSECONDS,
    cut_events,
    decode_positions,
    node_term,
    received_at,
    type_term,
)
from telemetry_twisted.store.schema.table import marks

from .history import History
from .matches import in_any, in_one, in_one_and_any

ROUND_EVENTS = 100_000
"""How many events the batches hold that are looked at together, at most, but for the first."""

FIRST_MESSAGES = 16
"""How many messages are read before it is known how long they are."""

Key = tuple[int, int]
"""A batch: when it was written, and its run."""


@frozen
class Batch:
    """A batch and how many events it holds."""

    key: Key
    events: int


@frozen(order=True)
class Place:
    """Where an event is: its batch and its position in it."""

    batch: int
    run: int
    position: int

    def __str__(self) -> str:
        return f"{self.batch}.{self.run}.{self.position}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """The place that ``text`` shows.

        :raises ValueError: if it shows none.
        """
        batch, run, position = text.split(".")
        for part in (batch, run, position):
            if not (part.isascii() and part.isdigit() and len(part) < 19):
                raise ValueError(f"{part!r} is not a number")
        return cls(int(batch), int(run), int(position))


NEWEST = Place(2**62, 2**62, 2**62)
"""A place after all events."""


@frozen
class Wanted:
    """Which events are wanted: of one node (its number), of some types, in a range of time.

    ``begin`` and ``end`` are in microseconds of Unix time; None means all.
    """

    node: int | None
    types: Collection[int] | None
    begin: int
    end: int


async def batches_of(
    history: History, wanted: Wanted, place: Place, most: int
) -> tuple[list[Batch], bool]:
    """Some batches that may hold wanted events, the newest first, and whether there are no more.

    They are at most ``most``, and hold no more than :data:`ROUND_EVENTS` but for the first.
    """
    if wanted.node is not None:
        term = node_term(wanted.node)
    elif wanted.types is not None and len(wanted.types) == 1:
        term = type_term(*wanted.types)
    else:
        term = None
    source = "raw_batches b"
    conditions = "b.batch >= ? AND b.last >= ? AND b.first < ?"
    parameters = [wanted.begin, wanted.begin, wanted.end]
    order = "b"
    if term is not None:
        source = "raw_postings p JOIN raw_batches b ON b.batch = p.batch AND b.run = p.run"
        conditions += " AND p.term = ?"
        parameters.append(term)
        order = "p"
    rows = await history.query(
        f"SELECT b.batch, b.run, b.events FROM {source} WHERE {conditions} AND ({order}.batch < ? "
        f"OR ({order}.batch = ? AND {order}.run <= ?)) "
        f"ORDER BY {order}.batch DESC, {order}.run DESC LIMIT ?",
        # At the position 0 nothing is left of a batch.
        (*parameters, place.batch, place.batch, place.run - (not place.position), most),
    )
    batches: list[Batch] = []
    events = 0
    for batch, run, count in rows:
        events += count
        if batches and events > ROUND_EVENTS:
            return batches, False
        batches.append(Batch((batch, run), count))
    return batches, len(rows) < most


async def places_of(
    history: History,
    wanted: Wanted,
    batches: Sequence[Batch],
    before: Place,
    most: int,
) -> list[Place]:
    """The first ``most`` places before one where wanted events may be, the newest first."""
    if not batches:
        return []
    places: list[Place] = []
    find = _chunks if wanted.node is None and wanted.types is None else _matches
    for key, steps in await find(history, wanted, batches, before, most):
        async for step in history.turns.steps(steps):
            places += [Place(*key, position) for position in step[: most - len(places)]]
            if len(places) == most:
                return places
    return places


async def _chunks(
    history: History, wanted: Wanted, batches: Sequence[Batch], before: Place, most: int
) -> list[tuple[Key, Iterable[list[int]]]]:
    """The positions of all events of enough chunks for so many places.

    Each chunk has one event at least, but for the one that the place itself is in.
    """
    newest = batches[0].key
    last = (*newest, _end(newest, before) // CHUNK_SPAN)
    rows = await history.query(
        "SELECT batch, run, number, length(lengths) / 4 FROM raw_chunks "
        "WHERE batch >= ? AND (batch, run, number) <= (?, ?, ?) AND received >= ? AND received < ? "
        "ORDER BY batch DESC, run DESC, number DESC LIMIT ?",
        (batches[-1].key[0], *last, wanted.begin - ROW_MICROSECONDS, wanted.end, most + 1),
    )
    keys = {batch.key for batch in batches}
    found: list[tuple[Key, Iterable[list[int]]]] = []
    for batch, run, number, count in rows:
        if (batch, run) in keys:
            start = number * CHUNK_SPAN
            end = min(start + count, _end((batch, run), before))
            found.append(((batch, run), [list(range(end - 1, start - 1, -1))]))
    return found


async def _matches(
    history: History, wanted: Wanted, batches: Sequence[Batch], before: Place, _most: int
) -> Iterable[tuple[Key, Iterable[list[int]]]]:
    """The positions of what is wanted of a node, of types, or of both."""
    node = None if wanted.node is None else node_term(wanted.node)
    terms = [type_term(kind) for kind in wanted.types or ()]
    if node is not None:
        terms.append(node)
    places = ", ".join(["(?, ?)"] * len(batches))
    rows = await history.query(
        f"SELECT batch, run, term, positions FROM (VALUES {places}) AS w JOIN raw_postings p "
        f"ON p.batch = w.column1 AND p.run = w.column2 AND p.term IN ({marks(terms)})",
        (*(part for batch in batches for part in batch.key), *terms),
    )
    postings: defaultdict[Key, dict[int, bytes]] = defaultdict(dict)
    for batch, run, term, positions in rows:
        postings[batch, run][term] = positions
    return (
        (batch.key, _steps(wanted, node, postings[batch.key], _end(batch.key, before)))
        for batch in batches
    )


def _steps(
    wanted: Wanted, node: int | None, postings: Mapping[int, bytes], end: int
) -> Iterator[list[int]]:
    """The positions in one batch, from its postings by term."""
    lists = [decode_positions(found) for term, found in postings.items() if term != node]
    if node is None:
        return in_any(lists, end)
    positions = decode_positions(postings.get(node, b""))
    return in_one(positions, end) if wanted.types is None else in_one_and_any(positions, lists, end)


def _end(key: Key, before: Place) -> int:
    """Before which position of a batch the events are that come before a place."""
    return before.position if key == (before.batch, before.run) else NEWEST.position


async def messages_at(
    history: History, wanted: Wanted, places: Sequence[Place], most_bytes: int
) -> tuple[int, list[bytes]]:
    """The messages at the first places, and at how many: at all, or until there are enough bytes.

    There is none at places outside the range of time.
    """
    messages: list[bytes] = []
    done = size = 0
    step = FIRST_MESSAGES
    while done < len(places) and size < most_bytes:
        part = places[done : done + step]
        found = await _read(history, wanted, part)
        messages += found
        size += sum(map(len, found))
        done += len(part)
        step = max((most_bytes - size) // (size // done + 1), 1)
    return done, messages


async def _read(history: History, wanted: Wanted, places: Sequence[Place]) -> list[bytes]:
    chunks = {(place.batch, place.run, place.position // CHUNK_SPAN) for place in places}
    wanted_chunks = ", ".join(["(?, ?, ?)"] * len(chunks))
    rows = await history.query(
        "SELECT batch, run, number, received, lengths, events "
        f"FROM (VALUES {wanted_chunks}) AS w JOIN raw_chunks c "
        "ON c.batch = w.column1 AND c.run = w.column2 AND c.number = w.column3 "
        "WHERE received >= ? AND received < ?",
        (
            *(part for chunk in chunks for part in chunk),
            wanted.begin - ROW_MICROSECONDS,
            wanted.end,
        ),
    )
    return await deferToThread(_cut, rows, places, wanted.begin, wanted.end)


def _cut(rows: list[tuple[Any, ...]], places: Sequence[Place], begin: int, end: int) -> list[bytes]:
    """The messages at ``places`` that were received from ``begin`` until before ``end``."""
    wanted: defaultdict[tuple[int, int, int], list[Place]] = defaultdict(list)
    for place in places:
        wanted[place.batch, place.run, place.position // CHUNK_SPAN].append(place)
    found: dict[Place, bytes] = {}
    for batch, run, number, received, lengths, events in rows:
        of_chunk = wanted[batch, run, number]
        indices = [place.position % CHUNK_SPAN for place in of_chunk]
        is_within = begin <= received and received + ROW_MICROSECONDS < end
        messages = zip(of_chunk, cut_events(lengths, events, indices), strict=True)
        found.update(
            (place, message)
            for place, message in messages
            if is_within or begin <= received_at(message) < end
        )
    return [found[place] for place in places if place in found]
