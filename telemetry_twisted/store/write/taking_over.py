"""How a new run goes on with what the runs of its server before it were in the midst of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ujson
from attrs import frozen

from telemetry_twisted.network.anchors import load_anchor
from telemetry_twisted.network.fetches import Fetched, Fetches
from telemetry_twisted.network.guarantees import load_guarantee
from telemetry_twisted.network.journey import load_journey
from telemetry_twisted.network.networks import Networks
from telemetry_twisted.network.slot import load_slot
from telemetry_twisted.store.database.interface import Transaction
from telemetry_twisted.store.detail import unpack_detail
from telemetry_twisted.store.schema.network_tables import (
    ANCHORS,
    FETCHES,
    GUARANTEES,
    JOURNEYS,
    NETWORK_SLOTS,
    THINGS,
)
from telemetry_twisted.store.schema.sum_tables import NETWORKS

LATE_SECONDS = 300
"""How long after something was closed what comes for it is still known to be late."""

MOST_LATE = 20_000
"""Keys of what was closed that are asked for, of each kind."""

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    NETWORK_SLOTS.name: ("detail",),
    JOURNEYS.name: (
        *("core", "stages", "reason", "report", "erasure_root", "slot", "builder"),
        "detail",
    ),
    GUARANTEES.name: ("slot", "validators", "receptions", "discards", "detail"),
    ANCHORS.name: ("detail",),
    FETCHES.name: ("kinds",),
}


@frozen
class TakenOver:
    """What was open, by table: rows with the genesis hash in place of the network's number, then
    the key, ``first``, ``last``, and columns; the keys of what was ``closed`` lately; and the IDs
    of ``nodes`` by their numbers."""

    open: Mapping[str, Sequence[tuple[Any, ...]]]
    closed: Mapping[str, Sequence[tuple[str, Any]]]
    nodes: Mapping[int, str]


def take_over(
    transaction: Transaction,
    server: str,
    run: int,
    now: int,
    names_of: Callable[[Iterable[int]], Mapping[int, str]],
) -> TakenOver:
    """Make the open rows of the runs of ``server`` before ``run`` those of ``run``.

    :param now: in microseconds of Unix time.
    :param names_of: tells the IDs of nodes by their numbers.
    """
    genesis = dict(transaction.query(NETWORKS.select("network", "genesis")))
    found: dict[str, list[tuple[Any, ...]]] = {}
    late: dict[str, list[tuple[str, Any]]] = {}
    numbers: set[int] = set()
    before = "run IN (SELECT run FROM runs WHERE server = ? AND run < ?)"
    for table in THINGS:
        key = table.key[1]
        late[table.name] = [
            (genesis[network], _value(name))
            for network, name in transaction.query(
                f"{table.select('network', key)} WHERE closed >= ? AND {before} "
                "ORDER BY closed DESC LIMIT ?",
                (now - LATE_SECONDS * 1_000_000, server, run, MOST_LATE),
            )
            if network in genesis
        ]
        transaction.execute(
            f"UPDATE {table.name} SET run = ? WHERE closed IS NULL AND {before}",
            (run, server, run),
        )
        columns = _COLUMNS[table.name]
        rows = transaction.query(
            f"{table.select('network', key, 'first', 'last', *columns)} "
            f"WHERE closed IS NULL AND run = ? AND {columns[-1]} IS NOT NULL ORDER BY first",
            (run,),
        )
        found[table.name] = [
            (genesis[network], *map(_value, values))
            for network, *values in rows
            if network in genesis
        ]
        if columns[-1] == "detail":
            numbers.update(n for *_, detail in rows for n in unpack_detail(detail)[0].values())
    return TakenOver(found, late, names_of(sorted(numbers)))


def _value(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def go_on(networks: Networks, taken: TakenOver, now: int) -> None:
    """Have ``networks`` go on with what was taken over ``now`` (microseconds)."""
    seconds = now / 1_000_000

    def opened(packed: bytes) -> tuple[dict[int, int], Any]:
        """The content of a detail, and the numbers that its nodes have now by those there."""
        there, content = unpack_detail(packed)
        numbers = {}
        for number, node in there.items():
            name = taken.nodes.get(node)
            given = None if name is None else networks.numbers.number(name, seconds)
            if given is not None:
                numbers[number] = given
        return numbers, content

    for table, source in (
        (NETWORK_SLOTS, networks.slots),
        (JOURNEYS, networks.journeys),
        (GUARANTEES, networks.guarantees),
        (ANCHORS, networks.anchors),
        (FETCHES, networks.availability),
    ):
        for key in reversed(taken.closed[table.name]):
            source.know_closed(key)
    for network, slot, first, last, detail in taken.open[NETWORK_SLOTS.name]:
        numbers, (dumped, chains) = opened(detail)
        networks.slots.go_on((network, slot), load_slot(dumped, numbers, first, last), chains)
    for network, hash, first, last, *columns, detail in taken.open[JOURNEYS.name]:
        numbers, dumped = opened(detail)
        names = _COLUMNS[JOURNEYS.name]
        said = dict(zip(names, columns, strict=False))
        journey = load_journey(dumped, numbers, first, last, **said)
        networks.journeys.go_on((network, hash), journey)
    for network, report, first, last, *columns, detail in taken.open[GUARANTEES.name]:
        numbers, dumped = opened(detail)
        at, validators, receptions, discards = columns
        guarantee = load_guarantee(
            dumped,
            numbers,
            first,
            last,
            at,
            ujson.loads(validators),
            receptions,
            ujson.loads(discards),
        )
        networks.guarantees.resume((network, report), guarantee)
    for network, anchor, first, last, detail in taken.open[ANCHORS.name]:
        _, (dumped, chains) = opened(detail)
        networks.anchors.go_on((network, anchor), load_anchor(dumped, first, last), chains)
    for network, root, first, last, kinds in taken.open[FETCHES.name]:
        sums = {int(kind): Fetched(*each) for kind, each in ujson.loads(kinds).items()}
        networks.availability.resume((network, root), Fetches(first, last, kinds=sums))
