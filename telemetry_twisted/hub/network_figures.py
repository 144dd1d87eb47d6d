"""What subscribers are told of networks: what the store knows, and what the hub does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .nodes import Node
from .store.networks import Summaries


def network_figures(summaries: Summaries, nodes: Iterable[Node]) -> dict[str, Any]:
    """Each network by its genesis hash: its summary, and in ``nodes`` those that are connected.

    A node's slots are what it has reported last, whatever that is worth.
    """
    networks: dict[str, dict[str, Any]] = {
        network: {**summary, "nodes": {}} for network, summary in summaries.items()
    }
    for node in nodes:
        network = networks.setdefault(node.network, {"nodes": {}})
        told: dict[str, Any] = {}
        if node.best is not None:
            told["best"] = node.best["slot"]
        if node.finalized is not None:
            told["finalized"] = node.finalized["slot"]
        if node.synced is not None:
            told["synced"] = node.synced
        network["nodes"][node.node_id] = told
    return networks
