"""What is not as it should be in a network, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST_UNFINISHED, LEAST_CHAINS = 10.0, 100
"""The percentage of chains above which unfinished ones are a problem, and of how many at least."""


def problems_of(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is wrong by a summary of a network: each of a ``kind``, with a ``message``."""
    return [{"kind": kind, "message": message} for kind, message in _found(summary)]


def _found(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "fork" in summary:
        fork = summary["fork"]
        slots = f"{fork['slots']} slots in a row" if fork["slots"] > 1 else "one slot"
        yield "fork", f"nodes took different blocks for best in {slots}, since {fork['since_slot']}"
    if "stuck" in summary:
        stuck = summary["stuck"]
        yield (
            "stuck",
            f"{stuck['count']} work packages do not move, the first since {stuck['since']}",
        )
    late = summary["assurances"]["late"]
    if late:
        yield "assurances_late", f"{late} assurances of the last two minutes came too late"
    off = summary["clocks"]["off"]
    if off:
        yield "clock", f"the clocks of {off} nodes are off by more than a slot"
    nodes = summary["late_nodes"]
    if nodes["count"]:
        worst = nodes["worst"][0]
        yield (
            "late_nodes",
            f"{nodes['count']} nodes have blocks late or not at all, most of all "
            f"{worst['node_id']}: {worst['late']} of {worst['slots']} slots",
        )
    for slow in summary["slow_guarantors"][:1]:
        yield (
            "slow_guarantors",
            f"{len(summary['slow_guarantors'])} nodes are slow to refine work packages, most of "
            f"all {slow['node_id']}: {slow['refine_ms']:.0f} ms, where others take "
            f"{slow['median_ms']:.0f}",
        )
    for failing in summary["failing_servers"][:1]:
        asked = failing["failed"] + failing["served"]
        yield (
            "failing_servers",
            f"{len(summary['failing_servers'])} nodes fail those who ask them for something, most "
            f"of all {failing['node_id']}: {failing['failed']} of {asked} requests",
        )
    for broken in summary["broken_encoders"][:1]:
        yield (
            "broken_encoders",
            f"{len(summary['broken_encoders'])} nodes send messages that are wrong, most of all "
            f"{broken['node_id']}: {broken['faults']} within two minutes",
        )
    chains = summary["chains"]
    if chains["unfinished_percent"] > MOST_UNFINISHED and chains["ended"] >= LEAST_CHAINS:
        share = f"{chains['unfinished_percent']:.0f} %"
        yield "unfinished", f"{share} of what nodes began in the last five minutes came to no end"
