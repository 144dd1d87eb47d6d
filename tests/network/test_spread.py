"""How a thing spreads over nodes."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.network.reporters import OFF, Reporter
from telemetry_twisted.network.spread import SHARES, Delays, Spread
from tests.examples import examples

reports = st.lists(
    st.tuples(
        st.integers(0, 300), st.integers(0, 2**40), st.one_of(st.just(OFF), st.integers(-9, 2**20))
    )
)


def reporter(number: int, offset: int) -> Reporter:
    return Reporter(number, f"{number:04x}", 0, "0x", offset)


@examples(100)
@given(reports)
def test_only_the_first_report_of_each_node_counts(said: list[tuple[int, int, int]]) -> None:
    spread = Spread()
    first: dict[int, tuple[int, int]] = {}
    for node, time, offset in said:
        assert spread.add(reporter(node, offset), time) == (node not in first)
        first.setdefault(node, (time, offset))
    delays = spread.delays()
    usable = [each for each in first.values() if each[1] != OFF]
    assert (delays.nodes, delays.off_clock) == (len(first), len(first) - len(usable))
    for told, times in (
        (delays.reported, sorted(time for time, _ in usable)),
        (delays.corrected, sorted(time + offset for time, offset in usable)),
    ):
        if not times:
            assert told is None
            continue
        assert told is not None
        assert told.first == times[0]
        for share, delay in zip(SHARES, told[1:], strict=True):
            within = sum(time <= times[0] + delay for time in times)
            assert within >= ceil(share * len(times))
            assert sum(time < times[0] + delay for time in times) < max(share * len(times), 1)


@examples(50)
@given(reports, st.sets(st.integers(0, 300)))
def test_what_is_dumped_is_loaded_under_other_numbers(
    said: list[tuple[int, int, int]], gone: set[int]
) -> None:
    spread = Spread()
    for node, time, offset in said:
        spread.add(reporter(node, offset), time)
    numbers = {node: 1000 - node for node in range(301) if node not in gone}
    loaded = Spread.load(spread.dump(), numbers)
    kept = [
        each
        for each in zip(spread.nodes, spread.times, spread.offsets, strict=True)
        if each[0] in numbers
    ]
    assert [*zip(loaded.nodes, loaded.times, loaded.offsets, strict=True)] == [
        (numbers[node], time, offset) for node, time, offset in kept
    ]
    for node, time, _ in kept:
        assert not loaded.add(reporter(numbers[node], 0), time)


def test_skewed_clocks_are_set_right() -> None:
    spread = Spread()
    # It took 100 ms to each; the clock of the second is 2 s behind, that of the third 1 s ahead.
    for number, (delay, behind) in enumerate(((0, 0), (100, 2000), (100, -1000))):
        time = 10**15 + 1000 * (delay - behind)
        spread.add(reporter(number, 1000 * behind), time)
    delays = spread.delays()
    assert isinstance(delays, Delays)
    assert delays.reported is not None
    assert delays.corrected is not None
    assert delays.reported.last == 3_000_000
    assert delays.corrected == (10**15, 100_000, 100_000, 100_000, 100_000)
