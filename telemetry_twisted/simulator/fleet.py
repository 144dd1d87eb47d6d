"""Simulated nodes on real connections: when each of them connects, sends and ends.

A node lives in simulated time, which the fleet lets pass as the clock does, or, in a flood, as fast
as the server takes what is sent. Either way a node that the server holds back waits, and then sends
what it would have sent; it drops nothing, so what it sends does not depend on the server.
"""

from __future__ import annotations

from itertools import cycle
from random import Random
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    FirstError,
    gatherResults,
    succeed,
)
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.task import LoopingCall, deferLater

from .accounting import Accounting
from .blockchain import SECOND
from .connection import NodeConnection
from .network import Network
from .node import Node
from .records import Records
from .schedule import NEVER
from .summary import Summary
from .tally import Tally

INTERVAL = 0.1
"""Seconds between two writes of a node that is not held back."""

DRAIN_TIMEOUT = 5.0
"""Seconds that connections get to send what they hold once a run is stopped."""

RECONNECT_DELAY = 1.0
"""Seconds after which a node whose connection was lost or refused connects again."""

_GROUPS = 10

_T = TypeVar("_T")


@define(eq=False)
class Fleet:
    """The nodes of ``network``, each on a connection to ``endpoint``.

    In a ``flood`` nodes send as fast as they can, otherwise as their events fall due. With
    ``reconnect`` a node whose connection is lost or refused tries again until the run ends, and
    begins anew with event ID 0 (JIP-3, Event IDs). Each connects ``times`` times, and again once
    what it sends each time was sent. Connections are cut after ``cut_after`` seconds on average, if
    that is given. ``keeps_times`` is for the tallies, which keep sums of what events mean with it;
    and with ``keeps_records`` what they tell of single things as well.

    ``trouble`` says why a connection was refused first. ``refused`` counts attempts that failed,
    ``lost`` connections that ended before everything was sent.
    """

    clock: IReactorTime
    endpoint: IStreamClientEndpoint
    network: Network
    flood: bool = False
    reconnect: bool = False
    times: int = 1
    cut_after: float | None = None
    keeps_times: bool = True
    keeps_records: bool = False

    trouble: str | None = field(default=None, init=False)
    refused: int = field(default=0, init=False)
    lost: int = field(default=0, init=False)
    _began: float = field(default=0.0, init=False)
    _over: bool = field(default=False, init=False)
    _tallies: list[tuple[int, Tally]] = field(factory=list, init=False)
    _connections: dict[int, NodeConnection] = field(factory=dict, init=False)
    _lives: list[Deferred[None]] = field(factory=list, init=False)
    _cutting: IDelayedCall | None = field(default=None, init=False)
    _chance: Random = field(init=False)

    @_chance.default
    def _make_chance(self) -> Random:
        return Random(f"{self.network.seed}/cuts")

    async def run(self) -> Summary:
        """Connect the nodes and let them send until each of them has finished."""
        for parity in range(min(2, self.network.nodes)):
            self.network.pieces(parity)
        self._began = self.clock.seconds()
        self._lives = [
            Deferred.fromCoroutine(self._live(index)) for index in range(self.network.nodes)
        ]
        lives: Deferred[Any] = gatherResults(self._lives, consumeErrors=True)
        groups = cycle(range(_GROUPS))
        ticker = LoopingCall(lambda: self._emit(next(groups)))
        ticker.clock = self.clock
        ticking: Deferred[Any] = succeed(None) if self.flood else ticker.start(INTERVAL / _GROUPS)
        lives.addBoth(_stop, ticker)
        try:
            await gatherResults([lives, ticking], consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()
        finally:
            if self._cutting is not None and self._cutting.active():
                self._cutting.cancel()
        return self.summary()

    def stop(self) -> None:
        """Let no node send any more; what was sent has :data:`DRAIN_TIMEOUT` seconds to arrive."""
        if self._over:
            return
        self._over = True
        self._cutting = self.clock.callLater(DRAIN_TIMEOUT, self.abort)
        for index, life in enumerate(self._lives):
            if connection := self._connections.get(index):
                connection.end()
            else:
                life.cancel()

    def abort(self) -> None:
        """Cut the connections that are left; they count as lost."""
        for connection in list(self._connections.values()):
            connection.abort()

    @property
    def connected(self) -> int:
        """Nodes that are connected now."""
        return len(self._connections)

    @property
    def held(self) -> int:
        """Connected nodes that the server holds back now."""
        return sum(connection.held for connection in self._connections.values())

    def summary(self) -> Summary:
        """What has been sent so far."""
        return Summary(
            network=self.network,
            seconds=self.clock.seconds() - self._began,
            tallies=self._tallies,
            refused=self.refused,
            lost=self.lost,
        )

    async def _live(self, index: int) -> None:
        """Connect node ``index`` when its turn is, and again if need be."""
        node = Node(self.network, index)
        try:
            await self._sleep(index / self.network.connect_rate)
            left = self.times
            while not self._over:
                complete = await self._send(index, node)
                left -= complete
                if not left or not (complete or self.reconnect) or self._over:
                    break
                await self._sleep(RECONNECT_DELAY)
                node = Node(self.network, index, max(node.now, min(self._now(), node.ends)))
        except (CancelledError, ConnectingCancelledError):
            pass

    async def _send(self, index: int, node: Node) -> bool:
        """Send what ``node`` has; whether all of it was."""
        node.tally.keeps_times = self.keeps_times
        if self.keeps_records:
            node.tally.accounting = Accounting(Records())
        elif self.keeps_times:
            node.tally.accounting = Accounting()
        connection = NodeConnection(node, self._horizon)
        try:
            await connectProtocol(self.endpoint, connection)
        except (ConnectError, OSError) as error:
            self.refused += 1
            self.trouble = self.trouble or str(error).rstrip(".")
            if not self._tallies and not self.reconnect:
                self.clock.callLater(0, self.stop)
            return False
        self._tallies.append((index, node.tally))
        self._connections[index] = connection
        self._cut_sometime(connection)
        complete = await connection.closed
        node.tally.ended = self._now()
        del self._connections[index]
        self.lost += not complete
        return complete

    def _cut_sometime(self, connection: NodeConnection) -> None:
        if self.cut_after is not None:
            seconds = self._chance.expovariate(1 / self.cut_after)
            cutting = self.clock.callLater(seconds, connection.abort)
            connection.closed.addBoth(_cancel, cutting)

    def _now(self) -> int:
        """The simulated time that it is by the clock."""
        return self.network.start + int((self.clock.seconds() - self._began) * SECOND)

    def _horizon(self) -> int:
        return NEVER if self.flood else self._now()

    def _emit(self, group: int) -> None:
        for index, connection in list(self._connections.items()):
            if index % _GROUPS == group:
                connection.emit()

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self.clock, seconds)


def _cancel(result: _T, call: IDelayedCall) -> _T:
    if call.active():
        call.cancel()
    return result


def _stop(result: _T, ticker: LoopingCall) -> _T:
    if ticker.running:
        ticker.stop()
    return result
