"""Counts, and the buckets that they are added up in."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.store.packed import add_up, pack
from telemetry_twisted.store.write.counts import GRACE_SECONDS, MOST_WAITING, Buckets, Sum

by_type = st.dictionaries(st.integers(0, 255), st.integers(1, 2**63 - 1))


@given(st.lists(by_type))
def test_packed_counts_add_up(several: list[dict[int, int]]) -> None:
    expected: Counter[int] = Counter()
    for counts in several:
        expected.update(counts)
    assert add_up(map(pack, several)) == expected


def test_counts_are_as_wide_as_the_largest_needs() -> None:
    for largest, width in ((0, 1), (255, 1), (256, 2), (2**16, 4), (2**32, 8), (2**63, 8)):
        assert len(pack({10: 1, 11: largest})) == 1 + 2 + 2 * width


def test_value_is_whole_each_time_it_is_taken() -> None:
    buckets: Buckets[str, Sum] = Buckets(10, Sum)
    buckets.add(105, "a", Sum(1))
    assert buckets.take() == [((0, 100), "a", Sum(1))]
    assert buckets.take() == []
    buckets.add(109, "a", Sum(2))
    buckets.add(110, "a", Sum(4))
    assert sorted(buckets.take(), key=lambda row: row[0]) == [
        ((0, 100), "a", Sum(3)),
        ((0, 110), "a", Sum(4)),
    ]


def test_what_is_put_back_is_taken_again() -> None:
    buckets: Buckets[str, Sum] = Buckets(10, Sum)
    buckets.add(105, "a", Sum(1))
    taken = buckets.take()
    buckets.add(105, "a", Sum(1))
    buckets.put_back(taken)
    assert buckets.take() == [((0, 100), "a", Sum(2))]


def test_late_value_goes_to_the_oldest_open_bucket() -> None:
    buckets: Buckets[str, Sum] = Buckets(10, Sum)
    buckets.add(105, "a", Sum(1))
    buckets.written(buckets.take())
    buckets.settle(124)
    buckets.add(105, "a", Sum(1))
    taken = buckets.take()
    assert taken == [((0, 100), "a", Sum(2))]
    buckets.settle(125)
    buckets.written(taken)
    buckets.settle(125)
    buckets.add(105, "a", Sum(1))
    assert buckets.take() == [((0, 110), "a", Sum(1))]


def test_bucket_that_waits_stays_open() -> None:
    buckets: Buckets[str, Sum] = Buckets(10, Sum)
    buckets.add(105, "a", Sum(1))
    buckets.settle(10_000)
    assert buckets.take() == [((0, 100), "a", Sum(1))]


def test_an_outage_merges_buckets_and_loses_nothing() -> None:
    buckets: Buckets[str, Sum] = Buckets(10, Sum)
    buckets.add(5, "a", Sum(1))
    buckets.written(buckets.take())
    buckets.add(5, "a", Sum(1))
    for bucket in range(1, 100):
        buckets.add(10 * bucket, "a", Sum(1))
        buckets.put_back(buckets.take())
        buckets.settle(10 * bucket)
    taken = sorted((bucket, value.value) for (_, bucket), _, value in buckets.take())
    assert len(taken) == MOST_WAITING + 1
    assert taken[0] == (0, 2), "what is in the database is written whole"
    assert taken[1] == (10, 100 - MOST_WAITING)
    assert sum(value for _, value in taken) == 101


def test_a_bucket_that_is_full_tells_what_it_does_not_take() -> None:
    lost: list[Sum] = []
    buckets: Buckets[str, Sum] = Buckets(10, Sum, most=1, lost=lost.append)
    buckets.add(0, "a", Sum(1))
    buckets.add(5, "b", Sum(2))
    buckets.add(5, "a", Sum(4))
    buckets.add(10, "b", Sum(8))
    assert lost == [Sum(2)]
    assert sorted(value.value for _, _, value in buckets.take()) == [5, 8]


def test_a_bucket_that_comes_again_is_another_one() -> None:
    buckets: Buckets[str, Sum] = Buckets(10, Sum)
    buckets.add(105, "a", Sum(1))
    buckets.written(buckets.take())
    buckets.settle(3_700)
    buckets.add(3_705, "a", Sum(2))
    buckets.clock_set_back()
    buckets.add(105, "a", Sum(4))
    assert sorted(buckets.take(), key=lambda row: row[0]) == [
        ((0, 3_700), "a", Sum(2)),
        ((1, 100), "a", Sum(4)),
    ]
    buckets.written([])
    buckets.settle(106)
    buckets.add(107, "a", Sum(8))
    assert buckets.take() == [((1, 100), "a", Sum(12))]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("count"), st.integers(0, 200)),
            st.tuples(st.just("clock"), st.integers(-4_000, 4_000)),
            st.tuples(st.just("commit"), st.booleans()),
        ),
        max_size=60,
    )
)
def test_nothing_is_lost_or_overwritten_wherever_the_clock_goes(
    steps: list[tuple[str, int]],
) -> None:
    """Rows are what a database holds: each write of a key replaces the one before."""
    buckets: Buckets[str, Sum] = Buckets(10, Sum)
    rows: dict[tuple[int, int], int] = {}
    now, total = 10_000, 0
    for step, value in steps:
        if step == "count":
            buckets.add(max(now - value % 20, 0), "a", Sum(1))
            total += 1
        elif step == "clock":
            now = max(now + value, 0)
            if value < -GRACE_SECONDS:
                buckets.clock_set_back()
        else:
            taken = buckets.take()
            for place, _, events in taken:
                assert events.value >= rows.get(place, 0)
            if value:
                rows.update({place: events.value for place, _, events in taken})
                buckets.written(taken)
            else:
                buckets.put_back(taken)
            buckets.settle(now)
    rows.update({place: events.value for place, _, events in buckets.take()})
    assert sum(rows.values()) == total
