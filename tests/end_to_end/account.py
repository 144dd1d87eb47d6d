"""What nodes sent, or a subscriber was told, or history holds, in one form to be compared."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import closing
from typing import Any

import psycopg2
from attrs import define, field

from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.packed import add_up
from telemetry_twisted.store.reports import nearest_rank

KINDS = {"BestBlockChanged": "best", "FinalizedBlockChanged": "finalized"}
"""The events that report a block, and what history calls them."""

SHARES = (0.5, 0.95, 0.99, 1.0)
"""Shares of the nodes whose delays are kept of each slot."""

_NAMES = {event.discriminator: event.name for event in TABLE.events.values()}
_SHOWN = 12

Report = tuple[str, int]
"""A kind of block, ``best`` or ``finalized``, and a slot."""

Query = Callable[[str], list[tuple[Any, ...]]]
"""Answers SQL with rows."""


@define
class Account:
    """Connections by node, events by node and type, and so on; ``spreads`` says for each report
    how many nodes made it, when the first did, in microseconds of Unix time, and by how much later
    the shares of :data:`SHARES` had."""

    connections: Counter[str] = field(factory=Counter)
    counts: Counter[tuple[str, str]] = field(factory=Counter)
    failures: Counter[tuple[str, str]] = field(factory=Counter)
    faults: Counter[tuple[str, str, int]] = field(factory=Counter)
    dropped: Counter[tuple[str, str]] = field(factory=Counter)
    spreads: dict[Report, tuple[int, ...]] = field(factory=dict)

    @property
    def events(self) -> int:
        """Events of all nodes."""
        return sum(self.counts.values())

    def by_type(self) -> Counter[str]:
        """Events of all nodes by type."""
        total: Counter[str] = Counter()
        for (_, name), count in self.counts.items():
            total[name] += count
        return total

    def by_node(self) -> Counter[str]:
        """Events by node."""
        total: Counter[str] = Counter()
        for (node_id, _), count in self.counts.items():
            total[node_id] += count
        return total

    def add(self, other: Account) -> None:
        """Add what others sent, who report no slots of these."""
        for name in PARTS[:-1]:
            getattr(self, name).update(getattr(other, name))
        assert not self.spreads.keys() & other.spreads.keys()
        self.spreads.update(other.spreads)


@define
class Sent:
    """An account in the making: events are added as they were sent or received."""

    account: Account = field(factory=Account)
    _reports: defaultdict[Report, dict[str, int]] = field(factory=lambda: defaultdict(dict))

    def event(self, node_id: str, name: str, fields: Mapping[str, Any]) -> None:
        """An event that was delivered, with the fields of its JSON."""
        account = self.account
        account.counts[node_id, name] += 1
        if "reason" in fields:
            account.failures[name, fields["reason"]] += 1
        if name in KINDS:
            self.report(node_id, (KINDS[name], fields["slot"]), fields["timestamp"])
        elif name == "Dropped":
            account.dropped.update({(node_id, "events"): fields["num"], (node_id, "spans"): 1})

    def report(self, node_id: str, report: Report, time: int) -> None:
        """A node reports a block at ``time`` of the Common Era; its first report counts."""
        self._reports[report].setdefault(node_id, time)

    def closed(self) -> Account:
        """The account, when all was added."""
        for report, by_node in self._reports.items():
            times = sorted(by_node.values())
            delays = [time - times[0] for time in times]
            ranks = (nearest_rank(delays, share) for share in SHARES)
            self.account.spreads[report] = (len(times), COMMON_ERA + times[0], *ranks)
        return self.account


def account_of_simulator(
    told: Mapping[str, Any], of: Callable[[Mapping[str, Any]], bool] = bool
) -> Account:
    """The account of what ``telemetry-simulator --json`` has told.

    :param of: says which connections to take, of what was told of each; all by default.
    """
    sent = Sent()
    account = sent.account
    for each in told["sent"]:
        if not of(each):
            continue
        node_id = each["node_id"]
        account.connections[node_id] += 1
        account.counts.update({(node_id, name): n for name, n in each["counts"].items()})
        for row in each["failures"]:
            account.failures[row["event_type"], row["reason"]] += row["count"]
        for row in each["faults"]:
            account.faults[node_id, row["kind"], row["event_type"]] += row["count"]
        account.dropped.update({(node_id, what): n for what, n in each["dropped"].items()})
        for kind in KINDS.values():
            for slot, time in each[kind].items():
                sent.report(node_id, (kind, int(slot)), time)
    return sent.closed()


def account_of_stream(events: Iterable[Mapping[str, Any]]) -> Account:
    """The account of messages of type ``event``, as a subscriber to all has received them."""
    sent = Sent()
    for message in events:
        data = message["data"]
        ((name, fields),) = data["event"].items()
        sent.event(data["node_id"], name, fields)
    return sent.closed()


def querying(url: str) -> Query:
    """Answers SQL from the database at ``url``, opened anew each time."""

    def query(sql: str) -> list[tuple[Any, ...]]:
        if url.startswith("sqlite:"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as database:
                return database.execute(sql).fetchall()
        with closing(psycopg2.connect(url)) as server, server.cursor() as cursor:
            cursor.execute(sql)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    return query


def account_of_history(query: Query) -> tuple[Account, list[str]]:
    """The account of what history holds, and where it contradicts itself."""
    account = Account()
    wrong: list[str] = []
    ids: dict[int, str] = dict(query("SELECT node, node_id FROM nodes"))
    for node, started in query("SELECT node, started FROM connections ORDER BY node, started"):
        assert started > 0
        account.connections[ids[node]] += 1
    found = [_counts(query, width, ids) for width in ("1h", "1m", "10s")]
    account.counts, whole = found[0]
    for width, (counts, together) in zip(("1m", "10s"), found[1:], strict=True):
        wrong += differences(f"counts_{width}, against counts_1h", account.counts, counts)
        wrong += differences(f"totals_{width}, against totals_1h", whole, together)
    wrong += differences("totals_1h", account.by_type(), whole)
    for width in ("1h", "1d", "1m"):
        failures: Counter[tuple[str, str]] = Counter()
        for kind, reason, number in query(f"SELECT type, reason, failures FROM failures_{width}"):
            failures[_NAMES[kind], reason] += number
        if width == "1h":
            account.failures = failures
        wrong += differences(f"failures_{width}", account.failures, failures)
    for width in ("1h", "1d"):
        faults: Counter[tuple[str, str, int]] = Counter()
        for node, kind, discriminator, number in query(
            f"SELECT node, kind, discriminator, faults FROM faults_{width}"
        ):
            faults[ids.get(node, ""), kind, discriminator] += number
        if width == "1h":
            account.faults = faults
        wrong += differences(f"faults_{width}", account.faults, faults)
    for node, events, spans in query("SELECT node, dropped, spans FROM losses_1h"):
        account.dropped.update({(ids[node], "events"): events, (ids[node], "spans"): spans})
    for kind, slot, *spread in query(
        'SELECT type, slot, nodes, "first", p50, p95, p99, "last" FROM slots ORDER BY nodes'
    ):
        account.spreads[KINDS[_NAMES[kind]], slot] = tuple(spread)
    for node_id, first, last in query("SELECT node_id, first_seen, last_seen FROM nodes"):
        if first > last:
            wrong.append(f"node {node_id[:8]} was first seen {first}, after {last}, when last seen")
    ((unended,),) = query("SELECT count(*) FROM connections WHERE ended IS NULL")
    if unended:
        wrong.append(f"{unended} connections have not ended, of a server that has")
    return account, wrong


def _counts(
    query: Query, resolution: str, ids: Mapping[int, str]
) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """Counts by node and type, and those of all nodes together."""
    packed: defaultdict[int, list[bytes]] = defaultdict(list)
    for node, counts in query(f"SELECT node, counts FROM counts_{resolution}"):
        packed[node].append(bytes(counts))
    rows = query(f"SELECT counts FROM totals_{resolution}")
    together = add_up(bytes(counts) for (counts,) in rows)
    whole = {_NAMES[kind]: number for kind, number in together.items()}
    by_node: Counter[tuple[str, str]] = Counter()
    for node, its in packed.items():
        for kind, number in add_up(its).items():
            by_node[ids[node], _NAMES[kind]] += number
    return by_node, Counter(whole)


PARTS = ("connections", "counts", "failures", "faults", "dropped", "spreads")
"""The parts of an account."""


def compare(expected: Account, found: Account, parts: Iterable[str] = PARTS) -> list[str]:
    """What ``found`` has otherwise than was ``expected``, in words."""
    return [
        line
        for part in parts
        for line in differences(part, getattr(expected, part), getattr(found, part))
    ]


def differences(what: str, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> list[str]:
    """Where two mappings differ; a zero is nothing. Begins with how much they hold in all."""
    different = [
        key for key in {**expected, **found} if (expected.get(key) or 0) != (found.get(key) or 0)
    ]
    if not different:
        return []
    lines = [f"{what}: {len(different)} differ{_sums(expected, found)}"]
    return lines + [
        f"  {_name(key)}: {expected.get(key)} expected, {found.get(key)} found"
        for key in sorted(different, key=str)[:_SHOWN]
    ]


def _sums(expected: Mapping[Hashable, Any], found: Mapping[Hashable, Any]) -> str:
    if not all(isinstance(value, int) for value in (*expected.values(), *found.values())):
        return f"; {len(expected)} expected, {len(found)} found"
    return f"; {sum(expected.values()):,} expected in all, {sum(found.values()):,} found"


def _name(key: Any) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return " ".join(part[:12] if len(str(part)) == 64 else str(part) for part in parts)


def told_by(path: Any) -> Any:
    """What a simulator has written to a file."""
    return json.loads(path.read_text())
