"""The open chains of one connection: found by the IDs of their events, and let go of in time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from .chains import CHAINS
from .observed import NO_CORE, Outcome
from .past_kinds import NO_SUCH_EVENT, UNTOLD, PastKinds

MOST_OPEN = 4096
"""Chains of one connection that are open at once; of more, the longest untouched is forgotten."""

PATIENCE = 60
"""Seconds after which a chain that nothing more was heard of has expired."""

LONG_PATIENCE = 600
"""The same for the chains of a work package, and those inside them."""

MOST_LINKS = 2
"""Events of a chain other than its root that others may refer to; of more, the first is let go of.

They are guarantees, of which a work package may have two (``chains.json``)."""

WORK_PACKAGES = frozenset({90, 91})
"""Roots of the chains of a work package."""

YET_TO_COME = "refers to an event that is yet to come"
WRONG_TYPE = "refers to an event of the wrong type"
HAS_ENDED = "refers to an event that has ended"
NO_SUCH = "refers to no such event"


class Chain:
    """An open chain: its root's ``id`` and type, those of the outermost one, and what is known.

    ``times`` has the time of the last event of each type that begins a latency. ``touched`` is the
    place in order of the last event that belongs to the chain, ``second`` when that was read.
    """

    __slots__ = (
        "core",
        "erasure_root",
        "id",
        "links",
        "root",
        "second",
        "services",
        "times",
        "top_id",
        "top_type",
        "touched",
    )

    def __init__(self, id: int, root: int, parent: Chain | None) -> None:
        self.id = id
        self.root = root
        self.top_type: int = root if parent is None else parent.top_type
        self.top_id: int = id if parent is None else parent.top_id
        self.core: int = NO_CORE if parent is None else parent.core
        self.times: dict[int, int] = {}
        self.links: list[int] = []
        self.services: tuple[int, ...] = ()
        self.erasure_root: bytes | None = None
        self.second = self.touched = 0

    @property
    def of_package(self) -> bool:
        """Whether it is the chain of a work package, or inside one."""
        return self.top_type in WORK_PACKAGES

    @property
    def inner(self) -> bool:
        """Whether it is inside another."""
        return self.id != self.top_id


class OpenChains:
    """Opens chains, finds those that an event refers to, and lets go of those that do not end.

    :param past: what is known of IDs that are not open.
    :param ended: called with each chain that is open no more, and how that came.
    """

    def __init__(self, past: PastKinds, ended: Callable[[Chain, Outcome], None]) -> None:
        self._past = past
        self._ended = ended
        self._open: tuple[OrderedDict[int, Chain], ...] = (OrderedDict(), OrderedDict())
        self._links: dict[int, tuple[Chain, int]] = {}
        self._touches = 0

    def __len__(self) -> int:
        return sum(map(len, self._open))

    def find(self, id: int, kind: int, own: int) -> tuple[Chain | None, str | None]:
        """What an event of type ``kind`` with the ID ``own`` refers to by ``id``.

        :returns: the open chain, or what is wrong; neither if ``id`` is not known (any more).
        """
        targets = CHAINS.references[kind].targets
        if id == own:
            return None, YET_TO_COME
        chain, target = self._at(id)
        if chain is not None:
            return (chain, None) if target in targets else (None, WRONG_TYPE)
        past = self._past.kind(id)
        if past is None:
            return None, None if id < own else YET_TO_COME
        if past == UNTOLD:
            return None, None
        if past == NO_SUCH_EVENT:
            return None, NO_SUCH
        return None, HAS_ENDED if past in targets else WRONG_TYPE

    def begin(self, id: int, root: int, parent: Chain | None, second: int) -> Chain:
        """Open the chain of the event ``id`` of type ``root``, inside ``parent`` if it has one."""
        if len(self) >= MOST_OPEN:
            oldest = [next(iter(chains.values())) for chains in self._open if chains]
            self._let_go(min(oldest, key=lambda chain: chain.touched), Outcome.FORGOTTEN)
        chain = Chain(id, root, parent)
        self._like(chain)[id] = chain
        self.touch(chain, second)
        return chain

    def touch(self, chain: Chain, second: int) -> None:
        """An event that was read in ``second`` belongs to ``chain``."""
        self._touches += 1
        chain.touched = self._touches
        chain.second = second
        self._like(chain).move_to_end(chain.id)

    def link(self, chain: Chain, id: int, kind: int) -> None:
        """Who refers to the event ``id`` of type ``kind`` refers to ``chain``."""
        if len(chain.links) == MOST_LINKS:
            self._unlink(chain, chain.links[0])
        chain.links.append(id)
        self._links[id] = chain, kind

    def free(self, id: int) -> None:
        """Another event has this ``id``: they have gone round."""
        if id in self._links:
            self._unlink(self._links[id][0], id)
        chain, _ = self._at(id)
        if chain is not None:
            self._let_go(chain, Outcome.FORGOTTEN)

    def end(self, chain: Chain, outcome: Outcome) -> None:
        """``chain`` has come to its end."""
        del self._like(chain)[chain.id]
        for id in chain.links:
            del self._links[id]
        self._ended(chain, outcome)

    def expire(self, second: int) -> None:
        """It is ``second``: those that have been untouched for too long are unfinished."""
        for chains, patience in zip(self._open, (PATIENCE, LONG_PATIENCE), strict=True):
            while chains:
                chain = next(iter(chains.values()))
                if second - chain.second < patience:
                    break
                self._let_go(chain, Outcome.UNFINISHED)

    def end_all(self) -> None:
        """Nothing more will come: all are unfinished."""
        for chains in self._open:
            while chains:
                self._let_go(next(iter(chains.values())), Outcome.UNFINISHED)

    def _like(self, chain: Chain) -> OrderedDict[int, Chain]:
        """Those that have as much patience as ``chain``, the longest untouched first."""
        return self._open[chain.of_package]

    def _at(self, id: int) -> tuple[Chain | None, int]:
        """The chain with an event ``id`` that can be referred to, and the type of that."""
        chain = self._open[False].get(id) or self._open[True].get(id)
        return self._links.get(id, (None, 0)) if chain is None else (chain, chain.root)

    def _unlink(self, chain: Chain, id: int) -> None:
        chain.links.remove(id)
        del self._links[id]
        self._past.forget(id)

    def _let_go(self, chain: Chain, outcome: Outcome) -> None:
        """Let go of a chain that has not come to its end: who refers to it is an orphan."""
        ids = (chain.id, *chain.links)
        self.end(chain, outcome)
        for id in ids:
            self._past.forget(id)
