"""Raw events, the newest first, and which share of them was kept."""

from __future__ import annotations

from attrs import frozen

from telemetry_twisted.store.schema.tables import RAW_SHARE

from .history import History, total
from .raw_search import Place, Wanted, batches_of, messages_at, places_of
from .shapes import Answer

FIRST_BATCHES, MORE_BATCHES = 2, 64
"""How many batches are looked at first, and then at a time, at most."""

MOST_EVENTS = 2_000_000
"""How many events are looked at for one page, at most, where each batch costs as much as
:data:`EVENTS_OF_A_BATCH` more."""

EVENTS_OF_A_BATCH = 2000

PAGE_BYTES = 1 << 19
"""A page ends with the message that reaches so many bytes."""


class Share(Answer):
    """How many events were seen, and how many of them were kept to be browsed."""

    seen: int
    kept: int


@frozen
class Found:
    """Messages of events, the newest first, and the place before which to look for more.

    ``next`` is None where there is no more. A page may be short though there is: how much a search
    looks at is bounded.
    """

    messages: list[bytes]
    next: Place | None


async def browse(history: History, wanted: Wanted, before: Place, limit: int) -> Found:
    """At most ``limit`` events that are ``wanted`` and come before a place."""
    messages: list[bytes] = []
    size = 0
    most = FIRST_BATCHES
    left = MOST_EVENTS
    place = before
    while left > 0:
        batches, is_last = await batches_of(history, wanted, place, most)
        room = limit - len(messages)
        taken = await places_of(history, wanted, batches, place, room + 1)
        done, found = await messages_at(history, wanted, taken[:room], PAGE_BYTES - size)
        messages += found
        size += sum(map(len, found))
        if len(taken) > done:
            return Found(messages, taken[done - 1])
        if is_last:
            return Found(messages, None)
        place = Place(*batches[-1].key, 0)
        if len(messages) == limit or size >= PAGE_BYTES:
            break
        left -= sum(batch.events for batch in batches) + EVENTS_OF_A_BATCH * len(batches)
        most = MORE_BATCHES
    return Found(messages, place)


async def share(history: History, begin: float, end: float) -> Share:
    """How many raw events were seen in a range of time, and how many of them were kept."""
    ((seen, offered, dropped),) = await history.query(
        f"SELECT {total('seen')}, {total('offered')}, {total('dropped')} "
        f"FROM {RAW_SHARE.name} WHERE bucket >= ? AND bucket < ?",
        (int(begin // 10 * 10), int(end)),
    )
    return Share(seen=seen, kept=offered - dropped)
