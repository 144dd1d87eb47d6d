"""Work packages as counts by what became of them, and when each came to its stages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import ujson
from attrs import evolve, frozen

from telemetry_twisted.network.journey import EVENT, STAGES, SUPERSEDED
from telemetry_twisted.network.reporters import OFF
from telemetry_twisted.store.detail import unpack_detail
from telemetry_twisted.store.schema.network_tables import JOURNEYS
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.tallies import sum_alike

from .history import History
from .latencies import node_ids
from .networks import Network
from .sums import Subject
from .work_packages import AMONG, KNOWN, Newest, newest

FAILED = 92

REACHED = (*(kind for kind in STAGES if kind != 97), FAILED)
"""The events that say how far a package came."""


async def package_counts(
    history: History,
    counted: Newest,
    by: Sequence[str],
    core: int | None = None,
    outcome: str | None = None,
) -> list[tuple[Any, ...]]:
    """How many packages there were, and of how many submissions and shares, ``by`` some columns, of
    those that are ``counted``."""
    where = f"{AMONG} AND coalesce(outcome, '') <> ?"
    values: list[object] = [*counted.bounds, SUPERSEDED]
    for column, value in (("core", core), ("outcome", outcome)):
        if value is not None:
            where += f" AND {column} = ?"
            values.append(value)
    places = ", ".join(map(str, range(1, len(by) + 1)))
    return await history.query(
        f"SELECT {', '.join(by)}, count(*), CAST(sum(parts) AS BIGINT) FROM {JOURNEYS.name} "
        f"WHERE {where} GROUP BY {places}",
        values,
    )


async def newest_in(history: History, network: Network, begin: float, end: float) -> Newest:
    """The packages of a range that are counted one by one."""
    return await newest(history, network, int(begin * 1_000_000), int(end * 1_000_000))


def window_column(step: int) -> str:
    """The number of the window of ``step`` seconds in which a package was heard of first."""
    return f"first / {step * 1_000_000}"


Reached = Counter[int]
"""How many packages there were (0), and of how many an event said that they came so far."""


async def reached(
    history: History, subject: Subject, begin: float, end: float, step: int
) -> dict[int, Reached]:
    """How many packages came how far, by where the window begins in which they came first.

    Where there are more in the range than are counted one by one, it is the events that count: each
    guarantor of a package then.
    """
    counted = await newest_in(history, subject.network, begin, end)
    if not counted.complete:
        return await _events(history, subject, begin, end, step)
    by = (window_column(step), "stages", "outcome")
    rows = await package_counts(history, counted, by, subject.core)
    found: defaultdict[int, Reached] = defaultdict(Counter)
    for window, stages, outcome, count, _ in rows:
        here = found[window * step]
        here[0] += count
        for place, kind in enumerate(STAGES):
            here[kind] += count * (stages >> place & 1)
        here[FAILED] += count * (outcome == "failed")
    return dict(sorted(found.items()))


async def _events(
    history: History, subject: Subject, begin: float, end: float, step: int
) -> dict[int, Reached]:
    window = subject.window(history, begin, end, step)
    span = window if step <= end - begin else subject.whole(history, begin, end)
    packed: defaultdict[int, list[bytes]] = defaultdict(list)
    for bucket, events in await subject.rows(history, span, ("events",)):
        packed[window.at(bucket)].append(events)
    found = {}
    async for at, rows in history.turns.steps(sorted(packed.items())):
        events = sum_alike(rows)
        found[at] = Counter({kind: events.get(kind, 0) for kind in REACHED})
        found[at][0] = max(found[at].values(), default=0)
    return found


@frozen
class Tracked:
    """A work package: when it first came to what (``times``, microseconds of Unix time by the type
    of event, offsets of clocks taken out), and how many nodes received it and guaranteed it.

    ``receiver`` is the ID of the node that received it first.
    """

    hash: bytes
    first: int
    last: int
    core: int | None
    services: tuple[int, ...]
    reason: str | None
    times: Mapping[int, int]
    received_by: int
    guaranteed_by: int
    receiver: str | None


_COLUMNS = ("hash", "first", "last", "core", "services", "reason", "detail")


async def packages_in(
    history: History, subject: Subject, begin: float, end: float, limit: int
) -> list[Tracked]:
    """The newest packages that were heard of first in a range, those first."""
    where = "network = ? AND first >= ? AND first < ? AND coalesce(outcome, '') <> ?"
    network = subject.network.number
    values = [network, int(begin * 1_000_000), int(end * 1_000_000), SUPERSEDED]
    if subject.core is not None:
        where += " AND core = ?"
        values.append(subject.core)
    return await _tracked(history, f"{where} ORDER BY first DESC LIMIT ?", [*values, limit])


async def packages_named(
    history: History, network: Network, hashes: Sequence[bytes]
) -> list[Tracked]:
    """The packages of some hashes that are known, the newest first."""
    if not hashes:
        return []
    where = f"network = ? AND hash IN ({marks(hashes)}) ORDER BY first DESC"
    return await _tracked(history, where, [network.number, *hashes])


async def _tracked(history: History, where: str, values: Sequence[object]) -> list[Tracked]:
    rows = await history.query(f"{JOURNEYS.select(*_COLUMNS)} WHERE {where}", values)
    found: dict[bytes, tuple[Tracked, int | None]] = {}
    async for row in history.turns.steps(rows):
        package, receiver = _read(row)
        before = found.get(package.hash)
        # Several servers may have seen a package: who saw most of it tells.
        if len(package.hash) == KNOWN and (
            before is None or len(before[0].times) < len(package.times)
        ):
            found[package.hash] = package, receiver
    receivers = {receiver for _, receiver in found.values() if receiver is not None}
    names = await node_ids(history, sorted(receivers))
    return [
        evolve(package, receiver=names.get(receiver or 0)) for package, receiver in found.values()
    ]


def _read(row: Sequence[Any]) -> tuple[Tracked, int | None]:
    """A package, and the number of the node that received it first."""
    hash, first, last, core, services, reason, detail = row
    there, (_, packed, _notes, offsets, *_) = unpack_detail(bytes(detail))
    times: dict[int, int] = {}
    nodes: dict[int, set[int]] = {94: set(), 105: set()}
    receiver = None
    for node, kind, _note, time, arrived, _id in EVENT.iter_unpack(packed):
        if kind not in REACHED:
            continue
        offset = offsets.get(node, OFF)
        when = arrived if offset == OFF else time + offset
        if kind not in times or when < times[kind]:
            times[kind] = when
            if kind == 94:
                receiver = there.get(node)
        if kind in nodes:
            nodes[kind].add(node)
    found = Tracked(
        hash=bytes(hash),
        first=first,
        last=last,
        core=core,
        services=tuple(ujson.loads(services)),
        reason=reason,
        times=times,
        received_by=len(nodes[94]),
        guaranteed_by=len(nodes[105]),
        receiver=None,
    )
    return found, receiver
