"""Which events of a node belong together, and how that ends.

``chains.json`` is the content; this module gives it types, and derives from it and from the table
all that those who follow chains need. A *chain* is an event (its *root*) and the later events of
the same connection that name its event ID, directly or by naming an event that does. A root that
itself refers opens a chain of its own, inside the chain of what it refers to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from attrs import frozen

from .table import TABLE


@frozen
class Reference:
    """An event of this type names the ID of an earlier one of one of the ``targets``.

    ``offset`` is where in the message's content that u64 begins.
    """

    offset: int
    targets: frozenset[int]


@frozen
class Root:
    """An event of this type opens a chain, which those in ``success`` end well and those in
    ``failure`` badly."""

    name: str
    success: frozenset[int]
    failure: frozenset[int]


@frozen
class Latency:
    """How long it takes, within one chain, from an event of type ``begin`` to one of ``end``."""

    name: str
    begin: int
    end: int


@frozen
class Chains:
    """What refers to what: ``references`` and ``roots`` by discriminator.

    The index of a latency in ``latencies`` is its number.
    """

    references: Mapping[int, Reference]
    roots: Mapping[int, Root]
    latencies: tuple[Latency, ...]

    @cached_property
    def referred(self) -> frozenset[int]:
        """The types that are referred to."""
        return frozenset().union(*(each.targets for each in self.references.values()))

    @cached_property
    def links(self) -> frozenset[int]:
        """The types that are referred to and are not roots: within a chain, they stand for it."""
        return self.referred - self.roots.keys()

    @cached_property
    def members(self) -> Mapping[int, frozenset[int]]:
        """By root, the types of the events that a chain with it may have, itself among them."""
        return {root: frozenset(self._within(root)) for root in self.roots}

    @cached_property
    def latencies_of(self) -> Mapping[tuple[int, int], tuple[int, ...]]:
        """By root and type, the numbers of the latencies that such an event ends in that chain."""
        found: dict[tuple[int, int], tuple[int, ...]] = {}
        for root, members in self.members.items():
            for number, latency in enumerate(self.latencies):
                if members >= {latency.begin, latency.end}:
                    key = root, latency.end
                    found[key] = (*found.get(key, ()), number)
        return found

    @cached_property
    def stages(self) -> Mapping[int, tuple[int, ...]]:
        """By root, the types of which a chain with it has to keep the time, in order."""
        begins: dict[int, set[int]] = {root: set() for root in self.roots}
        for (root, _), numbers in self.latencies_of.items():
            begins[root] |= {self.latencies[number].begin for number in numbers}
        return {root: tuple(sorted(types)) for root, types in begins.items()}

    def _within(self, root: int) -> Iterable[int]:
        found = [root]
        for target in found:
            found += (
                kind
                for kind, reference in self.references.items()
                if target in reference.targets and kind not in self.roots and kind not in found
            )
        return found


def _read(rows: Mapping[str, Any]) -> Chains:
    def offset_of(kind: int, field: str) -> int:
        offset = TABLE.events[kind].offset_of(field)
        if offset is None:
            raise ValueError(f"chains.json: event {kind} has no field {field!r} at a fixed place")
        return offset

    return Chains(
        {
            int(kind): Reference(offset_of(int(kind), row["field"]), frozenset(row["to"]))
            for kind, row in rows["references"].items()
        },
        {
            int(kind): Root(row["name"], frozenset(row["success"]), frozenset(row["failure"]))
            for kind, row in rows["roots"].items()
        },
        tuple(Latency(row["name"], row["from"], row["to"]) for row in rows["latencies"]),
    )


CHAINS = _read(json.loads(Path(__file__).with_name("chains.json").read_text()))
"""What refers to what, read from ``chains.json`` when the module is imported."""
