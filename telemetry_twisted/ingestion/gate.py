"""Pressure: holds nodes back while the link to the hub takes no more."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


class Holdable(Protocol):
    """A node connection as the gate sees it, or a pool of them."""

    def hold(self) -> None:
        """Stop reading."""

    def go_on(self) -> None:
        """Consume what is held and read on."""


@implementer(IPushProducer)
class Gate:
    """The producer of the link to the hub, on behalf of all nodes of this process.

    A closed gate stops the pool as a whole. A node that its transport reads is stopped only when it
    has something to say: pausing a thousand quiet connections and resuming them at every swing of
    the link would cost more than their events. Each connection holds at most one read meanwhile,
    and TCP holds the node.

    :param pool: what reads most nodes, or None where each is read by its transport.
    """

    def __init__(self, pool: Holdable | None = None) -> None:
        self.closed = False
        self._pool = pool
        self._held: list[Holdable] = []

    def hold(self, node: Holdable) -> None:
        """Keep ``node``, which has just read something, from reading until the gate opens."""
        node.hold()
        self._held.append(node)

    def pauseProducing(self) -> None:
        self.closed = True
        if self._pool is not None:
            self._pool.hold()

    def resumeProducing(self) -> None:
        self.closed = False
        held, self._held = self._held, []
        for at, node in enumerate(held):
            if self.closed:
                self._held += held[at:]
                return
            node.go_on()
        if self._pool is not None:
            self._pool.go_on()

    def stopProducing(self) -> None:
        """The link is gone, and this process ends with it."""
        self.pauseProducing()

    def open_for_good(self) -> None:
        """Let all held nodes go on whatever the link says: there is nothing more to read."""
        held, self._held = self._held, []
        for node in held:
            node.go_on()
        self.closed = False
