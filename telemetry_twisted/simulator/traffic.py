"""The traffic between validators that fills a node's time: most of it availability.

:data:`KINDS` says how much there is of each kind of exchange. The shares follow a full network at
work, where in each slot a validator swaps assurances with all others and fetches its shards of the
report of every core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address
from itertools import count
from random import Random
from typing import NamedTuple

from attrs import define, field

from .agenda import Event, Exchange
from .chain import digest
from .requests import (
    BUNDLE,
    BUNDLE_SHARD,
    FAILURES,
    PREIMAGE,
    SEGMENT,
    SEGMENT_SHARD,
    SHARD,
    Asked,
    delay,
)
from .work import Report


class Moment(NamedTuple):
    """When and where in a node's events some traffic takes place.

    ``time`` is its begin in microseconds, ``first_id`` the ID of its first event,
    ``assurance_id`` that of the node's last ``DistributingAssurance``; ``slot`` and ``epoch`` are
    the time's own; ``head_slot`` and ``head`` tell of the newest block before this slot, its hash
    as a little-endian number.
    """

    time: int
    first_id: int
    assurance_id: int
    slot: int
    epoch: int
    head_slot: int
    head: int


@define
class Scene:
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

    def audit_id(self) -> int:
        """An ID for an audit; no event says that one begins, so it is that of an event before."""
        return self.moment.first_id + next(self._audits)

    def peer(self) -> bytes:
        """The ID of some peer."""
        return self.random.choice(self.peers)[1]

    def report(self) -> Report:
        """A report of the slot before."""
        return Report(self.seed, self.random.randrange(self.cores), self.moment.slot - 1)

    def shard(self) -> int:
        """The index of some shard."""
        return self.random.randrange(self.validators)

    def head(self) -> bytes:
        """The hash of the newest block."""
        return self.moment.head.to_bytes(32, "little")

    def reason(self) -> str:
        """A reason for which a stream fails."""
        return self.random.choice(FAILURES)

    def after(self, time: int, mean: int = 2_000) -> int:
        """A time after ``time``."""
        return time + delay(self.random, mean)


Begin = Callable[[Scene, int, str], Exchange]
"""Begins an exchange of a scene at a time, with one of the fates of its kind."""


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


def _request(ask: Callable[[Scene, int, str | None], Asked]) -> Begin:
    def begin(scene: Scene, time: int, fate: str) -> Exchange:
        yield from ask(scene, time, None if fate == "done" else fate)

    return begin


_REQUEST_FATES = ("done", "early", "late")


def _fetch_shard(scene: Scene, time: int, fails: str | None) -> Asked:
    question = {
        "guarantor": scene.peer(),
        "erasure_root": scene.report().erasure_root,
        "shard": scene.shard(),
    }
    return SHARD.ask(scene.random, time, question, fails=fails)


def _serve_shard(scene: Scene, time: int, fails: str | None) -> Asked:
    details = {"erasure_root": scene.report().erasure_root, "shard": scene.shard()}
    return SHARD.serve(scene.random, time, {"assurer": scene.peer()}, details, fails=fails)


def _send_assurance(scene: Scene, time: int, fate: str) -> Exchange:
    sent = {"distributing_id": scene.moment.assurance_id, "recipient": scene.peer()}
    if fate == "done":
        yield Event(time, "AssuranceSent", sent)
    else:
        yield Event(time, "AssuranceSendFailed", {**sent, "reason": scene.reason()})


def _receive_assurance(scene: Scene, time: int, fate: str) -> Exchange:
    sender = {"sender": scene.peer()}
    if fate == "done":
        yield Event(time, "AssuranceReceived", {**sender, "anchor": scene.head()})
    else:
        yield Event(time, "AssuranceReceiveFailed", {**sender, "reason": scene.reason()})


def _receive_guarantee(scene: Scene, time: int, fate: str) -> Exchange:
    receiving_id = yield Event(time, "ReceivingGuarantee", {"sender": scene.peer()})
    receiving = {"receiving_id": receiving_id}
    time = scene.after(time)
    if fate == "failed":
        yield Event(time, "GuaranteeReceiveFailed", {**receiving, "reason": scene.reason()})
        return
    report = scene.report()
    first = 3 * scene.random.randrange(max(1, scene.validators // 3 - 1))
    outline = {
        "work_report_hash": report.hash,
        "slot": report.slot,
        "guarantors": [first, first + 1, first + 2],
    }
    yield Event(time, "GuaranteeReceived", {**receiving, "outline": outline})
    if fate != "done":
        yield Event(
            scene.after(time, 4_000), "GuaranteeDiscarded", {"outline": outline, "reason": fate}
        )


def _announce_block(scene: Scene, time: int, fate: str) -> Exchange:
    fields = {
        "peer": scene.peer(),
        "announcer": fate,
        "slot": scene.moment.head_slot,
        "hash": scene.head(),
    }
    yield Event(time, "BlockAnnounced", fields)


def _transfer_ticket(scene: Scene, time: int, fate: str) -> Exchange:
    random = scene.random
    fields = {
        "peer": scene.peer(),
        "sender": random.choice(("Local", "Remote", "Remote")),
        "from_proxy": random.random() < 0.8,
    }
    if fate == "failed":
        yield Event(time, "TicketTransferFailed", {**fields, "reason": scene.reason()})
        return
    ticket = digest(scene.seed, "ticket", random.randrange(2**16))
    epoch = {"epoch": scene.moment.epoch + 1, "attempt": random.randrange(2), "id": ticket}
    yield Event(time, "TicketTransferred", {**fields, **epoch})


def _audit(scene: Scene, time: int, fate: str) -> Exchange:
    """Recover the bundle to audit: whole from a guarantor, or from the shards of assurers."""
    random = scene.random
    audit_id = scene.audit_id()
    if fate == "whole":
        question = {"audit_id": audit_id, "guarantor": scene.peer()}
        yield from BUNDLE.ask(random, time, question)
        return
    if fate in ("early", "late"):
        question = {"audit_id": audit_id, "guarantor": scene.peer()}
        time = yield from BUNDLE.ask(random, time, question, fails=fate)
    for _ in range(3):
        question = {"audit_id": audit_id, "assurer": scene.peer(), "shard": scene.shard()}
        fails = "late" if fate == "late" and random.random() < 0.5 else None
        time = yield from BUNDLE_SHARD.ask(random, time, question, fails=fails)
    kind = random.choice(("NonTrivial", "Trivial"))
    yield Event(time, "ReconstructingBundle", {"audit_id": audit_id, "kind": kind})
    yield Event(scene.after(time), "BundleReconstructed", {"audit_id": audit_id})


def _serve_bundle_shard(scene: Scene, time: int, fails: str | None) -> Asked:
    details = {"erasure_root": scene.report().erasure_root, "shard": scene.shard()}
    return BUNDLE_SHARD.serve(scene.random, time, {"auditor": scene.peer()}, details, fails=fails)


def _serve_bundle(scene: Scene, time: int, fails: str | None) -> Asked:
    details = {"erasure_root": scene.report().erasure_root}
    return BUNDLE.serve(scene.random, time, {"auditor": scene.peer()}, details, fails=fails)


def _serve_segment_shards(scene: Scene, time: int, fails: str | None) -> Asked:
    question = {"sender": scene.peer(), "proofs": scene.random.random() < 0.1}
    details = {"num": scene.random.randrange(1, 12)}
    return SEGMENT_SHARD.serve(scene.random, time, question, details, fails=fails)


def _serve_segments(scene: Scene, time: int, fails: str | None) -> Asked:
    details = {"num": scene.random.randrange(1, 12)}
    return SEGMENT.serve(scene.random, time, {"guarantor": scene.peer()}, details, fails=fails)


def _preimage(scene: Scene) -> dict[str, object]:
    number = scene.random.randrange(256)
    length = {"length": 64 + 37 * number}
    return {"service": 1 + number, "hash": digest(scene.seed, "preimage", number), **length}


def _announce_preimage(scene: Scene, time: int, fate: str) -> Exchange:
    peer = {"peer": scene.peer(), "announcer": scene.random.choice(("Local", "Remote"))}
    preimage = _preimage(scene)
    if fate == "failed":
        yield Event(time, "PreimageAnnouncementFailed", {**peer, "reason": scene.reason()})
        return
    yield Event(time, "PreimageAnnounced", {**peer, **preimage})
    if fate != "done":
        forgotten = {**preimage, "reason": fate}
        yield Event(scene.after(time, 4_000), "AnnouncedPreimageForgotten", forgotten)


def _fetch_preimage(scene: Scene, time: int, fate: str) -> Exchange:
    preimage = _preimage(scene)
    hashed, length = {"hash": preimage["hash"]}, {"length": preimage["length"]}
    time = yield from PREIMAGE.ask(
        scene.random,
        time,
        {"recipient": scene.peer(), **hashed},
        answer=length,
        fails=fate if fate in ("early", "late") else None,
    )
    if fate in ("ProvidedOnChain", "NotRequestedOnChain", "TooManyPreimages", "Other"):
        discarded = {**hashed, **length, "reason": fate}
        yield Event(scene.after(time, 4_000), "PreimageDiscarded", discarded)


def _serve_preimage(scene: Scene, time: int, fails: str | None) -> Asked:
    preimage = _preimage(scene)
    return PREIMAGE.serve(
        scene.random,
        time,
        {"sender": scene.peer()},
        {"hash": preimage["hash"]},
        answer={"length": preimage["length"]},
        fails=fails,
    )


def _connect(scene: Scene, time: int, fate: str) -> Exchange:
    """Connect to a peer, or be connected to; open a block announcement stream and lose it all."""
    index, peer_id = scene.random.choice(scene.peers)
    outwards = fate.startswith("out")
    address = peer_address(index)
    if outwards:
        details = {"peer_id": peer_id, "peer_address": address}
        connecting = Event(time, "ConnectingOut", {"to": details})
    else:
        connecting = Event(time, "ConnectingIn", {"from": address})
    connecting_id = {"connecting_id": (yield connecting)}
    time = scene.after(time)
    if fate.endswith("failed"):
        name = "ConnectOutFailed" if outwards else "ConnectInFailed"
        reason = scene.random.choice(("handshake failed", "timed out", "certificate is not valid"))
        yield Event(time, name, {**connecting_id, "reason": reason})
        return
    if outwards:
        yield Event(time, "ConnectedOut", connecting_id)
    else:
        yield Event(time, "ConnectedIn", {**connecting_id, "peer_id": peer_id})
    side = "Local" if outwards else "Remote"
    time = scene.after(time)
    opened = {"peer": peer_id, "opener": side}
    opened_id = yield Event(time, "BlockAnnouncementStreamOpened", opened)
    stream = {"opened_id": opened_id} if scene.version >= 1 else {"peer": peer_id}
    closed = {**stream, "closer": side, "reason": scene.reason()}
    time = scene.after(time)
    yield Event(time, "BlockAnnouncementStreamClosed", closed)
    terminator = scene.random.choice((None, "Local", "Remote"))
    lost = {"peer": peer_id, "terminator": terminator, "reason": scene.reason()}
    yield Event(scene.after(time, 16_000), "Disconnected", lost)


def _refuse(scene: Scene, time: int, _fate: str) -> Exchange:
    index, _ = scene.random.choice(scene.peers)
    yield Event(time, "ConnectionRefused", {"from": peer_address(index)})


def _misbehave(scene: Scene, time: int, fate: str) -> Exchange:
    yield Event(time, "PeerMisbehaved", {"peer": scene.peer(), "reason": fate})


KINDS: tuple[Kind, ...] = (
    Kind(1_000, _send_assurance, ("done", "failed")),
    Kind(1_000, _receive_assurance, ("done", "failed")),
    Kind(330, _request(_fetch_shard), _REQUEST_FATES),
    Kind(300, _request(_serve_shard), _REQUEST_FATES),
    Kind(
        60,
        _receive_guarantee,
        (
            "done",
            "failed",
            "PackageReportedOnChain",
            "ReplacedByBetter",
            "CannotReportOnChain",
            "TooManyGuarantees",
            "Other",
        ),
    ),
    Kind(40, _announce_block, ("Remote", "Local")),
    Kind(20, _transfer_ticket, ("done", "failed")),
    Kind(4, _audit, ("shards", "whole", "early", "late")),
    Kind(10, _request(_serve_bundle_shard), _REQUEST_FATES),
    Kind(3, _request(_serve_bundle), _REQUEST_FATES),
    Kind(10, _request(_serve_segment_shards), _REQUEST_FATES),
    Kind(3, _request(_serve_segments), _REQUEST_FATES),
    Kind(
        3,
        _announce_preimage,
        (
            "done",
            "failed",
            "ProvidedOnChain",
            "NotRequestedOnChain",
            "FailedToAcquire",
            "TooManyAnnounced",
            "BadLength",
            "Other",
        ),
    ),
    Kind(
        2,
        _fetch_preimage,
        (
            "done",
            "early",
            "late",
            "ProvidedOnChain",
            "NotRequestedOnChain",
            "TooManyPreimages",
            "Other",
        ),
    ),
    Kind(2, _request(_serve_preimage), _REQUEST_FATES),
    Kind(1, _connect, ("out", "in", "out failed", "in failed")),
    Kind(1, _refuse),
    Kind(1, _misbehave, ("invalid signature", "malformed message", "invalid ticket proof")),
)
"""The traffic of a validator, most of it assurances (JIP-3 126-131) and shards (120-125)."""
