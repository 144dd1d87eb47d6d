"""Where the work packages of a network are, and whose assurances come too late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from heapq import nsmallest
from typing import Any

from attrs import define, field

from telemetry_twisted.jip3.moment import COMMON_ERA, SLOT
from telemetry_twisted.network.anchors import WINDOW_SLOTS, Anchors, Assurance
from telemetry_twisted.network.journey import STAGES, Journey
from telemetry_twisted.network.journeys import JourneyKey, Journeys
from telemetry_twisted.network.reporters import OFF
from telemetry_twisted.network.slots import Slots
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.turns import pieces

STUCK = 30_000_000
"""A package under way of which nothing was heard for so long is stuck, in microseconds."""

MOST_STUCK, MOST_LATE = 5, 16
"""Stuck packages that are named, those stuck longest; nodes that are, those late most often."""

HASH_BYTES = 32
"""How long the key of a journey is whose package is known."""

SUBMITTED = "submitted"
"""The stage of a package that no guarantor says to have received."""


@define
class _Packages:
    ends: Counter[tuple[int, str]] = field(factory=Counter)
    stuck: list[tuple[int, bytes, Journey]] = field(factory=list)


def told_packages(
    journeys: Journeys, made: Mapping[str, dict[str, Any]], now: int
) -> Iterator[None]:
    """Add to what is ``made`` of each network its ``funnel`` and its ``stuck`` packages, in steps.

    The funnel is of packages under way and of those that ended in the last five minutes: how many
    have reached each stage, and how they ended.
    """
    found = {network: _Packages(journeys.ended.of(network)) for network in made}
    for piece in pieces([*journeys]):
        for key in piece:
            packages, journey = found.get(key[0]), journeys.get(key)
            if packages is not None and journey is not None and journey.closed is None:
                _look_at(packages, key, journey, now)
        yield
    seconds = journeys.ended.seconds(now)
    for network, summary in made.items():
        packages = found[network]
        summary["funnel"] = funnel(packages.ends)
        ended = sum(journeys.ended.of(network).values())
        summary["rates"]["packages_ended"] = round(ended / seconds, 2) if seconds else 0
        if packages.stuck:
            oldest = nsmallest(MOST_STUCK, packages.stuck, key=lambda each: each[0])
            summary["stuck"] = {
                "count": len(packages.stuck),
                "since": rfc3339(oldest[0][0] / 1_000_000),
                "examples": [_stuck(*each) for each in oldest],
            }
        yield


def _look_at(packages: _Packages, key: JourneyKey, journey: Journey, now: int) -> None:
    outcome = journey.outcome
    packages.ends[journey.stages, outcome or ""] += 1
    if outcome is None and now - journey.last >= STUCK:
        packages.stuck.append((journey.last, key[1], journey))


def _stuck(since: int, key: bytes, journey: Journey) -> dict[str, Any]:
    return {
        "hash": f"0x{key.hex()}" if len(key) == HASH_BYTES else None,
        "core": journey.core,
        "stage": stage_of(journey),
        "since": rfc3339(since / 1_000_000),
        "nodes": list(dict.fromkeys(part.node for part in journey.parts))[:3],
    }


def stage_of(journey: Journey) -> str:
    """How far a package has come."""
    names = list(STAGES.values())
    return names[journey.stages.bit_length() - 1] if journey.stages else SUBMITTED


def funnel(ends: Mapping[tuple[int, str], int]) -> dict[str, int]:
    """How many packages have reached each stage, and how many ended how.

    :param ends: how many there are of which stages (bits, as in a journey) and outcome.
    """
    told = {"packages": 0, **dict.fromkeys(STAGES.values(), 0)}
    told |= dict.fromkeys(("under_way", "failed", "duplicate", "shared", "unfinished"), 0)
    for (stages, outcome), times in ends.items():
        told["packages"] += times
        for place, stage in enumerate(STAGES.values()):
            if stages >> place & 1:
                told[stage] += times
        if outcome != "distributed":
            told[outcome or "under_way"] += times
    return told


def told_assurances(
    anchors: Anchors, slots: Slots, made: Mapping[str, dict[str, Any]]
) -> Iterator[None]:
    """Add to what is ``made`` of each network its assurances of the last two minutes, in steps."""
    total: Counter[str] = Counter()
    late: dict[str, Counter[str]] = {network: Counter() for network in made}
    for key in [*anchors]:
        anchor, slot = anchors.get(key), slots.slot_of.get(key)
        if key[0] not in late or anchor is None:
            continue
        total[key[0]] += len(anchor.senders)
        if slot is not None:
            end = COMMON_ERA + (slot + WINDOW_SLOTS) * SLOT
            senders = anchor.senders.items()
            late[key[0]].update(sender.hex() for sender, each in senders if _is_late(each, end))
        yield
    for network, summary in made.items():
        often = late[network].most_common(MOST_LATE)
        summary["assurances"] = {
            "heard_of": total[network],
            "late": sum(late[network].values()),
            "who": [{"node_id": node, "late": times} for node, times in often],
        }


def _is_late(assurance: Assurance, end: int) -> bool:
    began, offset = assurance.began, assurance.offset
    return began is not None and offset != OFF and began + offset >= end
