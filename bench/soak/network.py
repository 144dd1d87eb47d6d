"""Nodes and subscribers that come and go, and what they do to a server at random."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory

from .account import DISCRIMINATORS, Account
from .node import Node
from .server import HOST, Server
from .subscriber import ALL, Filter, Subscriber

CHECKERS = 4
"""Subscribers to all that stay from the beginning to the end and read at once."""

FAULTS: tuple[tuple[str, int], ...] = (
    ("nodes leave", 6),
    ("nodes are reset", 6),
    ("a flood", 4),
    ("subscribers leave", 6),
    ("subscribers break off", 4),
    ("subscribers stall", 6),
    ("subscribers change their filter", 8),
    ("an ingestion process is killed", 2),
    ("the store is killed", 2),
    ("an ingestion process stops for a while", 2),
    ("the store stops for a while", 2),
    ("an ingestion process hangs", 1),
    ("the store hangs", 1),
)
"""What happens, and how often against the others."""

SHORT_SECONDS = 1.5
"""How long a process stops that is only slow."""

HANG_SECONDS = 25.0
"""How long a process stops that has to be replaced meanwhile."""


FORGET_SECONDS = 120.0
"""How long after a connection ended its events can still come."""


@define
class Size:
    """How much there is: nodes, subscribers, and events per second over all nodes."""

    nodes: int
    subscribers: int
    rate: int


class Network:
    """All that talks to the server, driven by one seeded source of chance."""

    def __init__(
        self, reactor: Any, server: Server, size: Size, account: Account, random: Random
    ) -> None:
        self.server = server
        self.account = account
        self.quiet = False
        self.checked = 0
        self.checkers: list[Subscriber] = []
        self.others: list[Subscriber] = []
        self._reactor = reactor
        self._size = size
        self._random = random
        self._api = TCP4ClientEndpoint(reactor, HOST, server.ports["api"])
        self.nodes = [
            Node(reactor, server.ports["telemetry"], f"{number:064x}", account, random)
            for number in range(1, size.nodes + 1)
        ]

    def start(self) -> None:
        """Have the checkers come, then all others."""
        for _ in range(CHECKERS):
            self._subscribe(self.checkers, ALL)
        for node in self.nodes:
            self._reactor.callLater(self._random.uniform(0.5, 2.5), node.connect)
        for _ in range(self._size.subscribers - CHECKERS):
            self._subscribe(self.others, self._any_filter())

    def _subscribe(self, group: list[Subscriber], filter: Filter) -> None:
        def gone(subscriber: Subscriber) -> None:
            group.remove(subscriber)
            self.account.done["subscribers gone"] += 1

        factory = Factory.forProtocol(lambda: Subscriber(self.account, self._random, gone, filter))
        factory.noisy = False
        self._api.connect(factory).addCallbacks(
            group.append, lambda failure: self.account.wrong(f"no subscriber: {failure.value}")
        )

    def _any_filter(self) -> Filter:
        chance = self._random.random()
        if chance < 0.05:
            return ALL
        if chance < 0.1:
            return {"type": "EventType", "event_type": self._random.choice(DISCRIMINATORS)}
        some = self._random.sample(self.nodes, self._random.randint(1, 8))
        return {"type": "Nodes", "node_ids": [node.node_id for node in some]}

    def tick(self, seconds: float) -> None:
        """What ``seconds`` bring: events, pings and requests."""
        if self.quiet:
            return
        for node in self._random.sample(self.nodes, max(1, int(self._size.rate * seconds / 5))):
            node.report(self._random.randint(1, 9))
        for subscriber in self._random.sample(self.others, min(5, len(self.others))):
            subscriber.ping()
        for subscriber in [*self.checkers, *self.others[:1]]:
            if self._random.random() < 0.5:
                subscriber.ping()
            if self._random.random() < 0.1:
                subscriber.ask()

    def fault(self) -> str:
        """Do something at random; what it was."""
        names, weights = zip(*FAULTS, strict=True)
        (name,) = self._random.choices(names, weights)
        actions: dict[str, Callable[[], object]] = {
            "nodes leave": lambda: self._some_nodes(lambda node: node.leave("left")),
            "nodes are reset": lambda: self._some_nodes(lambda node: node.leave("reset")),
            "a flood": lambda: self._some_nodes(lambda node: node.report(500)),
            "subscribers leave": lambda: self._replace(Subscriber.close),
            "subscribers break off": lambda: self._replace(Subscriber.abort),
            "subscribers stall": self._stall,
            "subscribers change their filter": self._change,
            "an ingestion process is killed": lambda: self._kill("ingestion"),
            "the store is killed": lambda: self._kill("store"),
            "an ingestion process stops for a while": lambda: self._stop(
                "ingestion", SHORT_SECONDS
            ),
            "the store stops for a while": lambda: self._stop("store", SHORT_SECONDS),
            "an ingestion process hangs": lambda: self._stop("ingestion", HANG_SECONDS),
            "the store hangs": lambda: self._stop("store", HANG_SECONDS),
        }
        actions[name]()
        self.account.done[name] += 1
        return str(name)

    def _some_nodes(self, action: Callable[[Node], None]) -> None:
        for node in self._random.sample(self.nodes, max(1, len(self.nodes) // 20)):
            action(node)

    def _some_others(self) -> list[Subscriber]:
        return self._random.sample(self.others, min(len(self.others), 1 + len(self.others) // 10))

    def _replace(self, end: Callable[[Subscriber], None]) -> None:
        for subscriber in self._some_others():
            if subscriber.greeting is not None and not subscriber.is_closing:
                end(subscriber)
                self._subscribe(self.others, self._any_filter())

    def _stall(self) -> None:
        for subscriber in self._some_others():
            subscriber.stall()
            self._reactor.callLater(self._random.uniform(1, 15), subscriber.read_on)

    def _change(self) -> None:
        for subscriber in self._some_others():
            if subscriber.greeting is not None and not subscriber.is_closing:
                subscriber.subscribe(self._any_filter())

    def _kill(self, role: str) -> None:
        if role == "ingestion":
            self.account.excuse(0)
        self.server.signal(role, signal.SIGKILL, self._random.randrange(100))

    def _stop(self, role: str, seconds: float) -> None:
        pid = self.server.signal(role, signal.SIGSTOP, self._random.randrange(100))
        if pid is None:
            return

        def go_on() -> None:
            self.server.resume(pid)

        if role == "ingestion" and seconds > SHORT_SECONDS:
            self.account.excuse(seconds)
        self._reactor.callLater(seconds, go_on)

    def end(self) -> None:
        """Have no node connect again."""
        for node in self.nodes:
            node.end()

    def forget_ended(self) -> None:
        """Let go of what was checked: connections of nodes that ended so long ago that no event of
        theirs can still come."""
        connections = self.account.connections
        past = time.monotonic() - FORGET_SECONDS
        ended = [each for each in connections[self.checked :] if each.is_past(past)]
        for connection in ended:
            connection.forgotten = True
        for subscriber in [*self.checkers, *self.others]:
            subscriber.forget(connection.number for connection in ended)
        while self.checked < len(connections) and connections[self.checked].is_past(past):
            self.checked += 1
