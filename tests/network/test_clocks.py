"""How far clocks are off."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.moment import SLOT
from telemetry_twisted.network.clocks import MOST_CLOCKS, PIECE, PIECES, Clocks, Offset
from tests.examples import examples
from tests.network.scene import SECOND, Scene

told = st.lists(
    st.tuples(st.integers(0, 12 * PIECE), st.integers(-(10**12), 10**12), st.integers(0, 10**7)),
    min_size=1,
)


@examples(100)
@given(told)
def test_an_offset_is_the_least_of_the_last_minutes(said: list[tuple[int, int, int]]) -> None:
    clocks = Clocks()
    said.sort()
    for now, least, more in said:
        clocks.hear("node", least, least + more, now)
    last = said[-1][0] // PIECE
    of_late = [(least, least + more) for now, least, more in said if now // PIECE >= last - PIECES]
    first = min(least for least, _ in of_late)
    known = Offset(first, max(greatest for _, greatest in of_late) - first)
    assert clocks.offset("node") == known
    assert known.off == (abs(first) > SLOT)


def test_a_clock_that_nothing_is_heard_of_is_forgotten() -> None:
    clocks = Clocks()
    clocks.hear("node", 1, 2, PIECE)
    clocks.settle((PIECES + 1) * PIECE)
    assert clocks.offset("node") is not None
    clocks.settle((PIECES + 2) * PIECE)
    assert clocks.offset("node") is None


def test_clocks_are_bounded() -> None:
    clocks = Clocks()
    for node in range(MOST_CLOCKS + 10):
        clocks.hear(str(node), 0, 0, 0)
    assert clocks.offset("9") is None
    assert clocks.offset("10") == Offset(0, 0)


def test_a_clock_that_was_set_right_is_right_after_five_minutes() -> None:
    clocks = Clocks()
    clocks.hear("node", -5, 5, 0)
    clocks.hear("node", 1000, 1005, PIECES * PIECE)
    assert clocks.offset("node") == Offset(-5, 1010)
    clocks.hear("node", 1000, 1005, (PIECES + 1) * PIECE)
    assert clocks.offset("node") == Offset(1000, 5)


def test_nothing_is_known_of_clocks_once_the_servers_was_set() -> None:
    """A record that says so compares times by both, and those that come later are by the new."""
    clocks = Clocks()
    clocks.hear("node", 1, 2, PIECE)
    clocks.server_clock_set()
    assert clocks.offset("node") is None
    clocks.hear("node", 10, 20, 61 * PIECE)
    assert clocks.offset("node") == Offset(10, 10)


def test_clocks_that_are_told_by_two_clocks_of_the_server_are_not_taken() -> None:
    scene = Scene()
    node = scene.node(1, behind=7 * SECOND)
    clocks = scene.networks.clocks
    scene.pass_on()
    assert clocks.offset(node.origin.node_id) == Offset(7 * SECOND, 500)
    scene.networks.take(evolve(scene.observed(), clock_set=(-3600 * SECOND,)), scene.origins)
    assert clocks.offset(node.origin.node_id) is None
    scene.pass_on()
    assert clocks.offset(node.origin.node_id) == Offset(7 * SECOND, 500)
