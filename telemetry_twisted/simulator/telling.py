"""The account of a run, as the JSON that ``--account`` writes and :mod:`.account` reads.

See :func:`tell_account` for its form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..jip3.bins import bin_of
from .accounting import Accounting, PieceRecords
from .blockchain import SLOT, Block, digest
from .network import Network
from .records import PackageChain, Records
from .sums import COUNT, Sums
from .tally import Tally
from .work import Report


def tell_account(network: Network, tallies: Iterable[tuple[int, Tally]]) -> dict[str, Any]:
    """What the nodes of ``network`` meant by what they sent.

    Times are in microseconds of the JAM Common Era, by the clock of the node that tells them;
    durations in microseconds. Hashes are as in the stream's JSON. ``node`` and ``sender`` are
    indices in ``validators``, the first ``nodes`` of which are simulated.

    - ``seed``, ``start``, ``genesis``, ``nodes``; ``validators``: node IDs; ``clock_offsets``: by
      how much the clock of each node is ahead; ``troubles``: by name, the nodes that have it.
    - ``slots``: by slot ``author`` (a node), ``missed``, and ``blocks``, each with ``hash``,
      ``author`` and ``outline``.
    - ``packages``: by hash ``core``, ``slot``, ``report``, ``erasure_root``, ``guarantors``
      (validators, primary first) and ``fate``, of all that some node worked on.
    - ``connections``: what was sent on each; ``node``, ``whole`` and ``ended`` as in the summary,
      when it ``began`` (in true microseconds), and, as far as it can be understood in spite of
      what the node has dropped:

      - ``orphans``: how many events refer to such as were dropped, or to another orphan
      - ``outcomes``: ``[root, outcome, core or null, count]``
      - ``latencies``: ``[name, core or null, [[duration, count], …]]``, exact
      - ``cores``: ``[core, event, count]``, events whose chains have a core
      - ``costs``: ``[phase, service or null, core or null, count, {leaf: sum}]``; there is no
        service if it was not told whose they are
      - ``blocks``: by hash and stage, when it was told (of ``announced`` the first time only)
      - ``packages``: ``{package, root, outcome, told, events: [[event ID, event, time], …]}`` for
        each chain of a guarantor; ``told`` is false if no event has named the package
      - ``built`` ``[report, time]``, ``received`` ``[report, time]`` and ``discarded``
        ``[report, reason, time]``: guarantees
      - ``distributing``: ``[anchor, time]``; ``assured``: by anchor, ``[sender, time]``
      - ``fetches``: ``[root, erasure root, succeeded, failed, total, greatest]``, the last two
        being durations of those that succeeded
    """
    known: PieceRecords = {}
    packages: dict[bytes, Report] = {}
    slots: set[int] = set()
    connections = [
        _connection(network, index, tally, tally.accounting, known, packages, slots)
        for index, tally in tallies
        if tally.accounting is not None
    ]
    return {
        "seed": network.seed,
        "start": network.start,
        "genesis": _hex(digest(network.seed, "genesis")),
        "nodes": network.nodes,
        "validators": [peer_id.hex() for peer_id in network.peer_ids],
        "clock_offsets": [network.clock_offset(index) for index in range(network.nodes)],
        "troubles": {name: sorted(network.troubled(name)) for name in network.trouble},
        "slots": {str(slot): _slot(network, slot) for slot in _all_between(slots)},
        "packages": {_hex(key): _package(network, packages[key]) for key in packages},
        "connections": connections,
    }


def tell_sums(sums: Sums) -> dict[str, Any]:
    """A few figures of a run, for its summary: ``outcomes`` by root, ``latencies`` by name with
    ``count``, ``sum`` and ``histogram`` (by bin of :mod:`..jip3.bins`), ``costs`` by phase."""
    outcomes: dict[str, Counter[str]] = {}
    for (root, outcome, _), count in sums.ended().items():
        outcomes.setdefault(root, Counter())[outcome] += count
    latencies: dict[str, Counter[int]] = {}
    for (name, _), durations in sums.latencies.items():
        latencies.setdefault(name, Counter()).update(durations)
    costs: dict[str, Counter[str]] = {}
    for (phase, _, _), leaves in sums.costs.items():
        costs.setdefault(phase, Counter()).update(leaves)
    return {
        "outcomes": {root: dict(outcomes[root]) for root in sorted(outcomes)},
        "latencies": {name: tell_durations(latencies[name]) for name in sorted(latencies)},
        "costs": {phase: dict(costs[phase]) for phase in sorted(costs)},
    }


def tell_durations(durations: Mapping[int, int]) -> dict[str, Any]:
    """``count``, ``sum`` and ``histogram`` of ``durations``, given how often there was each."""
    histogram: Counter[int] = Counter()
    for duration, count in durations.items():
        histogram[bin_of(duration)] += count
    return {
        "count": sum(durations.values()),
        "sum": sum(duration * count for duration, count in durations.items()),
        "histogram": {str(number): histogram[number] for number in sorted(histogram)},
    }


def _connection(
    network: Network,
    index: int,
    tally: Tally,
    accounting: Accounting,
    known: PieceRecords,
    packages: dict[bytes, Report],
    slots: set[int],
) -> dict[str, Any]:
    sums = Accounting.sums_of([accounting])
    offset = network.clock_offset(index)
    records = accounting.all_records(network, offset, known)
    for package in records.packages.values():
        report = package.chain.report
        assert report is not None
        packages[report.package] = report
    slots.update((time - offset) // SLOT for time in accounting.between())
    return {
        "node": index,
        "began": tally.began,
        "whole": tally.is_whole,
        "ended": tally.ended,
        "orphans": tally.orphans,
        **_sums(sums),
        **_records(network, records),
    }


def _sums(sums: Sums) -> dict[str, Any]:
    return {
        "outcomes": [[*key, count] for key, count in sums.ended().items()],
        "latencies": [
            [*key, sorted(durations.items())] for key, durations in sums.latencies.items()
        ],
        "cores": [[*key, count] for key, count in sums.cores.items()],
        "costs": [
            [*key, leaves[COUNT], {leaf: leaves[leaf] for leaf in leaves if leaf != COUNT}]
            for key, leaves in sums.costs.items()
        ],
    }


def _records(network: Network, records: Records) -> dict[str, Any]:
    return {
        "blocks": {_hex(block): stages for block, stages in records.stages.items()},
        "packages": [_chain(package) for package in records.packages.values()],
        "built": [[_hex(report), time] for report, time in records.built],
        "received": [[_hex(report), time] for report, time in records.received],
        "discarded": [[_hex(report), reason, time] for report, reason, time in records.discarded],
        "distributing": [[_hex(anchor), time] for anchor, time in records.distributing],
        "assured": {
            _hex(anchor): [[network.index_of[sender], time] for sender, time in senders]
            for anchor, senders in records.assured.items()
        },
        "fetches": [
            [root, _hex(of), each.succeeded, each.failed, each.total, each.greatest]
            for (root, of), each in records.fetches.items()
        ],
    }


def _chain(package: PackageChain) -> dict[str, Any]:
    chain = package.chain
    assert chain.report is not None
    return {
        "package": _hex(chain.report.package),
        "root": chain.root,
        "outcome": chain.outcome,
        "told": package.told,
        "events": package.events,
    }


def _package(network: Network, report: Report) -> dict[str, Any]:
    package = network.package(report.slot, report.core)
    assert package is not None
    return {
        "core": report.core,
        "slot": report.slot,
        "report": _hex(report.hash),
        "erasure_root": _hex(report.erasure_root),
        "guarantors": [network.index_of[peer_id] for peer_id in package.guarantors],
        "fate": package.fate,
    }


def _slot(network: Network, slot: int) -> dict[str, Any]:
    blocks = network.blockchain.blocks(slot)
    return {
        "author": network.blockchain.author(slot),
        "missed": not blocks,
        "blocks": [_block(block) for block in blocks],
    }


def _block(block: Block) -> dict[str, Any]:
    outline = {**block.outline, "hash": _hex(block.hash)}
    return {"hash": _hex(block.hash), "author": block.author, "outline": outline}


def _all_between(slots: set[int]) -> range:
    return range(min(slots), max(slots) + 1) if slots else range(0)


def _hex(value: bytes) -> str:
    return f"0x{value.hex()}"
