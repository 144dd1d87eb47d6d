"""A history that is full: days of counts, states, blocks and troubles of very many nodes."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.database.interface import Database, Transaction
from telemetry_twisted.store.histogram import Histogram
from telemetry_twisted.store.packed import pack
from telemetry_twisted.store.schema.policy import DAY, HOUR
from telemetry_twisted.store.schema.table import Table
from telemetry_twisted.store.schema.tables import (
    CONNECTIONS,
    COUNTS,
    FAILURES,
    FAULTS,
    GAPS,
    LATEST,
    LOSSES,
    LOST_COLUMNS,
    NODES,
    RAW_SHARE,
    RUNS,
    SLOTS,
    SPREADS,
    STATES,
    TOTALS,
)
from telemetry_twisted.store.write.raw import Waiting, make_batch
from telemetry_twisted.store.write.transactions import write_batch
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.transport.records import Chunk, encode_runs

from .filled_sums import fill_sums
from .filled_things import fill_things

TEMPLATES = 64
"""Different packed counts; each row has one of them."""

STEP_SECONDS = 6 * HOUR
"""Filled in one transaction."""

HASH = "0x" + 64 * "ab"
SLOT_SECONDS = 6
FIRST_SLOT = 9_000_000


def slot_at(time: int) -> int:
    """The slot that begins at ``time``, in seconds of Unix time."""
    return FIRST_SLOT + time // SLOT_SECONDS


def node_id(number: int) -> str:
    """The ID of node ``number``."""
    return f"{number:064x}"


async def fill(
    database: Database, nodes: int, days: int, now: int, observed_only: bool = False
) -> None:
    """Write ``days`` of history of so many ``nodes``, up to ``now``.

    :param observed_only: only what was observed of chains of events, and understood of networks.
    """
    await database.open()
    dice = random.Random(1)
    run = database.transact
    await run(partial(_fill_nodes, nodes=nodes, now=now))
    await fill_sums(database, nodes, days, now)
    await fill_things(database, nodes, days, now)
    if observed_only:
        await run(lambda t: t.execute("ANALYZE"))
        return
    await run(partial(_make_templates, dice=dice, nodes=nodes))
    # What a server has written last is what is not yet on disk alone.
    for width, kept in ((3600, days), (60, days), (10, 1)):
        begin = (now - min(kept, days) * DAY) // width * width
        for start in range(begin, now, STEP_SECONDS):
            end = min(start + STEP_SECONDS, now)
            await run(partial(_fill_counts, width=width, start=start, end=end, nodes=nodes))
    for start in range((now - DAY) // 10 * 10, now, STEP_SECONDS):
        end = min(start + STEP_SECONDS, now)
        await run(partial(_fill_states, start=start, end=end, nodes=nodes))
    for day in range(days):
        start = now - (day + 1) * DAY
        await run(partial(_fill_slots, dice=dice, start=start, nodes=nodes))
        await run(partial(_fill_troubles, dice=dice, start=start, nodes=nodes))
    await _fill_raw(database, dice, nodes, now)
    await run(lambda t: t.execute("ANALYZE"))


def _fill_nodes(transaction: Transaction, nodes: int, now: int) -> None:
    micros = now * 1_000_000
    since = micros - 30 * DAY * 1_000_000
    info = json.dumps({"params": {"core_count": 341}, "additional_info": "x" * 400})
    server = dict.fromkeys(RUNS.written[3:])
    transaction.upsert(RUNS, [(since, micros, None, *server.values())])
    transaction.upsert(
        NODES,
        [
            (node_id(number), "10.0.0.1:4000", f"impl {number % 5}", f"0.{number % 3}", "0.7.1", 0,
             341, 0, info, since, micros)
            for number in range(1, nodes + 1)
        ],
    )  # fmt: skip
    transaction.upsert(
        CONNECTIONS,
        [
            (number, since + DAY * 1_000_000 * day, 1, "10.0.0.1:4000",
             since + DAY * 1_000_000 * (day + 1) - 1, "the peer closed the connection")
            for number in range(1, nodes + 1)
            for day in range(30)
        ],
    )  # fmt: skip
    status = {
        "num_peers": 50, "num_val_peers": 40, "num_sync_peers": 40, "num_guarantees": [1] * 341,
        "num_shards": 1000, "shards_size": 10**9, "num_preimages": 5, "preimages_size": 10**6,
    }  # fmt: skip
    fields: Mapping[int, Any] = {
        10: status,
        11: {"slot": 9_432_000, "hash": HASH},
        12: {"slot": 9_431_990, "hash": HASH},
        13: {"synced": True},
    }
    transaction.upsert(
        LATEST,
        [
            (number, kind, micros, json.dumps(value))
            for number in range(1, nodes + 1)
            for kind, value in fields.items()
        ],
    )


def _make_templates(transaction: Transaction, dice: random.Random, nodes: int) -> None:
    blob = "bytea" if _is_postgresql(transaction) else "BLOB"
    transaction.execute(
        f"CREATE TABLE templates (id bigint PRIMARY KEY, events bigint, node {blob}, whole {blob})"
    )
    for number in range(TEMPLATES):
        counts = {kind: dice.randrange(1, 200) for kind in TABLE.events if dice.random() < 0.6}
        # Some node of the whole network sends each type all the time.
        whole = {kind: dice.randrange(1, 200) * nodes for kind in TABLE.events}
        transaction.execute(
            "INSERT INTO templates VALUES (?, ?, ?, ?)",
            (number, sum(counts.values()), pack(counts), pack(whole)),
        )


def _is_postgresql(transaction: Transaction) -> bool:
    return type(transaction).__module__.endswith("postgresql")


_SERIES = (
    "WITH RECURSIVE b(bucket) AS (SELECT CAST(? AS bigint) UNION ALL "
    "SELECT bucket + ? FROM b WHERE bucket + ? < ?), "
    "n(node) AS (SELECT CAST(0 AS bigint) UNION ALL SELECT node + 1 FROM n WHERE node < ?) "
)


def _fill_counts(transaction: Transaction, width: int, start: int, end: int, nodes: int) -> None:
    start = start // width * width
    transaction.execute(
        f"INSERT INTO {COUNTS[width].name} {_SERIES} SELECT bucket, n.node, 1, events, t.node "
        f"FROM b CROSS JOIN n JOIN templates t ON t.id = (bucket / {width} + n.node) % {TEMPLATES} "
        "WHERE n.node > 0 ORDER BY bucket, n.node",
        (start, width, width, end, nodes),
    )
    transaction.execute(
        f"INSERT INTO {TOTALS[width].name} {_SERIES} SELECT bucket, 1, events * {nodes}, whole "
        f"FROM b JOIN templates t ON t.id = (bucket / {width}) % {TEMPLATES} ORDER BY bucket",
        (start, width, width, end, 0),
    )


def _fill_states(transaction: Transaction, start: int, end: int, nodes: int) -> None:
    columns = ", ".join(STATES.columns)
    transaction.execute(
        f"INSERT INTO states ({columns}) {_SERIES} SELECT bucket, node, 1, bucket / 6, "
        "bucket / 6 - 10, 1, 50, 40, 40, 341, 1000, 1000000000, 5, 1000000 "
        "FROM b CROSS JOIN n WHERE node > 0 ORDER BY bucket, node",
        (start, 10, 10, end, nodes),
    )


def _fill_slots(transaction: Transaction, dice: random.Random, start: int, nodes: int) -> None:
    encoded = []
    for _ in range(20):
        histogram = Histogram()
        histogram.add(int(dice.lognormvariate(12, 1)) for _ in range(nodes))
        encoded.append(histogram.encode())
    rows = [
        (kind, slot_at(start + at), 1, nodes, (start + at) * 1_000_000, 150_000,
         700_000, 900_000, 1_500_000, 0, json.dumps([[HASH, nodes]]), dice.choice(encoded), None)
        for at in range(0, DAY, SLOT_SECONDS)
        for kind in (11, 12)
    ]  # fmt: skip
    transaction.append(SLOTS, rows)
    for width in (600, 3600):
        begin = -(-start // width) * width
        transaction.upsert(
            SPREADS,
            [
                (width, kind, bucket, width // 6, nodes * width // 6, dice.choice(encoded))
                for bucket in range(begin, start + DAY, width)
                for kind in (11, 12)
            ],
        )


def _fill_troubles(transaction: Transaction, dice: random.Random, start: int, nodes: int) -> None:
    failing = [event.discriminator for event in TABLE.events.values() if event.has_reason]
    reasons = ("timed out after 2000 ms", "connection lost", "not found")
    for width, table in FAILURES.items():
        rows = [
            (bucket, kind, reason, 1, dice.randrange(1, 1000))
            for bucket in range(start // width * width, start + DAY, width)
            for kind in failing
            for reason in reasons
        ]
        _upsert(transaction, table, rows)
    # Some nodes drop events all the time, and all of them do for two hours of the day.
    for width, table in LOSSES.items():
        losses = [
            (bucket, number, 1, 50, 2, bucket * 1_000_000, bucket * 1_000_000 + 5, 3)
            for bucket in range(start // width * width, start + DAY, width)
            for number in range(1, (nodes if bucket % DAY < 2 * HOUR else min(nodes, 20)) + 1)
        ]
        _upsert(transaction, table, losses)
    gaps = [
        (at * 1_000_000, "server", at * 1_000_000 + 5, *[1] * len(LOST_COLUMNS))
        for at in range(start, start + DAY, HOUR)
    ]
    _upsert(transaction, GAPS, gaps)
    for width, table in FAULTS.items():
        faults = [
            (bucket, number, "decode_error", kind, "cut short", 1, 5, bucket * 1_000_000, 9, b"\1")
            for bucket in range(start // width * width, start + DAY, width)
            for number in range(1, min(nodes, 20) + 1)
            for kind in (11, 62)
        ]
        _upsert(transaction, table, faults)


def _upsert(transaction: Transaction, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    keys = len(table.key)
    transaction.upsert(table, list({row[:keys]: row for row in rows}.values()))


async def _fill_raw(database: Database, dice: random.Random, nodes: int, now: int) -> None:
    numbers = {node_id(number): number for number in range(1, nodes + 1)}
    kinds = list(TABLE.events)
    weights = [1 / (1 + index) for index in range(len(kinds))]
    event_id = 0
    for batch in range(120):
        waiting = []
        at = now - HOUR + batch * HOUR // 120
        for _ in range(50):
            senders = dice.choices(range(1, nodes + 1), k=50)
            types = dice.choices(kinds, weights, k=100)
            messages = []
            for index, kind in enumerate(types):
                event_id += 1
                messages.append(_message(event_id, senders[index // 2], kind, at, dice))
            waiting.append(
                Waiting(
                    Chunk(
                        event_id,
                        100,
                        encode_runs((0, 2) for _ in senders),
                        bytes(types),
                        b"".join(len(message).to_bytes(4, "little") for message in messages),
                        b",".join(messages),
                    ),
                    tuple(map(node_id, senders)),
                )
            )
        made = make_batch(waiting, numbers)
        key = (at * 1_000_000 + 1, 1)
        await database.transact(partial(_write_raw, key=key, made=made, at=at))


def _write_raw(transaction: Transaction, key: tuple[int, int], made: Any, at: int) -> None:
    write_batch(transaction, key, made)
    transaction.upsert(RAW_SHARE, [(at // 10 * 10, 1, made.events, made.events, 0)])


def _message(number: int, sender: int, kind: int, at: int, dice: random.Random) -> bytes:
    fields = f'"timestamp":{at},"slot":5,"hash":"0x{dice.randbytes(32).hex()}"'
    return (
        f'{{"type":"event","data":{{"id":{number},"node_id":"{node_id(sender)}","event_id":1,'
        f'"event_type":{kind},"event":{{"{TABLE.events[kind].name}":{{{fields}}}}}}},'
        f'"timestamp":"{rfc3339(at)}"}}'
    ).encode()
