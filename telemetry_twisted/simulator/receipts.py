"""Guarantees as they reach the validators that they are sent to.

What a primary guarantor reports of a package follows from the network and the package alone. So
whoever is sent its guarantee finds when that comes by going through what the guarantor reports.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from .chains import FAILURE, SUCCESS, Chain
from .guaranteeing import guarantee_as_primary
from .schedule import Event, Exchange
from .troubles import SLOW_GUARANTOR, slowed
from .work import Package

if TYPE_CHECKING:
    from .network import Network

_ASSURERS = 3
_NEXT_AUTHORS = (1, 2, 3)


class Sent(NamedTuple):
    """A guarantee that ``sender`` sends a validator, from ``began`` to ``ended`` in microseconds.

    ``outline`` is what is told of it, ``reason`` why sending it failed, None if it did not.
    """

    began: int
    ended: int
    sender: bytes
    outline: Mapping[str, Any]
    reason: str | None


def primary_of(network: Network, package: Package) -> Exchange:
    """What the primary guarantor of ``package`` reports, and whom it sends the guarantee to: the
    authors of the next blocks, who may put it in, and one of the others."""
    slot, core = package.report.slot, package.report.core
    own = network.index_of[package.guarantors[0]]
    random = Random(f"{network.seed}/guarantee/{slot}/{core}")

    def peer() -> bytes:
        index = random.randrange(network.validators - 1)
        return network.peer_ids[index + (index >= own)]

    authors = {network.blockchain.author(slot + ahead) for ahead in _NEXT_AUTHORS} - {own}
    recipients = [*(network.peer_ids[index] for index in sorted(authors)), peer()]
    assurers = [peer() for _ in range(_ASSURERS)]
    exchange = guarantee_as_primary(random, package, recipients, assurers)
    return slowed(exchange) if own in network.troubled(SLOW_GUARANTOR) else exchange


def sent_in(network: Network, slot: int) -> Mapping[int, Sequence[Sent]]:
    """The guarantees of the packages of ``slot`` that nodes send, by the index of the validator
    that they send each to."""
    found: defaultdict[int, list[Sent]] = defaultdict(list)
    for index in range(network.nodes):
        assignment = network.assignment(index, slot)
        package = assignment and assignment[1] and network.package(slot, assignment[0])
        if package:
            for recipient, sent in _sent_of(network, package):
                found[network.index_of[recipient]].append(sent)
    return found


def _sent_of(network: Network, package: Package) -> list[tuple[bytes, Sent]]:
    found: list[tuple[bytes, Sent]] = []
    sending: Event | None = None
    for event in _events(primary_of(network, package)):
        if event.name == "SendingGuarantee":
            sending = event
        elif event.name in ("GuaranteeSent", "GuaranteeSendFailed"):
            assert sending is not None
            sent = Sent(
                sending.time,
                event.time,
                package.guarantors[0],
                package.guarantee,
                event.fields.get("reason"),
            )
            found.append((sending.fields["recipient"], sent))
    return found


def _events(exchange: Exchange) -> list[Event]:
    """The events of an exchange, whatever their IDs are."""
    events = [next(exchange)]
    try:
        while True:
            events.append(exchange.send(0))
    except StopIteration:
        return events


def receive_sent(sent: Sent) -> Exchange:
    """What the validator reports that a guarantee was sent to."""
    third = (sent.ended - sent.began) // 3
    chain = Chain("ReceivingGuarantee")
    receiving_id = yield Event(
        sent.began + third, "ReceivingGuarantee", {"sender": sent.sender}, chain
    )
    receiving, time = {"receiving_id": receiving_id}, sent.ended - third
    if sent.reason is None:
        received = {**receiving, "outline": sent.outline}
        yield Event(time, "GuaranteeReceived", received, chain, SUCCESS)
    else:
        failed = {**receiving, "reason": sent.reason}
        yield Event(time, "GuaranteeReceiveFailed", failed, chain, FAILURE)
