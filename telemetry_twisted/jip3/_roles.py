"""The table of chains as the compiled kernel reads it: what an event of each type means to them.

An event can be in chains of at most two kinds. Of each the kernel knows what the event does in it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

from .chains import CHAINS
from .costs import PACKAGE_RECEIVED
from .following import ASSURANCE_RECEIVED, CORES, ERASURE_ROOTS, FETCHES
from .observed import COST_TYPES, Phase
from .open_chains import WORK_PACKAGES
from .sights import BLOCK_ANNOUNCED, SIGHTED
from .table import HEAD_SIZE, TABLE, Pair, Seq, Struct, Type, Uint, fixed_size, leaves

MOST_KINDS = 2
"""Kinds of chains that events of one type may be in, and types that one may refer to."""

MOST_STAGES = 5
"""Times that a chain keeps. One that keeps an erasure root has that in place of all but the first.
"""

MOST_LATENCIES = 2
"""That one event ends within a chain."""

PART = struct.Struct(f"=BBB{2 * MOST_LATENCIES}B")
"""The packed part in chains of one kind: the root's type, how it ends them (:class:`End`), where it
has its time kept, from 1 on (0: nowhere), and for each latency that it ends, where the time of the
event that began it is kept (0: there is no further latency) and its number."""

ROLE = struct.Struct(f"=BBB2BBBBBBBB{MOST_KINDS * PART.size}s")
"""A packed role: which way it is followed (:class:`Way`), where in the content the ID is that it
refers to (0: it refers to nothing), what it begins (:class:`Begin`), the types that it may refer to
(0: no other), where its core and its erasure root are (0: it has none), the phase of its costs,
from 1 on (0: none), whether it is told (:class:`Sight`), whether chains that it begins are fetches
and whether they are of work packages, whether nothing is found in it but that it belongs to a
chain, and its parts."""


class End(IntEnum):
    """What an event does to a chain that it is in. The kernel has the same list."""

    NOTHING = 0
    WELL = 1
    BADLY = 2


class Begin(IntEnum):
    """What an event begins. The kernel has the same list.

    - ``CHAIN``: a chain, which it is the root of.
    - ``LINK``: nothing, but others may refer to it and are in its chain.
    """

    NOTHING = 0
    CHAIN = 1
    LINK = 2


class Sight(IntEnum):
    """Whether an event is told. The kernel has the same list.

    - ``OF_PACKAGES``: within chains of work packages.
    - ``ALWAYS``: in any chain or none.
    - ``NEW``: if its header hash is new.
    """

    OF_PACKAGES = 0
    ALWAYS = 1
    NEW = 2


class Way(IntEnum):
    """How much of what can be found in events there may be in one. The kernel has the same list.

    - ``WHOLE``: anything.
    - ``RECEIPT``: it is the receipt of an assurance, and nothing else.
    - ``QUIET``: it refers to a chain, of which it then is, and there is nothing else to it.
    - ``MEMBER``: besides, it may have an erasure root, and end latencies or the chain.
    - ``ROOT``: it begins a chain, inside no other, and may have an erasure root.
    """

    WHOLE = 0
    RECEIPT = 1
    QUIET = 2
    MEMBER = 3
    ROOT = 4


def packed_roles() -> bytes:
    """A :data:`ROLE` for each discriminator."""
    return b"".join(map(_role, range(256)))


def _role(kind: int) -> bytes:
    reference = CHAINS.references.get(kind)
    begin = Begin.CHAIN if kind in CHAINS.roots else Begin(Begin.LINK * (kind in CHAINS.links))
    parts = [_part(kind, root) for root, types in sorted(CHAINS.members.items()) if kind in types]
    sight = Sight.NEW if kind == BLOCK_ANNOUNCED else Sight(kind in SIGHTED)
    found_in = {*CORES, *ERASURE_ROOTS, *COST_TYPES, ASSURANCE_RECEIVED}
    quiet = not (
        sight or kind in found_in or any(part[1:] != bytes(PART.size - 1) for part in parts)
    )
    return ROLE.pack(
        _way(kind, quiet),
        reference.offset if reference else 0,
        begin,
        *_filled(sorted(reference.targets) if reference else [], MOST_KINDS, 0),
        CORES.get(kind, 0),
        ERASURE_ROOTS.get(kind, 0),
        COST_TYPES[kind] + 1 if kind in COST_TYPES else 0,
        sight,
        kind in FETCHES,
        kind in WORK_PACKAGES,
        quiet,
        b"".join(_filled(parts, MOST_KINDS, bytes(PART.size))),
    )


def _way(kind: int, quiet: bool) -> Way:
    if kind == ASSURANCE_RECEIVED:
        return Way.RECEIPT
    if kind in SIGHTED or kind in CORES or kind in COST_TYPES or kind in CHAINS.links:
        return Way.WHOLE
    if kind in CHAINS.roots:
        refers = kind in CHAINS.references
        return Way.WHOLE if refers or kind in WORK_PACKAGES else Way.ROOT
    if kind in CHAINS.references:
        return Way.QUIET if quiet else Way.MEMBER
    return Way.WHOLE


def _part(kind: int, root: int) -> bytes:
    stages = CHAINS.stages[root]
    if len(stages) > (1 if root in FETCHES else MOST_STAGES):
        raise ValueError(f"the kernel has no room for the {len(stages)} times of chains of {root}")
    latencies: list[int] = []
    for number in CHAINS.latencies_of.get((root, kind), ()):
        latencies += (stages.index(CHAINS.latencies[number].begin) + 1, number)
    ends = CHAINS.roots[root]
    return PART.pack(
        root,
        End.WELL if kind in ends.success else End(End.BADLY * (kind in ends.failure)),
        stages.index(kind) + 1 if kind in stages else 0,
        *_filled(latencies, 2 * MOST_LATENCIES, 0),
    )


_Item = TypeVar("_Item")


def _filled(items: Sequence[_Item], size: int, filler: _Item) -> list[_Item]:
    if len(items) > size:
        raise ValueError(f"the kernel has no room for {items}, which are more than {size}")
    return [*items, *[filler] * (size - len(items))]


def places_in_package() -> tuple[int, int]:
    """Where in the content of a package that was received its prerequisites begin, and how many
    bytes of each of its items come before the imports, of which the first four are its service."""
    package = TABLE.events[PACKAGE_RECEIVED]
    start = package.offset_of("outline")
    (outline,) = (wire for name, wire in package.fields if name == "outline")
    assert start is not None
    assert isinstance(outline, Struct)
    (items,) = (wire for name, wire in outline.fields if name == "work_items")
    assert isinstance(items, Seq)
    assert isinstance(items.item, Struct)
    return start + _fixed_part(outline), _fixed_part(items.item)


def _fixed_part(struct: Struct) -> int:
    size = 0
    for _, wire in struct.fields:
        member = fixed_size(wire)
        if member is None:
            break
        size += member
    return size


COSTS_OFFSET = HEAD_SIZE + 8
"""Where in the content costs are, or how many there are: after the ID that the event refers to."""


def leaf_sizes(phase: Phase) -> list[int]:
    """How many bytes each of the numbers takes that a cost of ``phase`` consists of."""
    (kind,) = (kind for kind, of in COST_TYPES.items() if of is phase)
    name, wire = TABLE.events[kind].fields[-1]
    assert TABLE.events[kind].offset_of(name) == COSTS_OFFSET
    return [leaf.size for _, leaf in leaves(_cost_in(wire).fields) if isinstance(leaf, Uint)]


def _cost_in(wire: Type) -> Struct:
    while not isinstance(wire, Struct):
        assert isinstance(wire, Seq | Pair)
        wire = wire.item if isinstance(wire, Seq) else wire.second
    return wire
