"""What the hub tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.clock import Now
from telemetry_twisted.hub.store.client import StoreClient

from .alerts import AlertBook
from .child import Condition
from .histogram import Histogram
from .hub import Hub
from .ingestion import IngestionServer
from .network_figures import network_figures
from .problems import RecentLosses, store_problem

RATE_SECONDS = 5.0
"""Over how long rates are taken."""


class HubFigures:
    """The figures that subscribers are greeted with, in every server.

    ``children`` are the child processes.

    :param store: of the store process, if history is kept.
    :param subscribers: tells how many there are.
    :param missed: tells how many events they missed, over all of them.
    """

    def __init__(
        self,
        hub: Hub,
        servers: Sequence[IngestionServer],
        store: Condition | None,
        subscribers: Callable[[], int],
        missed: Callable[[], int],
    ) -> None:
        self.hub = hub
        self.servers = servers
        self.children = [server.condition for server in servers]
        if store is not None:
            self.children.append(store)
        self._subscribers = subscribers
        self._missed = missed

    def broadcaster(self) -> dict[str, Any]:
        """``broadcaster_stats``.

        ``dropped_events`` are those above ``--rate-limit``, ``undelivered_events`` those that
        subscribers were told of as lagged, over all subscribers.
        """
        ring = self.hub.ring
        return {
            "total_events_broadcast": ring.total,
            "active_subscribers": self._subscribers(),
            "node_channels": ring.node_channels,
            "events_in_buffer": ring.events,
            "dropped_events": self.total("rate_limited"),
            "undelivered_events": self._missed(),
        }

    def problems(self) -> list[str]:
        """What keeps child processes from their work, in words."""
        return [child.problem for child in self.children if child.problem is not None]

    def total(self, counter: str) -> int:
        """A counter of the ingestion processes, over all of them."""
        return sum(server.counter(counter) for server in self.servers)

    def silent(self) -> dict[str, float]:
        """For how many seconds nodes have said nothing that have been silent for long."""
        seconds = {}
        for server in self.servers:
            for connection, each in server.silent.items():
                node = self.hub.nodes.of(server, connection)
                if node is not None:
                    seconds[node.node_id] = each
        return seconds

    def greeting(self) -> dict[str, Any]:
        """What ``connected`` holds beside its message and samples."""
        return {
            "recent_events": self.hub.ring.events,
            "total_nodes": len(self.hub.nodes),
            "broadcaster_stats": self.broadcaster(),
        }


class HubGauges:
    """What only a server that keeps history tells its subscribers (``stats``, ``metrics``).

    :param frames: tells how many events were in the frames that subscribers were sent.
    :param receivers: tells how each receiver of alerts fares (:class:`.Receiver`).
    """

    def __init__(
        self,
        figures: HubFigures,
        frames: Callable[[], Histogram],
        store_client: StoreClient,
        book: AlertBook,
        receivers: Callable[[], Sequence[Mapping[str, Any]]],
        clock: IReactorTime,
        now: Now,
    ) -> None:
        self._figures = figures
        self._receivers = receivers
        self._frames = frames
        self._store_client = store_client
        self._book = book
        self._clock = clock
        self._losses = RecentLosses(clock, now)
        self._started = clock.seconds()
        self._marks = [(self._started, 0)]

    def tick(self) -> None:
        """Note how many events there were, and were lost; to be called every second."""
        now = self._clock.seconds()
        self._marks.append((now, self._figures.hub.ring.total))
        while len(self._marks) > 2 and now - self._marks[1][0] >= RATE_SECONDS:
            del self._marks[0]
        self._losses.look(self._store_client.losses.of_records.as_json())

    def silent(self) -> dict[str, float]:
        """See :meth:`HubFigures.silent`."""
        return self._figures.silent()

    def events_per_second(self) -> float:
        """Events that came lately, per second."""
        (then, before), (now, after) = self._marks[0], self._marks[-1]
        return (after - before) / (now - then) if now > then else 0.0

    def stats(self) -> dict[str, Any]:
        """The data of ``stats``, but for the subscriber's own part."""
        nodes = [node.node_id for node in self._figures.hub.nodes]
        return {
            "database": dict(self._store_client.status),
            "broadcaster": self._figures.broadcaster(),
            "connections": {"total": len(nodes), "nodes": nodes},
        }

    def _store_problem(self) -> str | None:
        """Why history is not written as it should be, if so."""
        client = self._store_client
        if not client.condition.running:
            return client.condition.problem
        return store_problem(client.status, client.trouble())

    def own_problems(self) -> list[str]:
        """What keeps child processes from their work, and history from being kept as it should."""
        found: list[str | None] = [*self._figures.problems(), self._losses.problem]
        if self._store_client.condition.running:  # or else it is among them
            found.append(self._store_problem())
        return [problem for problem in found if problem is not None]

    def problems(self) -> list[str]:
        """The same, with mistakes that were made lately, and alerts."""
        errors = self._figures.hub.errors
        return [
            *self.own_problems(),
            *(
                f"a mistake of the server's own ({place}) within the last minute, "
                f"{errors.counts[place]} so far; see its log, and report what it says"
                for place in errors.lately
            ),
            *(
                f"alerts do not reach {each['receiver']} since {each['failing_since']}: "
                f"{each['error']}; see that it runs, and --alert-webhook or --alertmanager"
                for each in self._receivers()
                if each["failing_since"] is not None
            ),
            *(
                f"{alert['message']}, an alert since {alert['started']}; {alert['advice']}"
                for alert in self._book.current
            ),
        ]

    def alerts(self) -> dict[str, Any]:
        """The data of ``alert``: those that hold, and those that have just ended."""
        alerts = self._book.current
        return {"alerts": alerts, "count": len(alerts), "ended": self._book.ended}

    def network(self) -> dict[str, Any]:
        """The data of ``network``: how the server fares, and by genesis hash how networks do."""
        return {
            "events_per_second": round(self.events_per_second(), 1),
            "problems": self.problems(),
            "networks": network_figures(
                self._store_client.networks.current, self._figures.hub.nodes
            ),
        }

    def metrics(self) -> dict[str, Any]:
        """The data of ``metrics``."""
        hub = self._figures.hub
        ring = hub.ring
        return {
            "uptime_seconds": int(self._clock.seconds() - self._started),
            "events_per_second": round(self.events_per_second(), 1),
            "broadcaster": self._figures.broadcaster(),
            "nodes": len(hub.nodes),
            "decode_errors": hub.faults["decode_error"],
            "violations": hub.faults["violation"],
            "connections_ended": dict(hub.endings),
            "ring": {
                "events": ring.events,
                "bytes": ring.bytes,
                "max_events": ring.max_events,
                "max_bytes": ring.max_bytes,
            },
            "processes": [child.as_json() for child in self._figures.children],
            "internal_errors": dict(hub.errors.counts),
            "alerts": self._book.counts(),
            "alert_receivers": list(self._receivers()),
            "ingestion": [
                {"pid": server.condition.pid, "connections": server.connections, **server.pulse}
                for server in self._figures.servers
            ],
            "store": {**self._store_client.status, "problem": self._store_problem()},
            "delivered_events": int(self._frames().sum),
            "histograms": {
                "frame_events": self._frames().as_json(),
                "latency_seconds": hub.latency.as_json(),
            },
        }
