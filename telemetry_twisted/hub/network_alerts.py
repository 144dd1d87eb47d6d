"""What holds of networks, and of nodes in them, by what the store process has told last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from telemetry_twisted.timestamps import microseconds

from . import kinds
from .kinds import Found, Kind
from .situation import Situation, Thresholds

LEAST_CHAINS = 100
"""Of how many chains that ended the share of unfinished ones says something."""

HELD_SECONDS = 10.0
"""How long nodes have to differ from others, and packages to be stuck. When the server's own clock
is set, or it was busy for a while, they are heard of one after the other."""

Told = Mapping[str, Any]
"""The summary of a network (:class:`~telemetry_twisted.network.summary.summaries.Summaries`)."""

Differing = Iterator[tuple[str, float]]
"""Nodes of a network that differ from the others, and how far."""

Since = dict[Kind, dict[str, float]]
"""By kind of alert, since when it holds of each node or network, by the clock of durations."""


def look_at_networks(
    thresholds: Thresholds, situation: Situation, found: dict[Kind, Found], since: Since
) -> Iterator[None]:
    """Add to ``found`` what holds, in steps; what is not told of holds no more.

    :param since: kept from look to look.
    """
    fork = found[kinds.FORK] = Found(thresholds.fork)
    stuck = found[kinds.STUCK] = Found(thresholds.stuck)
    late = found[kinds.ASSURANCES_LATE] = Found(thresholds.assurances_late)
    unfinished = found[kinds.UNFINISHED] = Found(thresholds.unfinished)
    waiting: dict[str, float] = {}
    for network, summary in situation.networks.items():
        _fork(network, summary, fork)
        _stuck(network, summary, situation.time, stuck, waiting)
        if 0 < late.threshold <= summary["assurances"]["late"]:
            for each in summary["assurances"]["who"]:
                late.values[each["node_id"]] = each["late"]
        _unfinished(network, summary["chains"], unfinished)
        yield
    _hold(since.setdefault(kinds.STUCK, {}), waiting, situation.now, stuck)
    for kind, threshold, differing in (
        (kinds.CLOCK_OFF, thresholds.clock, _clocks_off),
        (kinds.LATE_NODE, thresholds.late_blocks, _late_nodes),
        (kinds.SLOW_GUARANTOR, thresholds.slow_guarantor, _slow_guarantors),
        (kinds.FAILING_SERVER, thresholds.failing_server, _failing_servers),
        (kinds.BROKEN_ENCODER, thresholds.broken_encoder, _broken_encoders),
    ):
        found[kind] = Found(threshold)
        now: dict[str, float] = {}
        if threshold:
            for summary in situation.networks.values():
                now.update(differing(summary, threshold))
        _hold(since.setdefault(kind, {}), now, situation.now, found[kind])
        yield


def _hold(
    since: dict[str, float], differing: Mapping[str, float], now: float, found: Found
) -> None:
    """Find what has been ``differing`` for :data:`HELD_SECONDS`."""
    for node_id in since.keys() - differing.keys():
        del since[node_id]
    for node_id, value in differing.items():
        if now - since.setdefault(node_id, now) >= HELD_SECONDS:
            found.values[node_id] = value


def _clocks_off(summary: Told, threshold: float) -> Differing:
    clocks = summary["clocks"]
    least = max(threshold, clocks["usual_spread_ms"])  # where all are read late, some are later
    for each in clocks["furthest"]:
        distance = abs(each["ahead_ms"] - clocks["all_ahead_ms"])
        if distance > least:
            yield each["node_id"], distance


def _late_nodes(summary: Told, threshold: float) -> Differing:
    for each in summary["late_nodes"]["worst"]:
        if each["late"] >= threshold:
            yield each["node_id"], each["late"]


def _slow_guarantors(summary: Told, threshold: float) -> Differing:
    for each in summary["slow_guarantors"]:
        if each["refine_ms"] > threshold * each["median_ms"]:
            yield each["node_id"], each["refine_ms"]


def _failing_servers(summary: Told, threshold: float) -> Differing:
    for each in summary["failing_servers"]:
        percent = 100 * each["failed"] / (each["failed"] + each["served"])
        if percent > threshold:
            yield each["node_id"], percent


def _broken_encoders(summary: Told, threshold: float) -> Differing:
    for each in summary["broken_encoders"]:
        if each["faults"] >= threshold:
            yield each["node_id"], each["faults"]


def look_for_silent(
    thresholds: Thresholds, situation: Situation, found: dict[Kind, Found]
) -> Iterator[None]:
    """Add to ``found`` the nodes that are connected and say nothing, in steps."""
    silent = found[kinds.NODE_SILENT] = Found(thresholds.silent)
    for node_id, seconds in situation.silent.items():
        if 0 < silent.threshold <= seconds:
            silent.values[node_id] = seconds
    yield


def _fork(network: str, summary: Told, found: Found) -> None:
    fork = summary.get("fork")
    if fork is not None and 0 < found.threshold < fork["slots"]:
        found.values[network] = fork["slots"]
        found.note = str(fork["since_slot"])


def _stuck(network: str, summary: Told, time: str, found: Found, waiting: dict[str, float]) -> None:
    stuck = summary.get("stuck")
    if stuck is not None:
        seconds = (microseconds(time) - microseconds(stuck["since"])) / 1_000_000
        if 0 < found.threshold <= seconds:
            waiting[network] = seconds
            first = stuck["examples"][0]
            named = first["hash"] or "one of unknown hash"
            found.note = f"{stuck['count']} do not move, {named} is {first['stage']}"


def _unfinished(network: str, chains: Mapping[str, Any], found: Found) -> None:
    percent = chains["unfinished_percent"]
    if 0 < found.threshold < percent and chains["ended"] >= LEAST_CHAINS:
        found.values[network] = percent
        roots = chains["by_root"]
        most = max(roots, key=lambda name: roots[name]["unfinished"])
        found.note = f"most of them of {most}"
