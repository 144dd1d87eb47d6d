"""What has to hold whenever nodes have been quiet for a moment, and over the whole of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from attrs import define, field, frozen

from .account import Account
from .network import Network
from .server import Sample, Server

GROWTH = 1.05
"""How much a process may hold more in the last third of a run than in the one after warming up."""

SLACK_BYTES = {"hub": 4 << 20, "ingestion": 4 << 20, "store": 64 << 20}
"""What it may hold more whatever it held; the store has SQLite's cache, which grows to this."""

SLACK_DESCRIPTORS = 8

LEAST_SAMPLES = 6
"""With fewer quiet moments nothing is said of growth."""


def unsettled(network: Network) -> str | None:
    """What is still to come, in words, or None if all has come that will."""
    account = network.account
    if missing := sum(node.connection is None for node in network.nodes):
        return f"{missing} nodes are to connect"
    for subscriber in [*network.checkers, *network.others]:
        if not subscriber.settled:
            return f"a subscriber waits for {len(subscriber.pending)} replies, or for a pong"
    for checker in network.checkers:
        for connection in account.connections[network.checked :]:
            if connection.forgotten or account.may_be_short(connection):
                continue
            seen = checker.seen.get(connection.number, 0)
            if checker.whole and seen < connection.sent:
                return f"a checker has {seen} events of {connection}"
    return None


@frozen
class Told:
    """What the server tells: ``/api/metrics/live``, ``/metrics``, and how many events history
    counts, None while it cannot be asked."""

    live: Mapping[str, Any]
    exposed: str
    stored: int | None

    @classmethod
    def by(cls, server: Server) -> Told:
        """Ask ``server``, which blocks until it has answered."""
        live, exposed = server.get("/api/metrics/live"), server.get("/metrics")
        types = server.get("/api/event-types?from=-1d").get("event_types")
        return cls(live, exposed, types and sum(row["count"] for row in types))

    @property
    def lost(self) -> int:
        """Events that the server says history has lost."""
        return int((self.live["store"].get("lost") or {}).get("events", 0))


def disagreement(network: Network, told: Told) -> str | None:
    """What the server tells otherwise than it was seen here, which may be on its way still."""
    live = told.live
    if live["nodes"] != len(network.nodes):
        return f"{live['nodes']} nodes are connected, {len(network.nodes)} here"
    total = live["broadcaster"]["total_events_broadcast"]
    for checker in network.checkers:
        assert checker.greeting is not None
        before = checker.greeting["broadcaster_stats"]["total_events_broadcast"]
        if before + checker.received + checker.skipped != total:
            return (
                f"{total} events were broadcast; a checker that came after {before} received "
                f"{checker.received} and was told that it missed {checker.skipped}"
            )
    if told.stored is None or told.stored + told.lost != total:
        return (
            f"{total} events were broadcast, history counts {told.stored} and says that it lost "
            f"{told.lost}"
        )
    return None


def check(network: Network, told: Told) -> None:
    """Hold the server's counts to the account's, where all has come that will."""
    account = network.account
    if (what := disagreement(network, told)) is not None:
        account.wrong(what)
    total = told.live["broadcaster"]["total_events_broadcast"]
    if total > account.done["events sent"]:
        account.wrong(f"{total} events were broadcast, {account.done['events sent']} were sent")
    for line in told.exposed.splitlines():
        if line.startswith("telemetry_internal_errors_total{") and not line.endswith(" 0.0"):
            account.wrong(f"a mistake of the server's own: {line}")
    network.forget_ended()


@define
class Ledger:
    """What the processes of each role held at each quiet moment."""

    samples: list[dict[str, Sample]] = field(factory=list)
    subscribers: list[int] = field(factory=list)

    def note(self, samples: dict[str, Sample], subscribers: int) -> None:
        """Note what is held now, with so many subscribers."""
        self.samples.append(samples)
        self.subscribers.append(subscribers)

    def growth(self, account: Account) -> dict[str, dict[str, float]]:
        """What each role held in the second and in the last third, in MiB and descriptors.

        What grew beyond :data:`GROWTH` is a mistake.
        """
        if len(self.samples) < LEAST_SAMPLES:
            return {}
        third = len(self.samples) // 3
        found = {}
        for role in ("hub", "ingestion", "store"):
            early, late = (
                self._median(role, part)
                for part in (slice(third, 2 * third), slice(2 * third, None))
            )
            found[role] = {
                "MiB before": round(early.memory / 2**20, 1),
                "MiB after": round(late.memory / 2**20, 1),
                "descriptors before": early.descriptors,
                "descriptors after": late.descriptors,
            }
            if late.memory > early.memory * GROWTH + SLACK_BYTES[role]:
                account.wrong(f"the memory of the {role} grew: {found[role]}")
            if late.descriptors > early.descriptors * GROWTH + SLACK_DESCRIPTORS:
                account.wrong(f"the descriptors of the {role} grew: {found[role]}")
        return found

    def _median(self, role: str, part: slice) -> Sample:
        held: Sequence[Sample] = [
            samples[role] for samples in self.samples[part] if samples[role].memory
        ]
        if not held:
            return Sample(0, 0)
        return Sample(
            int(median(sample.memory for sample in held)),
            int(median(sample.descriptors for sample in held)),
        )
