"""What guarantors report of the work packages that they are given and share.

The primary guarantor is given a package by a builder, shares it with two secondary ones, and builds
a guarantee once they have signed (JIP-3, Guaranteeing events; Segment recovery events).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from random import Random

from .blockchain import exec_cost
from .chains import FAILURE, SUCCESS, Chain
from .requests import FAILURES, SEGMENT, SEGMENT_SHARD, delay
from .schedule import Event, Exchange
from .work import Package


def guarantee_as_primary(
    random: Random, package: Package, recipients: Sequence[bytes], assurers: Sequence[bytes]
) -> Exchange:
    """What the primary guarantor reports.

    ``recipients`` are sent the guarantee; ``assurers`` are asked for segments to import.
    """
    time = package.start
    chain = Chain("WorkPackageSubmission", report=package.report)
    submitted = {"builder": package.builder, "bundle": False}
    submission_id = yield Event(time, "WorkPackageSubmission", submitted, chain)
    submission = {"submission_id": submission_id}
    this = {"submission_or_share_id": submission_id}
    time += delay(random, 8_000)
    if package.fate == "duplicate":
        yield _duplicate(time, this, package, chain, FAILURE)
        return
    yield _received(time, this, package, chain)
    time += delay(random, 4_000)
    if package.fate == "unauthorized":
        reason = "not authorized: is-authorized ran out of gas"
        yield Event(time, "WorkPackageFailed", {**this, "reason": reason}, chain, FAILURE)
        return
    yield _authorized(random, time, this, chain)
    time += delay(random, 4_000)
    yield Event(time, "ExtrinsicDataReceived", this, chain)
    if package.imports:
        time = yield from _recover_segments(random, time, package, submission_id, assurers, chain)
    time += delay(random, 2_000)
    yield Event(time, "ImportsReceived", this, chain)
    for secondary in package.guarantors[1:]:
        time += delay(random, 2_000)
        shared = {**submission, "secondary": secondary}
        yield Event(time, "SharingWorkPackage", shared, chain)
        time += delay(random, 10_000)
        yield Event(time, "BundleSent", shared, chain)
    time += delay(random, 150_000)
    yield _refined(random, time, this, package, chain)
    time += delay(random, 20_000)
    yield Event(time, "WorkReportBuilt", {**this, "outline": package.report_outline}, chain)
    if package.fate == "stuck":
        return
    for secondary in package.guarantors[1:]:
        time += delay(random, 60_000)
        shared = {**submission, "secondary": secondary}
        if package.fate == "unshared" and secondary == package.guarantors[2]:
            reason = random.choice(FAILURES)
            yield Event(time, "WorkPackageSharingFailed", {**shared, "reason": reason}, chain)
        else:
            yield Event(time, "WorkReportSignatureReceived", shared, chain)
    time += delay(random, 2_000)
    built = {**submission, "outline": package.guarantee}
    built_id = yield Event(time, "GuaranteeBuilt", built, chain)
    for recipient in recipients:
        time += delay(random, 2_000)
        sending = {"built_id": built_id, "recipient": recipient}
        inner = Chain("SendingGuarantee", chain)
        sending_id = yield Event(time, "SendingGuarantee", sending, inner)
        time += delay(random, 15_000)
        if random.random() < 0.02:
            failure = {"sending_id": sending_id, "reason": random.choice(FAILURES)}
            yield Event(time, "GuaranteeSendFailed", failure, inner, FAILURE)
        else:
            yield Event(time, "GuaranteeSent", {"sending_id": sending_id}, inner, SUCCESS)
    time += delay(random, 1_000)
    yield Event(time, "GuaranteesDistributed", submission, chain, SUCCESS)


def guarantee_as_secondary(random: Random, package: Package, peer_id: bytes) -> Exchange:
    """What the secondary guarantor ``peer_id`` reports."""
    if package.fate in ("duplicate", "unauthorized"):
        return
    time = package.start + 60_000 + delay(random, 20_000)
    chain = Chain("WorkPackageBeingShared", report=package.report)
    shared = {"primary": package.guarantors[0]}
    share_id = yield Event(time, "WorkPackageBeingShared", shared, chain)
    this = {"submission_or_share_id": share_id}
    time += delay(random, 8_000)
    if package.fate == "known" and peer_id == package.guarantors[1]:
        yield _duplicate(time, this, package, chain, None)
    else:
        yield _received(time, this, package, chain)
        time += delay(random, 4_000)
        yield _authorized(random, time, this, chain)
        time += delay(random, 2_000)
        yield Event(time, "ExtrinsicDataReceived", this, chain)
        time += delay(random, 2_000)
        yield Event(time, "ImportsReceived", this, chain)
        if package.fate == "stuck":
            return
        time += delay(random, 150_000)
        if package.fate == "unshared" and peer_id == package.guarantors[2]:
            reason = "refinement took longer than 2000 ms"
            yield Event(time, "WorkPackageFailed", {**this, "reason": reason}, chain, FAILURE)
            return
        yield _refined(random, time, this, package, chain)
        time += delay(random, 20_000)
        yield Event(time, "WorkReportBuilt", {**this, "outline": package.report_outline}, chain)
    time += delay(random, 1_000)
    yield Event(time, "WorkReportSignatureSent", {"share_id": share_id}, chain, SUCCESS)


def _received(time: int, this: dict[str, int], package: Package, chain: Chain) -> Event:
    fields = {**this, "core": package.report.core, "outline": package.outline}
    return Event(time, "WorkPackageReceived", fields, chain)


def _duplicate(
    time: int, this: dict[str, int], package: Package, chain: Chain, ends: str | None
) -> Event:
    fields = {**this, "core": package.report.core, "hash": package.report.package}
    return Event(time, "DuplicateWorkPackage", fields, chain, ends)


def _authorized(random: Random, time: int, this: dict[str, int], chain: Chain) -> Event:
    cost = {
        "total": exec_cost(random, 1_000_000),
        "load_ns": random.randrange(20_000, 400_000),
        "host_call": exec_cost(random, 20_000),
    }
    return Event(time, "Authorized", {**this, "cost": cost}, chain)


def _refined(
    random: Random, time: int, this: dict[str, int], package: Package, chain: Chain
) -> Event:
    calls = ("lookup", "vm", "mem", "invoke", "other")
    costs = [
        {
            "total": exec_cost(random, item["refine_gas_limit"]),
            "load_ns": random.randrange(50_000, 900_000),
            "host_call": {call: exec_cost(random, 100_000) for call in calls},
        }
        for item in package.outline["work_items"]
    ]
    return Event(time, "Refined", {**this, "costs": costs}, chain)


def _recover_segments(
    random: Random,
    time: int,
    package: Package,
    submission_id: int,
    assurers: Sequence[bytes],
    chain: Chain,
) -> Generator[Event, int, int]:
    this = {"submission_id": submission_id}
    segments = list(range(package.imports))
    exporter = package.exporter
    time += delay(random, 2_000)
    mapped = {"work_package_hash": exporter.package, "segments_root": exporter.segments_root}
    yield Event(time, "WorkPackageHashMapped", {**this, **mapped}, chain)
    time += delay(random, 1_000)
    mapped = {"segments_root": exporter.segments_root, "erasure_root": exporter.erasure_root}
    yield Event(time, "SegmentsRootMapped", {**this, **mapped}, chain)
    if random.random() < 0.3:
        question = {**this, "prev_guarantor": assurers[0], "segments": segments}
        fails = random.choice((None, None, None, None, "early", "late"))
        time = yield from SEGMENT.ask(random, time + 500, question, fails=fails, parent=chain)
        if fails is None:
            return time
    for shard, assurer in enumerate(assurers):
        question = {
            **this,
            "assurer": assurer,
            "proofs": random.random() < 0.1,
            "shards": [(segment, shard) for segment in segments],
        }
        fails = "late" if random.random() < 0.05 else None
        asked = SEGMENT_SHARD.ask(random, time + 500, question, fails=fails, parent=chain)
        time = yield from asked
    trouble = random.choice((None, None, None, None, None, None, "reconstruction", "verification"))
    while True:
        time += delay(random, 2_000)
        kind = random.choice(("Trivial", "NonTrivial"))
        inner = Chain("ReconstructingSegments", chain)
        reconstructing = {**this, "segments": segments, "kind": kind}
        reconstructing_id = yield Event(time, "ReconstructingSegments", reconstructing, inner)
        reconstruction = {"reconstructing_id": reconstructing_id}
        time += delay(random, 8_000)
        if trouble == "reconstruction":
            failure = {**reconstruction, "reason": "too few shards"}
            yield Event(time, "SegmentReconstructionFailed", failure, inner, FAILURE)
            trouble = None
            continue
        yield Event(time, "SegmentsReconstructed", reconstruction, inner, SUCCESS)
        time += delay(random, 3_000)
        if trouble == "verification":
            reason = "segment proof does not verify"
            failed = {**this, "segments": segments[:1], "reason": reason}
            yield Event(time, "SegmentVerificationFailed", failed, chain)
            trouble = None
            continue
        yield Event(time, "SegmentsVerified", {**this, "segments": segments}, chain)
        return time
