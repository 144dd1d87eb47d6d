"""Looking through raw events, the newest first."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from attrs import frozen
from twisted.internet.threads import deferToThread

from .database import Database
from .raw import CHUNK_SPAN, cut_events, node_term, type_term

FIRST_BATCHES, MORE_BATCHES, MOST_BATCHES = 2, 64, 1024
"""How many batches are looked at first, then at a time, and for one page at most."""

Key = tuple[int, int]
"""A batch: when it was written, and its run."""


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


@frozen
class Found:
    """Messages of events, the newest first, and the place before which to look for more.

    ``next`` is None where there is no more. A page may be short though there is: how much a search
    looks at is bounded.
    """

    messages: list[bytes]
    next: Place | None


async def browse(database: Database, wanted: Wanted, before: Place, limit: int) -> Found:
    """At most ``limit`` events that are ``wanted`` and come before a place."""
    messages: list[bytes] = []
    looked_at = 0
    most = FIRST_BATCHES
    place = before
    while looked_at < MOST_BATCHES:
        batches = await _batches(database, wanted, place, most)
        positions = await _positions(database, wanted, batches)
        room = limit - len(messages)
        taken = list(islice(_places(batches, positions, place), room + 1))
        messages += await _messages(database, wanted, taken[:room])
        if len(taken) > room:
            place = taken[room - 1]
        elif len(batches) < most:
            return Found(messages, None)
        else:
            place = Place(*batches[-1], 0)
        if len(messages) == limit:
            break
        looked_at += len(batches)
        most = MORE_BATCHES
    return Found(messages, place)


def _places(
    batches: Sequence[Key], positions: Mapping[Key, Iterable[int]], before: Place
) -> Iterator[Place]:
    for key in batches:
        end = before.position if key == (before.batch, before.run) else NEWEST.position
        for position in positions[key]:
            if position < end:
                yield Place(*key, position)


async def _batches(database: Database, wanted: Wanted, place: Place, most: int) -> list[Key]:
    """At most so many batches that may hold wanted events, the newest first."""
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
    rows = await database.query(
        f"SELECT b.batch, b.run FROM {source} WHERE {conditions} AND ({order}.batch < ? "
        f"OR ({order}.batch = ? AND {order}.run <= ?)) "
        f"ORDER BY {order}.batch DESC, {order}.run DESC LIMIT ?",
        (*parameters, place.batch, place.batch, place.run, most),
    )
    return [(batch, run) for batch, run in rows]


async def _positions(
    database: Database, wanted: Wanted, batches: Sequence[Key]
) -> dict[Key, Iterable[int]]:
    """The positions of what may be wanted in each batch, the last first."""
    if not batches:
        return {}
    newest, oldest = batches[0][0], batches[-1][0]
    if wanted.node is None and wanted.types is None:
        chunks: defaultdict[Key, list[tuple[int, int]]] = defaultdict(list)
        for batch, run, number, count in await database.query(
            "SELECT batch, run, number, length(lengths) / 4 FROM raw_chunks "
            "WHERE batch >= ? AND batch <= ? AND received >= ? AND received < ? "
            "ORDER BY batch, run, number DESC",
            (oldest, newest, wanted.begin, wanted.end),
        ):
            chunks[batch, run].append((number, count))
        return {key: _each_position(chunks[key]) for key in batches}
    node = () if wanted.node is None else (node_term(wanted.node),)
    types = [type_term(kind) for kind in wanted.types or ()]
    found: dict[Key, set[int] | None] = dict.fromkeys(batches)
    for terms in filter(None, (node, types)):
        union: defaultdict[Key, set[int]] = defaultdict(set)
        for batch, run, encoded in await database.query(
            f"SELECT batch, run, positions FROM raw_postings WHERE term IN ({_marks(terms)}) "
            "AND batch >= ? AND batch <= ?",
            (*terms, oldest, newest),
        ):
            union[batch, run].update(array("I", encoded))
        for key, before in found.items():
            found[key] = union[key] if before is None else before & union[key]
    return {key: sorted(positions or (), reverse=True) for key, positions in found.items()}


def _each_position(chunks: Iterable[tuple[int, int]]) -> Iterator[int]:
    for number, count in chunks:
        start = number * CHUNK_SPAN
        yield from range(start + count - 1, start - 1, -1)


async def _messages(database: Database, wanted: Wanted, places: Sequence[Place]) -> list[bytes]:
    """The messages at some places, but for those outside the range of time."""
    if not places:
        return []
    chunks = {(place.batch, place.run, place.position // CHUNK_SPAN) for place in places}
    wanted_chunks = ", ".join(["(?, ?, ?)"] * len(chunks))
    rows = await database.query(
        "SELECT batch, run, number, lengths, events "
        f"FROM (VALUES {wanted_chunks}) AS w JOIN raw_chunks c "
        "ON c.batch = w.column1 AND c.run = w.column2 AND c.number = w.column3 "
        "WHERE received >= ? AND received < ?",
        (*(part for chunk in chunks for part in chunk), wanted.begin, wanted.end),
    )
    return await deferToThread(_cut, rows, places)


def _cut(rows: list[tuple[Any, ...]], places: Sequence[Place]) -> list[bytes]:
    wanted: defaultdict[tuple[int, int, int], list[Place]] = defaultdict(list)
    for place in places:
        wanted[place.batch, place.run, place.position // CHUNK_SPAN].append(place)
    found: dict[Place, bytes] = {}
    for batch, run, number, lengths, events in rows:
        of_chunk = wanted[batch, run, number]
        indices = [place.position % CHUNK_SPAN for place in of_chunk]
        found.update(zip(of_chunk, cut_events(lengths, events, indices), strict=True))
    return [found[place] for place in places if place in found]


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)
