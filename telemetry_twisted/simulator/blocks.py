"""What nodes report of blocks: authored, announced, fetched, imported, finalized.

JIP-3, Status events, Block authoring/importing events and Block distribution events.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .blockchain import Block
from .chains import FAILURE, SUCCESS, Chain
from .requests import BLOCK, delay
from .schedule import Event, Exchange


def author(random: Random, time: int, block: Block, peers: Sequence[bytes]) -> Exchange:
    """Author ``block`` from ``time`` on, announce it to ``peers`` and make it the best one."""
    chain = Chain("Authoring", block=block.hash)
    begins = {"slot": block.slot, "parent": block.parent}
    authoring_id = yield Event(time, "Authoring", begins, chain)
    authoring = {"authoring_id": authoring_id}
    time = max(time + 1, block.ready)
    yield Event(time, "Authored", {**authoring, "outline": block.outline}, chain)
    for peer in peers:
        time += delay(random, 500)
        yield _announced(time, block, peer, "Local")
    time += delay(random, 60_000)
    yield _executed(time, authoring_id, block, chain)
    yield _best(time + delay(random, 500), block)


def fail_to_author(random: Random, time: int, slot: int, parent: bytes) -> Exchange:
    """Begin to author the block of ``slot`` and fail."""
    chain = Chain("Authoring")
    authoring_id = yield Event(time, "Authoring", {"slot": slot, "parent": parent}, chain)
    reason = "no slot left to author in: the parent was executed too late"
    time += delay(random, 200_000)
    failed = {"authoring_id": authoring_id, "reason": reason}
    yield Event(time, "AuthoringFailed", failed, chain, FAILURE)


def import_block(
    random: Random,
    time: int,
    took: int,
    block: Block,
    source: bytes,
    peers: Sequence[bytes],
    trouble: str | None = None,
    is_best: bool = True,
) -> Exchange:
    """Hear of ``block`` from ``source`` at ``time``, have it executed ``took`` microseconds later.

    It is the best one then if it ``is_best``. It is announced to ``peers`` in turn. With
    ``trouble`` (``request``, ``verification``, ``execution``) the first attempt fails there and a
    second one succeeds.
    """
    done = time + took
    yield _announced(time, block, source, "Remote")
    question = {
        "recipient": source,
        "hash": block.hash,
        "direction": "Descending",
        "max_blocks": 1,
    }
    answer = {"slot": block.slot, "outline": block.outline, "last": True}
    mean = took // 40
    if trouble == "request":
        time = yield from BLOCK.ask(random, time, question, fails="late", mean=mean)
        trouble = None
    time = yield from BLOCK.ask(random, time, question, answer=answer, mean=mean)
    for attempt in (trouble, None) if trouble else (None,):
        step = (done - time) // (8 if attempt else 4)
        time += step
        importing = {"slot": block.slot, "outline": block.outline}
        chain = Chain("Importing", block=block.hash)
        importing_id = yield Event(time, "Importing", importing, chain)
        time += step
        if attempt == "verification":
            failure = {"importing_id": importing_id, "reason": "parent state is not available yet"}
            yield Event(time, "BlockVerificationFailed", failure, chain, FAILURE)
            continue
        yield Event(time, "BlockVerified", {"importing_id": importing_id}, chain)
        time += step
        if attempt == "execution":
            failure = {"authoring_or_importing_id": importing_id, "reason": "service ID collision"}
            yield Event(time, "BlockExecutionFailed", failure, chain, FAILURE)
            continue
        yield _executed(done, importing_id, block, chain)
    time = done
    if is_best:
        yield _best(time, block)
    for peer in peers:
        time += delay(random, 500)
        yield _announced(time, block, peer, "Local")


def serve_block(random: Random, time: int, block: Block, peer: bytes) -> Exchange:
    """Be asked for ``block`` by ``peer``."""
    details = {"hash": block.hash, "direction": "Descending", "max_blocks": 1}
    answer = {"slot": block.slot, "outline": block.outline, "last": True}
    yield from BLOCK.serve(random, time, {"sender": peer}, details, answer=answer)


def finalize(time: int, block: Block) -> Exchange:
    """Learn that ``block`` is finalized."""
    yield Event(time, "FinalizedBlockChanged", {"slot": block.slot, "hash": block.hash})


def _announced(time: int, block: Block, peer: bytes, announcer: str) -> Event:
    fields = {"peer": peer, "announcer": announcer, "slot": block.slot, "hash": block.hash}
    return Event(time, "BlockAnnounced", fields)


def _executed(time: int, block_id: int, block: Block, chain: Chain) -> Event:
    fields = {"authoring_or_importing_id": block_id, "accumulate_costs": block.accumulated}
    return Event(time, "BlockExecuted", fields, chain, SUCCESS)


def _best(time: int, block: Block) -> Event:
    return Event(time, "BestBlockChanged", {"slot": block.slot, "hash": block.hash})
