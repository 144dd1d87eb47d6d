"""Which of a node's facts are passed on, so that no node can cost history more than its share.

A node sends what it likes, a million messages a second if it can, and history reads the fields of
facts one by one. So a stream passes on no more of them than it has allowances for: one for each
type in :data:`~.state_types.STATE_TYPES`, and one for all others together, which are failures. They
are full at first, and fill with every second. Of a state that is not passed on the newest message
is handed out beside the facts, once for each call, so that what holds in the end is always known;
of failures the number is known from the counts.

A report of a block is passed on if it is of another slot than the last one that was: of those of
one slot the first says when the node had it, and the newest is handed out in any case.
"""

from __future__ import annotations

from .state_types import BEST_BLOCK, FINALIZED_BLOCK, STATE_TYPES

MOST_FACT_BYTES = 8192
"""Longest message content that is a fact; a longer one breaks JIP-3, and is told as a fault."""

FACTS_A_SECOND = 16
"""Reports of a kind of block, and failures, that are passed on of one node in the long run."""

FACTS_AT_ONCE = 64
"""The same, at once."""

STATES_A_SECOND = 1
"""Reports of other states that are passed on of one node, in the long run and at once."""

_BLOCKS = (BEST_BLOCK, FINALIZED_BLOCK)
_FAILURES = -1


class Allowance:
    """Lets so many pass at once, and ``a_second`` more with every second."""

    def __init__(self, at_once: int, a_second: int) -> None:
        self._at_once = self.left = at_once
        self._a_second = a_second

    def fill(self, seconds: int) -> None:
        """Add what ``seconds`` bring."""
        self.left = min(self._at_once, self.left + self._a_second * seconds)


class Thinning:
    """The allowances of one node."""

    def __init__(self) -> None:
        self._second = 0
        self._slots: dict[int, int] = {}
        self._allowances = {
            kind: Allowance(STATES_A_SECOND, STATES_A_SECOND) for kind in STATE_TYPES
        }
        for kind in (*_BLOCKS, _FAILURES):
            self._allowances[kind] = Allowance(FACTS_AT_ONCE, FACTS_A_SECOND)

    def fill(self, second: int) -> None:
        """It is ``second`` (:class:`~.moment.Moment`)."""
        if second != self._second:
            for allowance in self._allowances.values():
                allowance.fill(max(second - self._second, 1))
            self._second = second

    def passes(self, kind: int, slot: int) -> bool:
        """Whether a fact of type ``kind`` is passed on, and spend what it costs.

        :param slot: the slot that it names if it reports a block.
        """
        allowance = self._allowances.get(kind, self._allowances[_FAILURES])
        if not allowance.left:
            return False
        if kind in _BLOCKS:
            if self._slots.get(kind) == slot:
                return False
            self._slots[kind] = slot
        allowance.left -= 1
        return True
