"""What the exchanges of prepared traffic are made of, and draw from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from itertools import count
from random import Random
from typing import NamedTuple

from attrs import define, field

from .requests import FAILURES, delay
from .schedule import Exchange
from .work import Report, guarantors_of


class Moment(NamedTuple):
    """When and where in a node's events some traffic takes place.

    ``time`` is its begin in microseconds, ``first_id`` the ID of its first event,
    ``assurance_id`` that of the node's last ``DistributingAssurance``; ``slot`` and ``epoch`` are
    the time's own; ``head_slot`` and ``head`` tell of the newest block before this slot, ``anchor``
    of the one that all nodes distribute assurances of by now: hashes, as little-endian numbers.
    ``rotation`` says how often guarantors had moved on when the reports of the slot before were
    made; nothing in the messages is in proportion to it.
    """

    time: int
    first_id: int
    assurance_id: int
    slot: int
    epoch: int
    head_slot: int
    head: int
    anchor: int
    rotation: int


@define
class Context:
    """What the exchanges of some traffic draw from; their times count from 0.

    ``peers`` are those that are met, by validator index; ``cores`` and ``validators`` the size of
    the network, ``version`` the protocol version.
    """

    random: Random
    moment: Moment
    seed: int
    peers: Sequence[tuple[int, bytes]]
    cores: int
    validators: int
    version: int
    _audits: Iterator[int] = field(factory=count, init=False)
    _peer_ids: Mapping[int, bytes] = field(init=False)

    @_peer_ids.default
    def _by_index(self) -> Mapping[int, bytes]:
        return dict(self.peers)

    def audit_id(self) -> int:
        """An ID for an audit; no event says that one begins, so it is that of an event before."""
        return self.moment.first_id + next(self._audits)

    def peer(self) -> bytes:
        """The ID of some peer."""
        return self.random.choice(self.peers)[1]

    def report(self) -> Report:
        """A report of the slot before."""
        return Report(self.seed, self.random.randrange(self.cores), self.moment.slot - 1)

    def guarantors(self, report: Report) -> list[int]:
        """The validators that made a report of the slot before, by index."""
        return sorted(guarantors_of(report.core, self.moment.rotation, self.validators))

    def guarantor(self, report: Report) -> bytes:
        """The ID of one of them that is met."""
        met = (self._peer_ids.get(index) for index in self.guarantors(report))
        return next(filter(None, met))

    def shard(self) -> int:
        """The index of some shard."""
        return self.random.randrange(self.validators)

    def head(self) -> bytes:
        """The hash of the newest block."""
        return self.moment.head.to_bytes(32, "little")

    def anchor(self) -> bytes:
        """The hash of the block that validators distribute assurances of."""
        return self.moment.anchor.to_bytes(32, "little")

    def reason(self) -> str:
        """A reason for which a stream fails."""
        return self.random.choice(FAILURES)

    def after(self, time: int, mean: int = 2_000) -> int:
        """A time after ``time``."""
        return time + delay(self.random, mean)


Begin = Callable[[Context, int, str], Exchange]
"""Begins an exchange of a context at a time, with one of the fates of its kind."""


class Kind(NamedTuple):
    """A kind of exchange: how many a validator of a full network has in a slot, and its fates.

    The first fate is the usual one.
    """

    per_slot: float
    begin: Begin
    fates: tuple[str, ...] = ("done",)


def peer_address(index: int) -> dict[str, object]:
    """Where validator ``index`` is reached."""
    return {"ipv6": str(IPv4Address("10.64.0.0") + index), "port": 30_000 + index % 1_000}
