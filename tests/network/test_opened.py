"""Whatever goes on is written once it has changed, or told as lost."""

from __future__ import annotations

from collections import Counter

from attrs import define
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from telemetry_twisted.network.opened import Opened
from tests.examples import examples

MOST = 4
LIFE = 10


@define
class Thing:
    first: int
    last: int
    closed: int | None = None
    value: int = 0
    gone: bool = False

    def over(self, now: int) -> bool:
        return now - self.last > LIFE * 1_000_000

    def close(self, now: int) -> None:
        self.closed = now

    def supersede(self) -> None:
        self.value, self.gone = 0, True


class Machine(RuleBasedStateMachine):
    """What is in the database, what waits, and what was told as lost is all that there was."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: Counter[str] = Counter()
        self.open: Opened[int, Thing] = Opened("things", MOST, self.lost)
        self.now = 0
        self.added = 0
        self.late = 0
        self.dropped = 0
        self.database: dict[int, tuple[int, bool]] = {}
        self.taken: list[tuple[int, Thing]] | None = None
        self.rows: list[tuple[int, int, bool]] = []

    @rule(key=st.integers(0, 12))
    def something_comes(self, key: int) -> None:
        thing = self.open.get(key)
        self.added += 1
        if thing is None or thing.closed is not None:
            if self.open.is_late(key):
                self.late += 1
                return
            thing = Thing(self.now, self.now)
            self.open.open(key, thing, self.now)
            if self.open.get(key) is None:
                return
        thing.value += 1
        self.open.changed(key, self.now)

    @precondition(lambda self: self.taken is None)
    @rule()
    def it_is_taken(self) -> None:
        self.taken = self.open.take()
        self.rows = [(key, t.value, t.closed is not None) for key, t in self.taken]

    @precondition(lambda self: self.taken is not None)
    @rule(written=st.booleans())
    def it_is_written_or_not(self, written: bool) -> None:
        assert self.taken is not None
        if written:
            for key, value, closed in self.rows:
                there = self.database.get(key)
                assert there is None or not there[1] or there == (value, closed)
                self.database[key] = value, closed
            self.open.written(self.taken)
        else:
            self.open.put_back(self.taken)
        self.taken = None

    @rule(seconds=st.integers(0, LIFE + 2))
    def time_goes_on(self, seconds: int) -> None:
        self.now += seconds * 1_000_000
        self.open.settle(self.now / 1_000_000)

    @invariant()
    def it_is_bounded(self) -> None:
        assert len(self.open) <= 2 * MOST + 1

    @invariant()
    def nothing_is_lost_untold(self) -> None:
        assert self.lost["late_things"] == self.late
        if self.lost["things"]:
            return  # how many were in those is not told
        there = {key: value for key, (value, _) in self.database.items()}
        for key in range(13):
            thing = self.open.get(key)
            if thing is not None:
                there[key] = thing.value
            elif self.taken is not None:
                there.update({k: value for k, value, _ in self.rows if k == key})
        assert sum(there.values()) + self.late == self.added


Machine.TestCase.settings = examples(200, stateful_step_count=40)
TestOpened = Machine.TestCase


def test_what_is_superseded_leaves_nothing_behind_unless_the_database_has_it() -> None:
    opened: Opened[int, Thing] = Opened("things", MOST, Counter())
    for key in (1, 2):
        opened.open(key, Thing(0, 0, value=5), 0)
    opened.supersede(1)
    assert 1 not in opened
    opened.written(opened.take())
    opened.supersede(2)
    ((key, thing),) = opened.take()
    assert (key, thing.value, thing.gone, thing.closed) == (2, 0, True, 0)
