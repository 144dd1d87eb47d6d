"""How a validator fetches and serves shards, bundles and segments, and audits (JIP-3 120-178)."""

from __future__ import annotations

from .context import Context
from .requests import BUNDLE, BUNDLE_SHARD, SEGMENT, SEGMENT_SHARD, SHARD, Asked
from .schedule import Event, Exchange


def fetch_shard(context: Context, time: int, fails: str | None) -> Asked:
    report = context.report()
    question = {
        "guarantor": context.guarantor(report),
        "erasure_root": report.erasure_root,
        "shard": context.shard(),
    }
    return SHARD.ask(context.random, time, question, fails=fails)


def serve_shard(context: Context, time: int, fails: str | None) -> Asked:
    details = {"erasure_root": context.report().erasure_root, "shard": context.shard()}
    return SHARD.serve(context.random, time, {"assurer": context.peer()}, details, fails=fails)


def audit(context: Context, time: int, fate: str) -> Exchange:
    """Recover the bundle to audit: whole from a guarantor, or from the shards of assurers."""
    random = context.random
    audit_id = context.audit_id()
    if fate == "whole":
        question = {"audit_id": audit_id, "guarantor": context.peer()}
        yield from BUNDLE.ask(random, time, question)
        return
    if fate in ("early", "late"):
        question = {"audit_id": audit_id, "guarantor": context.peer()}
        time = yield from BUNDLE.ask(random, time, question, fails=fate)
    for _ in range(3):
        question = {"audit_id": audit_id, "assurer": context.peer(), "shard": context.shard()}
        fails = "late" if fate == "late" and random.random() < 0.5 else None
        time = yield from BUNDLE_SHARD.ask(random, time, question, fails=fails)
    kind = random.choice(("NonTrivial", "Trivial"))
    yield Event(time, "ReconstructingBundle", {"audit_id": audit_id, "kind": kind})
    yield Event(context.after(time), "BundleReconstructed", {"audit_id": audit_id})


def serve_bundle_shard(context: Context, time: int, fails: str | None) -> Asked:
    details = {"erasure_root": context.report().erasure_root, "shard": context.shard()}
    return BUNDLE_SHARD.serve(
        context.random, time, {"auditor": context.peer()}, details, fails=fails
    )


def serve_bundle(context: Context, time: int, fails: str | None) -> Asked:
    details = {"erasure_root": context.report().erasure_root}
    return BUNDLE.serve(context.random, time, {"auditor": context.peer()}, details, fails=fails)


def serve_segment_shards(context: Context, time: int, fails: str | None) -> Asked:
    question = {"sender": context.peer(), "proofs": context.random.random() < 0.1}
    details = {"num": context.random.randrange(1, 12)}
    return SEGMENT_SHARD.serve(context.random, time, question, details, fails=fails)


def serve_segments(context: Context, time: int, fails: str | None) -> Asked:
    details = {"num": context.random.randrange(1, 12)}
    return SEGMENT.serve(context.random, time, {"guarantor": context.peer()}, details, fails=fails)
