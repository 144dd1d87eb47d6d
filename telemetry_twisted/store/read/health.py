"""How a network fares: one verdict, and the reasons for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from telemetry_twisted.jip3.moment import SLOT
from telemetry_twisted.store.schema.network_tables import ANCHORS, JOURNEYS, NETWORK_SLOTS

from .history import History
from .networks import Network
from .shapes import Answer, Hash, Time, micros
from .slots import Slot, slot_at, slots
from .work_packages import STUCK_SECONDS

LOOKED_AT = 50
"""Slots that are looked at: five minutes, but for the newest."""

UNDER_WAY = 2
"""The newest slots, whose blocks may still be on their way."""

LATE_MS = SLOT / 1000
"""A block that takes a slot to reach nodes is late."""

MOST_PACKAGES = 5000
"""Work packages that are looked at, the newest."""

TOLD_NOW = frozenset(
    (
        "late_nodes",
        "slow_guarantors",
        "failing_servers",
        "broken_encoders",
        "assurances_late",
        "unfinished",
    )
)
"""The kinds of problems that only what is in memory tells of."""

Verdict = Literal["healthy", "degraded", "failing", "unknown"]
Severity = Literal["notice", "degraded", "failing"]


class Reason(Answer):
    """Something that is not as it should be: its ``value``, and the ``threshold`` it has passed."""

    kind: str
    severity: Severity
    message: str
    value: float
    threshold: float
    slots: Annotated[list[int], Meta(description="Slots in which it was seen, ten at most.")]


class Health(Answer):
    """The verdict on a network, over the last five minutes.

    It is the worst of its reasons: ``healthy`` where there is none but notices, ``unknown`` where
    nothing was heard of the network in that time.
    """

    genesis: Hash | None
    time: Time
    verdict: Verdict
    reasons: list[Reason]
    newest_slot: int | None
    newest_finalized: int | None
    slots_looked_at: int
    nodes_reporting: Annotated[
        int, Meta(description="The most nodes that reported the same slot as their best.")
    ]


async def health(history: History, network: Network) -> Health:
    """How a network fares now."""
    now = history.now()
    seconds = (LOOKED_AT + UNDER_WAY) * SLOT / 1_000_000
    told = await slots(history, network, now - seconds, now, 0, LOOKED_AT + UNDER_WAY)
    newest = max((slot.slot for slot in told.slots if not slot.empty), default=None)
    until = slot_at(now) - UNDER_WAY
    over = [slot for slot in told.slots if slot.slot <= until]
    # History that has just begun says nothing of the slots before.
    first = await _first_slot(history, network)
    over = [slot for slot in over if first is not None and slot.slot >= first]
    finalized = max((slot.slot for slot in told.slots if "finalized" in slot.stages), default=None)
    reasons = [
        *_of_slots(over),
        *_of_finality(newest, finalized, over),
        *await _of_packages(history, network, now - seconds),
        *await _of_assurances(history, network, now - seconds),
    ]
    order = ("failing", "degraded", "notice")
    reasons.sort(key=lambda reason: order.index(reason.severity))
    worst = reasons[0].severity if reasons else "notice"
    verdict: Verdict = "healthy" if worst == "notice" else worst
    return Health(
        genesis=network.genesis,
        time=micros(int(now * 1_000_000)),
        verdict="unknown" if newest is None else verdict,
        reasons=reasons,
        newest_slot=newest,
        newest_finalized=finalized,
        slots_looked_at=len(over),
        nodes_reporting=max(
            (slot.stages["best"].nodes for slot in over if "best" in slot.stages), default=0
        ),
    )


def with_problems(health: Health, problems: Iterable[Mapping[str, str]]) -> Health:
    """``health`` with what is told of the network now, of what it does not say itself.

    :param problems: as a summary of the network has them.
    """
    found = [
        Reason(problem["kind"], "degraded", problem["message"], 1, 0, [])
        for problem in problems
        if problem["kind"] in TOLD_NOW
    ]
    if not found or health.verdict == "unknown":
        return health
    verdict: Verdict = "degraded" if health.verdict == "healthy" else health.verdict
    return msgspec.structs.replace(health, verdict=verdict, reasons=[*health.reasons, *found])


async def _first_slot(history: History, network: Network) -> int | None:
    ((first,),) = await history.query(
        f"SELECT min(slot) FROM {NETWORK_SLOTS.name} WHERE network = ?", (network.number,)
    )
    return None if first is None else int(first)


def _of_slots(over: Sequence[Slot]) -> Iterator[Reason]:
    if not over:
        return
    empty = [slot.slot for slot in over if slot.empty]
    share = len(empty) / len(over)
    if share > 0.1:
        severity: Severity = "failing" if share > 0.5 else "degraded"
        message = f"{len(empty)} of {len(over)} slots have no block that any node reported"
        yield Reason("empty_slots", severity, message, share, 0.1, empty[:10])
    elif empty:
        message = f"{len(empty)} of {len(over)} slots have no block that any node reported"
        yield Reason("empty_slots", "notice", message, share, 0, empty[:10])
    forks = [slot.slot for slot in over if slot.fork]
    if forks:
        severity = "degraded" if len(forks) / len(over) > 0.1 else "notice"
        message = f"nodes took different blocks for best in {len(forks)} of {len(over)} slots"
        yield Reason("forks", severity, message, len(forks) / len(over), 0.1, forks[:10])
    late = [
        slot.slot
        for slot in over
        if (best := slot.stages.get("best")) is not None
        and best.corrected is not None
        and best.corrected.p95_ms > LATE_MS
    ]
    if len(late) / len(over) > 0.1:
        message = f"in {len(late)} of {len(over)} slots 95 % of nodes had the block after a slot"
        yield Reason("slow_blocks", "degraded", message, len(late) / len(over), 0.1, late[:10])
    yield from failed_blocks(over)
    off = [
        slot for slot in over if (best := slot.stages.get("best")) is not None and best.off_clock
    ]
    if off:
        most = max(slot.stages["best"].off_clock for slot in off)
        message = f"the clocks of {most} nodes are off by more than a slot"
        yield Reason("off_clock", "notice", message, most, 0, [slot.slot for slot in off][:10])


def failed_blocks(over: Sequence[Slot]) -> Iterator[Reason]:
    """How many of the blocks that nodes began to import or author failed on them.

    Of a thousand nodes some fail now and then, so it is not slots that count.
    """
    failed = sum(sum(slot.failures.values()) for slot in over)
    begun = sum(
        slot.authors_tried + (slot.stages["importing"].nodes if "importing" in slot.stages else 0)
        for slot in over
    )
    share = failed / max(begun, failed, 1)
    if share > 0.1:
        severity: Severity = "failing" if share > 0.5 else "degraded"
        worst = sorted(over, key=lambda slot: -sum(slot.failures.values()))
        message = f"{failed} of {begun} blocks that nodes began to import or author failed"
        slots = [slot.slot for slot in worst if slot.failures]
        yield Reason("failed_blocks", severity, message, share, 0.1, slots[:10])


def _of_finality(
    newest: int | None, finalized: int | None, over: Sequence[Slot]
) -> Iterator[Reason]:
    if newest is None or len(over) <= 10:
        return
    # Where none of these is finalized, it is as far behind as there are.
    lag = newest - (finalized if finalized is not None else over[-1].slot)
    if lag > 10:
        severity: Severity = "failing" if finalized is None else "degraded"
        message = f"what is finalized is {lag} slots behind the newest block, or more"
        yield Reason("finality", severity, message, lag, 10, [])


async def _of_packages(history: History, network: Network, since: float) -> list[Reason]:
    stuck_since = int((history.now() - STUCK_SECONDS) * 1_000_000)
    rows = await history.query(
        "SELECT outcome, stuck, count(*) FROM (SELECT outcome, CASE WHEN closed IS NULL "
        f"AND outcome IS NULL AND last < ? THEN 1 ELSE 0 END AS stuck FROM {JOURNEYS.name} "
        "WHERE network = ? AND first >= ? AND coalesce(outcome, '') <> 'named' "
        "ORDER BY first DESC LIMIT ?) AS newest GROUP BY 1, 2",
        (stuck_since, network.number, int(since * 1_000_000), MOST_PACKAGES),
    )
    total = sum(number for *_, number in rows)
    failed = sum(number for outcome, _, number in rows if outcome in ("failed", "unfinished"))
    stuck = sum(number for _, is_stuck, number in rows if is_stuck)
    reasons = []
    for kind, number, text in (
        ("failed_work_packages", failed, "failed"),
        ("stuck_work_packages", stuck, f"have not moved for {STUCK_SECONDS} s"),
    ):
        if total and number / total > 0.1:
            severity: Severity = "failing" if number / total > 0.5 else "degraded"
            message = f"{number} of {total} work packages {text}"
            reasons.append(Reason(kind, severity, message, number / total, 0.1, []))
    return reasons


async def _of_assurances(history: History, network: Network, since: float) -> list[Reason]:
    rows: Sequence[tuple[Any, ...]] = await history.query(
        f"{ANCHORS.select('senders', 'began')} "
        "WHERE network = ? AND first >= ? AND closed IS NOT NULL",
        (network.number, int(since * 1_000_000)),
    )
    senders = sum(row[0] for row in rows)
    most = max((row[0] for row in rows), default=0) * len(rows)
    if most and senders / most < 0.9:
        share = 1 - senders / most
        message = f"{share:.0%} of assurances are missing beside the slot that had most"
        return [Reason("missing_assurances", "degraded", message, share, 0.1, [])]
    return []
