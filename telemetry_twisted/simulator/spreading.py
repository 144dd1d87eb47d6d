"""What validators pass on to all others: assurances, guarantees, blocks, tickets."""

from __future__ import annotations

from .blockchain import digest
from .chains import FAILURE, SUCCESS, Chain
from .context import Context
from .schedule import Event, Exchange


def send_assurance(context: Context, time: int, fate: str) -> Exchange:
    sent = {"distributing_id": context.moment.assurance_id, "recipient": context.peer()}
    if fate == "done":
        yield Event(time, "AssuranceSent", sent)
    else:
        yield Event(time, "AssuranceSendFailed", {**sent, "reason": context.reason()})


def receive_assurance(context: Context, time: int, fate: str) -> Exchange:
    sender = {"sender": context.peer()}
    if fate == "done":
        yield Event(time, "AssuranceReceived", {**sender, "anchor": context.anchor()})
    else:
        yield Event(time, "AssuranceReceiveFailed", {**sender, "reason": context.reason()})


def receive_guarantee(context: Context, time: int, fate: str) -> Exchange:
    report = context.report()
    chain = Chain("ReceivingGuarantee")
    sender = {"sender": context.guarantor(report)}
    receiving_id = yield Event(time, "ReceivingGuarantee", sender, chain)
    receiving = {"receiving_id": receiving_id}
    time = context.after(time)
    if fate == "failed":
        failed = {**receiving, "reason": context.reason()}
        yield Event(time, "GuaranteeReceiveFailed", failed, chain, FAILURE)
        return
    outline = {
        "work_report_hash": report.hash,
        "slot": report.slot,
        "guarantors": context.guarantors(report),
    }
    received = {**receiving, "outline": outline}
    yield Event(time, "GuaranteeReceived", received, chain, SUCCESS)
    if fate != "done":
        yield Event(
            context.after(time, 4_000), "GuaranteeDiscarded", {"outline": outline, "reason": fate}
        )


def announce_block(context: Context, time: int, fate: str) -> Exchange:
    fields = {
        "peer": context.peer(),
        "announcer": fate,
        "slot": context.moment.head_slot,
        "hash": context.head(),
    }
    yield Event(time, "BlockAnnounced", fields)


def transfer_ticket(context: Context, time: int, fate: str) -> Exchange:
    random = context.random
    fields = {
        "peer": context.peer(),
        "sender": random.choice(("Local", "Remote", "Remote")),
        "from_proxy": random.random() < 0.8,
    }
    if fate == "failed":
        yield Event(time, "TicketTransferFailed", {**fields, "reason": context.reason()})
        return
    ticket = digest(context.seed, "ticket", random.randrange(2**16))
    epoch = {"epoch": context.moment.epoch + 1, "attempt": random.randrange(2), "id": ticket}
    yield Event(time, "TicketTransferred", {**fields, **epoch})
