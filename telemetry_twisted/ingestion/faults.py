"""What nodes got wrong, from where it is found until the hub has been told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.jip3.codec import Fault, FaultTally
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link

SOON_SECONDS = 0.1
"""How long new faults wait for others before the hub is told, so that a flood is told in parts."""

SOON_MOST = 256
"""Faults told at once when they are new, at most; the others wait for the next time, or a report.

One is what a node got wrong in one way, however often. With :data:`SOON_SECONDS` it bounds what a
process has the hub do about faults in a second."""

MOST_OF_ENDED = 1000
"""Faults of nodes that are gone that wait, at most; with one more, all that wait are told."""

FAULTS = "faults of a node"
"""The place of mistakes in what is told of a node's faults (:class:`.InternalErrors`)."""


class FaultLedger(FaultTally):
    """The faults of one node, by kind, discriminator and reason.

    What a node can write here is bounded: kinds, discriminators and reasons are few, and the last
    offset and excerpt of each stand for all.
    """

    def __init__(self, node_id: str, reports: FaultReports) -> None:
        super().__init__()
        self._node_id = node_id
        self._reports = reports

    def __len__(self) -> int:
        return len(self._faults)

    def enter(self, faults: Iterable[Fault]) -> None:
        """Add ``faults``, of which the hub is told soon."""
        super().enter(faults)
        self._reports.entered(self)

    def report(self) -> list[dict[str, Any]]:
        """What was counted since the last call, in the form of a ``FAULTS`` record's items."""
        return [
            {
                "node_id": self._node_id,
                "kind": fault.kind,
                "discriminator": fault.discriminator,
                "reason": fault.reason,
                "count": fault.times,
                "offset": fault.offset,
                "excerpt": fault.excerpt.hex(),
            }
            for fault in self.take()
        ]


class FaultReports:
    """Tells the hub of faults soon after they were found.

    :param errors: where a mistake in what is told of one node is kept.
    """

    def __init__(self, link: Link, clock: IReactorTime, errors: InternalErrors) -> None:
        self._link = link
        self._clock = clock
        self._errors = errors
        self._waiting: dict[FaultLedger, None] = {}  # in order; those of ended nodes are few
        self._of_ended = 0
        self._next: IDelayedCall | None = None

    def entered(self, ledger: FaultLedger) -> None:
        """There is something in ``ledger``."""
        if len(ledger):
            self._waiting[ledger] = None
            if self._next is None:
                self._next = self._clock.callLater(SOON_SECONDS, self._send_some)

    def node_ended(self, ledger: FaultLedger) -> None:
        """The node of ``ledger`` is gone."""
        self._of_ended += len(ledger)
        if self._of_ended > MOST_OF_ENDED:
            self.send()

    def send(self) -> None:
        """Tell of all that waits."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._send([*self._waiting])

    def _send_some(self) -> None:
        self._next = None
        some: list[FaultLedger] = []
        size = 0
        for ledger in self._waiting:
            size += len(ledger)
            if some and size > SOON_MOST:
                self._next = self._clock.callLater(SOON_SECONDS, self._send_some)
                break
            some.append(ledger)
        self._send(some)

    def _send(self, ledgers: list[FaultLedger]) -> None:
        faults = []
        for ledger in ledgers:
            del self._waiting[ledger]
            with self._errors.kept_at(FAULTS):
                faults += ledger.report()
        if not self._waiting:
            self._of_ended = 0
        if faults:
            self._link.send(records.encode_json(records.FAULTS, faults))
