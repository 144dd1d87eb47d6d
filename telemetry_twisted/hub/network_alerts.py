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


CLOCK_SECONDS = 10.0
"""How long a clock has to be off."""


def look_at_networks(
    thresholds: Thresholds,
    situation: Situation,
    found: dict[Kind, Found],
    clocks_off: dict[str, float],
) -> Iterator[None]:
    """Add to ``found`` what holds, in steps; what is not told of holds no more.

    :param clocks_off: since when, by the clock of durations, each node's clock is off that is.
    """
    fork = found[kinds.FORK] = Found(thresholds.fork)
    stuck = found[kinds.STUCK] = Found(thresholds.stuck)
    late = found[kinds.ASSURANCES_LATE] = Found(thresholds.assurances_late)
    clock = found[kinds.CLOCK_OFF] = Found(thresholds.clock)
    unfinished = found[kinds.UNFINISHED] = Found(thresholds.unfinished)
    off: dict[str, int] = {}
    for network, summary in situation.networks.items():
        _fork(network, summary, fork)
        _stuck(network, summary, situation.time, stuck)
        if 0 < late.threshold <= summary["assurances"]["late"]:
            for each in summary["assurances"]["who"]:
                late.values[each["node_id"]] = each["late"]
        off.update(_clocks_off(summary["clocks"], clock.threshold))
        _unfinished(network, summary["chains"], unfinished)
        yield
    _hold(clocks_off, off, situation.now, clock)


def _clocks_off(clocks: Mapping[str, Any], threshold: float) -> Iterator[tuple[str, int]]:
    """The nodes whose clocks are off from those of the others, and how far, in milliseconds."""
    for each in clocks["furthest"]:
        distance = abs(each["ahead_ms"] - clocks["all_ahead_ms"])
        if 0 < threshold < distance:
            yield each["node_id"], distance


def _hold(since: dict[str, float], off: Mapping[str, int], now: float, clock: Found) -> None:
    """Find those that have been ``off`` for :data:`CLOCK_SECONDS`.

    When the server's own clock is set, nodes are heard one after the other by the new one.
    """
    for node_id in since.keys() - off.keys():
        del since[node_id]
    for node_id, distance in off.items():
        if now - since.setdefault(node_id, now) >= CLOCK_SECONDS:
            clock.values[node_id] = distance


def look_for_silent(
    thresholds: Thresholds, situation: Situation, found: dict[Kind, Found]
) -> Iterator[None]:
    """Add to ``found`` the nodes that are connected and say nothing, in steps."""
    silent = found[kinds.NODE_SILENT] = Found(thresholds.silent)
    for node_id, seconds in situation.silent.items():
        if 0 < silent.threshold <= seconds:
            silent.values[node_id] = seconds
    yield


def _fork(network: str, summary: Mapping[str, Any], found: Found) -> None:
    fork = summary.get("fork")
    if fork is not None and 0 < found.threshold < fork["slots"]:
        found.values[network] = fork["slots"]
        found.note = str(fork["since_slot"])


def _stuck(network: str, summary: Mapping[str, Any], time: str, found: Found) -> None:
    stuck = summary.get("stuck")
    if stuck is not None:
        seconds = (microseconds(time) - microseconds(stuck["since"])) / 1_000_000
        if 0 < found.threshold <= seconds:
            found.values[network] = seconds
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
