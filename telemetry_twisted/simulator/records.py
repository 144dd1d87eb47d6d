"""What nodes tell of single things: of each block, work package, guarantee, assurance and fetch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from attrs import Factory, define

from .chains import SUCCESS, Chain
from .schedule import Event

STAGES: Mapping[str, str] = {
    "BlockAnnounced": "announced",
    "Authored": "authored",
    "Importing": "importing",
    "BlockVerified": "verified",
    "BlockExecuted": "executed",
    "BestBlockChanged": "best",
    "FinalizedBlockChanged": "finalized",
}
"""What a block goes through at a node, by the event that tells of it."""


@define
class Fetches:
    """Requests for shards or a bundle of one report, as one side of them saw them.

    ``succeeded`` and ``failed`` count them; ``total`` and ``greatest`` are how long those that
    succeeded took, in microseconds.
    """

    succeeded: int = 0
    failed: int = 0
    total: int = 0
    greatest: int = 0

    def add(self, other: Fetches, times: int = 1) -> None:
        """Count in so many ``times`` what ``other`` holds."""
        self.succeeded += other.succeeded * times
        self.failed += other.failed * times
        self.total += other.total * times
        self.greatest = max(self.greatest, other.greatest)


@define
class PackageChain:
    """A guarantor's chain about a work package, with the ID, name and time of each event of it and
    of the chains inside it. ``told`` says whether an event has named the package."""

    chain: Chain
    told: bool = False
    events: list[tuple[int, str, int]] = Factory(list)


@define(eq=False)
class Records:
    """What one node has told, times in microseconds.

    ``stages`` holds for each block, by its hash, when each stage was told; of announcements only
    the first. ``built``, ``received`` and ``discarded`` are of guarantees, by report hash, with the
    time, or the reason and the time. ``distributing`` holds when the assurance of each anchor was
    begun, ``assured`` by anchor the sender and time of those that came. ``fetches`` are by the root
    of their chains and erasure root.
    """

    stages: dict[bytes, dict[str, list[int]]] = Factory(dict)
    packages: dict[Chain, PackageChain] = Factory(dict)
    built: list[tuple[bytes, int]] = Factory(list)
    received: list[tuple[bytes, int]] = Factory(list)
    discarded: list[tuple[bytes, str, int]] = Factory(list)
    distributing: list[tuple[bytes, int]] = Factory(list)
    assured: defaultdict[bytes, list[tuple[bytes, int]]] = Factory(lambda: defaultdict(list))
    fetches: defaultdict[tuple[str, bytes], Fetches] = Factory(lambda: defaultdict(Fetches))

    def add(self, event: Event, event_id: int) -> None:
        """Keep what ``event`` tells; :meth:`.Sums.add` has counted it already."""
        chain = event.chain
        if chain is not None and chain.top.report is not None:
            package = self.packages.get(chain.top)
            if package is None:
                package = self.packages[chain.top] = PackageChain(chain.top)
            package.events.append((event_id, event.name, event.time))
            package.told = package.told or event.name in _NAMING
        keep = _KEEP.get(event.name)
        if keep is not None:
            keep(self, event)
        if event.ends is not None and chain is not None and chain.erasure_root is not None:
            took = event.time - chain.times[chain.root]
            ended = Fetches(1, 0, took, took) if event.ends == SUCCESS else Fetches(0, 1)
            self.fetches[chain.root, chain.erasure_root].add(ended)

    def copy(self) -> Records:
        """Another one that holds the same, to absorb more."""
        copied = Records(
            {block: dict(stages) for block, stages in self.stages.items()},
            self.packages.copy(),
            self.built.copy(),
            self.received.copy(),
            self.discarded.copy(),
            self.distributing.copy(),
        )
        for anchor, senders in self.assured.items():
            copied.assured[anchor] = senders.copy()
        for key, fetches in self.fetches.items():
            copied.fetches[key].add(fetches)
        return copied

    def absorb(self, other: Records, times: Sequence[int]) -> None:
        """Keep what ``other`` holds, whose times count from 0, at each of ``times``."""
        for block, stages in other.stages.items():
            (announced,) = stages["announced"]
            self._announced(block, min(times) + announced)
        for report, at in other.received:
            self.received += [(report, time + at) for time in times]
        for report, reason, at in other.discarded:
            self.discarded += [(report, reason, time + at) for time in times]
        for anchor, senders in other.assured.items():
            for sender, at in senders:
                self.assured[anchor] += [(sender, time + at) for time in times]
        for key, fetches in other.fetches.items():
            self.fetches[key].add(fetches, len(times))

    def _announced(self, block: bytes, time: int) -> None:
        stages = self.stages.setdefault(block, {})
        stages["announced"] = [min([time, *stages.get("announced", ())])]

    def _announcement(self, event: Event) -> None:
        self._announced(event.fields["hash"], event.time)

    def _stage(self, event: Event) -> None:
        block = _block_of(event)
        if block is not None:
            stages = self.stages.get(block)
            if stages is None:
                stages = self.stages[block] = {}
            stages.setdefault(STAGES[event.name], []).append(event.time)

    def _built(self, event: Event) -> None:
        if event.chain is not None:
            self.built.append((event.fields["outline"]["work_report_hash"], event.time))

    def _received(self, event: Event) -> None:
        self.received.append((event.fields["outline"]["work_report_hash"], event.time))

    def _discarded(self, event: Event) -> None:
        report = event.fields["outline"]["work_report_hash"]
        self.discarded.append((report, event.fields["reason"], event.time))

    def _distributing(self, event: Event) -> None:
        self.distributing.append((event.fields["statement"]["anchor"], event.time))

    def _assured(self, event: Event) -> None:
        self.assured[event.fields["anchor"]].append((event.fields["sender"], event.time))

    def _fetching(self, event: Event) -> None:
        if event.chain is not None:
            event.chain.erasure_root = event.fields["erasure_root"]


_NAMING = {"WorkPackageReceived", "DuplicateWorkPackage"}


def _block_of(event: Event) -> bytes | None:
    """The header hash of the block that ``event`` is about, None if it was not told."""
    chain = event.chain
    if chain is None:
        return event.fields.get("hash")
    if chain.root == "Authoring" and "Authored" not in chain.times:
        return None  # the event that names it was dropped
    return chain.block


_KEEP: Mapping[str, Callable[[Records, Event], None]] = {
    **dict.fromkeys(STAGES, Records._stage),
    "BlockAnnounced": Records._announcement,
    "GuaranteeBuilt": Records._built,
    "GuaranteeReceived": Records._received,
    "GuaranteeDiscarded": Records._discarded,
    "DistributingAssurance": Records._distributing,
    "AssuranceReceived": Records._assured,
    "SendingShardRequest": Records._fetching,
    "ShardRequestReceived": Records._fetching,
    "BundleShardRequestReceived": Records._fetching,
    "BundleRequestReceived": Records._fetching,
}
