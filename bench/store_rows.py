"""Raw events into the database, on two cores: as the store keeps them, and a row for each.

The events are whole messages of the realistic mix, in chunks as ingestion processes make them. What
is measured is from chunks in memory to the last commit, with everything needed to find the events
of a node or a type again. ``rows`` is what a developer would write first: a row for each event and
indexes by node and by type, through ``executemany`` or ``COPY`` from a thread; ``unnest`` is the
same through txpostgres, which needs no thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.jip3.codec import Dialect, load_codec
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.store.database.interface import Database, Transaction
from telemetry_twisted.store.database.opening import open_database
from telemetry_twisted.store.raw_layout import received_at
from telemetry_twisted.store.schema.table import INTEGER, TEXT, Table
from telemetry_twisted.store.testing import PostgresqlMissing, ThrowawayPostgresql
from telemetry_twisted.store.write.raw import Waiting, make_batch
from telemetry_twisted.store.write.transactions import write_batch
from telemetry_twisted.transport.records import Chunk, encode_runs

from .processes import BenchError, module
from .rows import Measure, Report, Sample, Target, interleave
from .settings import Settings
from .traffic import CORES, Traffic

EVENTS = 200_000
BATCH_CHUNKS = 500
ROWS = Table(
    "raw_rows",
    {"seq": INTEGER, "received": INTEGER, "node": INTEGER, "type": INTEGER, "message": TEXT},
    ("seq",),
    indexes={("node", "seq"): 1, ("type", "seq"): 1},
)


def run(settings: Settings) -> Report:
    """Events per second, into SQLite and into a PostgreSQL of our own."""
    with _databases() as databases:
        measures: dict[tuple[str, str], Measure] = {
            (kind, system): partial(_measure, settings.traffic, make_url, system)
            for kind, make_url in databases.items()
            for system in ("rows", "unnest", "chunks")
            if (kind, system) != ("sqlite", "unnest")
        }
        rows = interleave(settings.repeats, "events/s", measures)
    return Report(
        "store_rows",
        "Raw events into the database",
        rows,
        (
            Target("sqlite", "chunks", 150_000),
            Target("postgresql", "chunks", 100_000),
            Target("sqlite", "chunks", 1, against=("sqlite", "rows")),
            Target("postgresql", "chunks", 1, against=("postgresql", "rows")),
        ),
    )


@contextmanager
def _databases() -> Iterator[dict[str, Callable[[], str]]]:
    """By kind, what makes the address of an empty database."""
    with TemporaryDirectory(prefix="bench-store-") as directory:
        number = iter(range(10**9))
        made: dict[str, Callable[[], str]] = {
            "sqlite": lambda: f"sqlite:{directory}/{next(number)}.sqlite"
        }
        try:
            server = ThrowawayPostgresql()
        except PostgresqlMissing as missing:
            raise BenchError(str(missing)) from missing
        try:
            server.start()
            made["postgresql"] = lambda: server.create_database(f"bench_{next(number)}")
            yield made
        finally:
            server.remove()


def _measure(traffic: Path, make_url: Callable[[], str], system: str) -> Sample:
    with module("bench.store_rows", "--traffic", str(traffic), system, make_url()) as child:
        result = child.result(120)
    return Sample(result["events"] / result["seconds"], {"process cores": result["cores"]})


def _chunks(traffic: Traffic) -> list[Waiting]:
    """Chunks of a hundred events, the nodes taking turns by ten."""
    codec = load_codec("auto")
    decoded = codec.open(Dialect(traffic.node_ids[0], CORES)).decode(
        traffic.block.data, 0, traffic.block.count, 1, 1, Moment(b"2026-11-24T07:42:00.123456Z")
    )
    whole = Chunk(1, len(decoded.types), b"", decoded.types, decoded.lengths, decoded.events)
    messages = list(whole.each())
    chunks = []
    for number in range(EVENTS // 100):
        at = number * 100 % (len(messages) - 100)
        part = slice(at, at + 100)
        nodes = tuple(
            traffic.node_ids[(number * 10 + run) % len(traffic.node_ids)] for run in range(10)
        )
        chunks.append(
            Waiting(
                Chunk(
                    at,
                    100,
                    encode_runs([(run, 10) for run in range(10)]),
                    decoded.types[part],
                    decoded.lengths[4 * part.start : 4 * part.stop],
                    b",".join(messages[part]),
                ),
                nodes,
            )
        )
    return chunks


async def _write(reactor: IServerReactor, options: argparse.Namespace) -> None:
    traffic = Traffic.load(options.traffic)
    chunks = _chunks(traffic)
    numbers = {node_id: number for number, node_id in enumerate(traffic.node_ids, 1)}
    database = open_database(options.url, reactor)
    await database.open()
    if options.system != "chunks":
        await database.transact(_create_rows)
    start, busy = time.monotonic(), time.process_time()
    for at in range(0, len(chunks), BATCH_CHUNKS):
        part = chunks[at : at + BATCH_CHUNKS]
        if options.system == "chunks":
            await database.transact(partial(_write_chunks, key=(at, 1), part=part, numbers=numbers))
        elif options.system == "rows":
            await database.transact(partial(_write_rows, at=at * 100, part=part, numbers=numbers))
        else:
            await _unnest(database, list(_rows(at * 100, part, numbers)))
    seconds = time.monotonic() - start
    cores = (time.process_time() - busy) / seconds
    await database.close()
    print(json.dumps({"events": EVENTS, "seconds": seconds, "cores": cores}))


def _write_chunks(
    transaction: Transaction, key: tuple[int, int], part: list[Waiting], numbers: dict[str, int]
) -> None:
    write_batch(transaction, key, make_batch(part, numbers))


def _write_rows(
    transaction: Transaction, at: int, part: list[Waiting], numbers: dict[str, int]
) -> None:
    transaction.append(ROWS, _rows(at, part, numbers))


def _create_rows(transaction: Transaction) -> None:
    columns = "seq bigint PRIMARY KEY, received bigint, node bigint, type bigint, message text"
    transaction.execute(f"CREATE TABLE raw_rows ({columns})")
    transaction.execute("CREATE INDEX raw_rows_node ON raw_rows (node, seq)")
    transaction.execute("CREATE INDEX raw_rows_type ON raw_rows (type, seq)")


def _rows(first: int, part: list[Waiting], numbers: dict[str, int]) -> Iterator[tuple[Any, ...]]:
    seq = first
    for waiting in part:
        chunk = waiting.chunk
        received = received_at(chunk.events)
        nodes = [
            numbers[node_id]
            for node_id, (_, count) in zip(waiting.nodes, chunk.runs, strict=True)
            for _ in range(count)
        ]
        for node, kind, message in zip(nodes, chunk.types, chunk.each(), strict=True):
            yield seq, received, node, kind, message.decode()
            seq += 1


async def _unnest(database: Database, rows: list[tuple[Any, ...]]) -> None:
    casts = "?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::text[]"
    await database.query(
        f"INSERT INTO raw_rows SELECT * FROM unnest({casts}) RETURNING 1",
        [list(column) for column in zip(*rows, strict=True)],
    )


def main() -> None:
    """Write once; print how long it took."""
    parser = argparse.ArgumentParser(prog="bench.store_rows", description=__doc__)
    parser.add_argument("--traffic", type=Path, required=True)
    parser.add_argument("system", choices=("chunks", "rows", "unnest"))
    parser.add_argument("url")
    options = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(_write(cast(IServerReactor, reactor), options)))


if __name__ == "__main__":
    main()
