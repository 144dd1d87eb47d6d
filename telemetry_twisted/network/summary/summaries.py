"""Makes the summary of each network from what is known in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from heapq import nlargest
from statistics import median_high
from typing import Any

from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.observed import Outcome
from telemetry_twisted.network.clocks import MOST_OFF, Clocks
from telemetry_twisted.network.networks import Networks
from telemetry_twisted.turns import pieces

from .laggards import Laggards
from .outliers import NodesLately, told_outliers
from .problems import problems_of
from .slots import Told, told_slots
from .work import told_assurances, told_packages

MOST_TOLD = 8
"""Networks that are told of: those of which most nodes are connected."""

MOST_CLOCKS, LEAST_OFF = 64, 50_000
"""Nodes whose clocks are told, those that are furthest off; and how far, in microseconds, at
least."""


class Summaries:
    """Has in ``current``, after each look, the summary of each network by its genesis hash.

    What single nodes did, and what they got wrong, is given to ``nodes_lately``.

    No object in it has a null, so that what changes of it can be told as a merge patch (RFC 7396).
    A summary is some ten KiB, and no more however large the network is.
    """

    def __init__(self, networks: Networks) -> None:
        self.current: dict[str, dict[str, Any]] = {}
        self.nodes_lately = NodesLately()
        self._networks = networks
        self._laggards = Laggards(networks.slots, networks.numbers)
        self._told: Told = {}

    def look(self, nodes: Mapping[str, str], now: int) -> Iterator[None]:
        """See how the networks fare ``now`` (microseconds of Unix time), in steps; one at a time.

        :param nodes: the network of each node that is connected, by its ID.
        """
        networks = self._networks
        sizes = Counter(nodes.values()).most_common(MOST_TOLD)
        made: dict[str, dict[str, Any]] = {
            network: {"connected": size, "rates": {}} for network, size in sizes
        }
        yield from told_slots(networks.slots, made, self._told, now)
        yield from told_packages(networks.journeys, made, now)
        yield from told_assurances(networks.anchors, networks.slots, made)
        yield from told_clocks(networks.clocks, nodes, made)
        yield from self._laggards.told(nodes, made, now)
        yield from self.nodes_lately.settle(now / 1_000_000)
        yield from told_outliers(self.nodes_lately, nodes, made)
        seconds = networks.ended.seconds(now)
        for network, summary in made.items():
            summary["chains"] = chains = told_chains(networks.ended.of(network))
            summary["rates"]["chains_ended"] = round(chains["ended"] / seconds, 1) if seconds else 0
            summary["problems"] = problems_of(summary)
        self.current = made


def told_clocks(
    clocks: Clocks, nodes: Mapping[str, str], made: Mapping[str, dict[str, Any]]
) -> Iterator[None]:
    """Add to what is ``made`` of each network the clocks of its nodes that are off, in steps.

    ``usual_spread_ms`` is by how much it varies how long what the node in the middle says takes to
    arrive: where that is much, clocks are known no better.
    """
    found: dict[str, list[tuple[int, int, str]]] = {network: [] for network in made}
    offsets: dict[str, list[int]] = {network: [] for network in made}
    spreads: dict[str, list[int]] = {network: [] for network in made}
    for piece in pieces(nodes.items()):
        for node, network in piece:
            known = clocks.offset(node)
            if known is None or network not in found:
                continue
            offsets[network].append(known.offset)
            spreads[network].append(known.spread)
            if abs(known.offset) >= LEAST_OFF:
                found[network].append((abs(known.offset), known.offset, node))
        yield
    for network, summary in made.items():
        summary["clocks"] = {
            "off": sum(distance > MOST_OFF for distance, *_ in found[network]),
            # Where all are off alike, it is the server's clock that is.
            "all_ahead_ms": -_middle(offsets[network]) // 1000,
            "usual_spread_ms": _middle(spreads[network]) // 1000,
            "furthest": [
                # How far it is ahead of the server's, which is what its operator would see.
                {"node_id": node, "ahead_ms": -offset // 1000}
                for _, offset, node in nlargest(MOST_CLOCKS, found[network])
            ],
        }


def _middle(figures: list[int]) -> int:
    """The figure of the node in the middle; 0 where there are too few to be told apart by it."""
    return median_high(figures) if len(figures) > 2 else 0


def told_chains(ended: Mapping[tuple[int, int], int]) -> dict[str, Any]:
    """How the chains that ended lately did, in all and by root.

    :param ended: how many, by the root's type and :class:`.Outcome`.
    """
    roots: dict[str, Counter[str]] = {}
    whole: Counter[str] = Counter()
    for (root, outcome), times in ended.items():
        name = CHAINS.roots[root].name
        counts = roots.setdefault(name, Counter(ended=0, failed=0, unfinished=0))
        for counter in (whole, counts):
            counter["ended"] += times
            if outcome == Outcome.FAILURE:
                counter["failed"] += times
            elif outcome == Outcome.UNFINISHED:
                counter["unfinished"] += times
    percent = 100 * whole["unfinished"] / whole["ended"] if whole["ended"] else 0.0
    return {
        "ended": whole["ended"],
        "failed": whole["failed"],
        "unfinished": whole["unfinished"],
        "unfinished_percent": round(percent, 2),
        "by_root": {name: dict(roots[name]) for name in sorted(roots)},
    }
