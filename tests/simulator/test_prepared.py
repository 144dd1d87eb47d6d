"""Prepared pieces: what is stamped onto bytes equals what is encoded afresh."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.simulator.context import Context, Moment
from telemetry_twisted.simulator.network import Network
from telemetry_twisted.simulator.prepared import PreparedPiece, prepare_pieces
from telemetry_twisted.simulator.requests import SHARD
from telemetry_twisted.simulator.schedule import Event
from telemetry_twisted.simulator.traffic import KINDS
from tests.examples import examples

NETWORK = Network(nodes=2, seed=5, cores=20)

moments = st.builds(
    Moment,
    time=st.integers(0, 2**56),
    first_id=st.integers(0, 2**56),
    assurance_id=st.integers(0, 2**56),
    slot=st.integers(10, 2**32 - 2),
    epoch=st.integers(0, 2**32 - 2),
    head_slot=st.integers(0, 2**32 - 1),
    head=st.integers(0, 2**256 - 1),
    anchor=st.integers(0, 2**256 - 1),
    rotation=st.integers(0, 2**28),
)


def make_context(random: Random, moment: Moment) -> Context:
    return Context(
        random=random,
        moment=moment,
        seed=5,
        peers=list(enumerate(NETWORK.peer_ids)),
        cores=20,
        validators=60,
        version=0,
    )


class Example:
    """Makes a piece and remembers how its events are made for a moment."""

    def __init__(self) -> None:
        random = Random(1)
        self.chosen = [(kind, fate) for kind in KINDS for fate in kind.fates]
        random.shuffle(self.chosen)

    def events(self, moment: Moment) -> Sequence[Event]:
        random = Random(2)
        context = make_context(random, moment)
        made: list[Event] = []
        for kind, fate in self.chosen:
            exchange = kind.begin(context, 0, fate)
            event = next(exchange, None)
            while event is not None:
                event_id = moment.first_id + len(made)
                made.append(event._replace(time=moment.time + 10 * len(made)))
                try:
                    event = exchange.send(event_id)
                except StopIteration:
                    break
        return made


EXAMPLE = Example()
PIECE = PreparedPiece(EXAMPLE.events, NETWORK.encode)


@given(moments)
@examples(50)
def test_stamping_equals_encoding(moment: Moment) -> None:
    expected = b"".join(map(NETWORK.encode, EXAMPLE.events(moment)))
    assert PIECE.at(moment) == expected


@given(moments, moments)
@examples(20)
def test_stamping_does_not_depend_on_what_was_stamped_before(one: Moment, other: Moment) -> None:
    first = PIECE.at(one)
    PIECE.at(other)
    assert PIECE.at(one) == first


def test_counts_and_ends_describe_the_events() -> None:
    events = EXAMPLE.events(Moment(0, 0, 0, 1_000, 1, 1_000, 0, 0, 0))
    sizes = [len(NETWORK.encode(event)) for event in events]
    assert list(PIECE.names) == [event.name for event in events]
    assert PIECE.ends == tuple(sum(sizes[: n + 1]) for n in range(len(sizes)))
    assert PIECE.size == sum(sizes)
    assert sum(PIECE.counts.values()) == len(PIECE) == len(events)
    assert sum(PIECE.failure_counts.values()) == sum("reason" in e.fields for e in events)


def test_the_pieces_have_every_fate_of_every_kind() -> None:
    pieces = prepare_pieces(make_context, NETWORK.encode, KINDS, seed="x", size=32, span=20_000)
    seen = {name for piece in pieces for name in piece.names}
    assert seen == set(PIECE.names)
    reasons = {failure for piece in pieces for failure in piece.failures if failure}
    enumerated = {failure for failure in filter(None, PIECE.failures) if " " not in failure.reason}
    assert enumerated <= reasons


@pytest.mark.parametrize("span", [0, 1, 1_000, 20_000])
def test_a_piece_fits_its_span_in_order(span: int) -> None:
    for piece in prepare_pieces(make_context, NETWORK.encode, KINDS, seed="x", size=200, span=span):
        assert 0 <= piece.span <= span


def test_a_request_that_fails_early_was_never_sent() -> None:
    exchange = SHARD.ask(Random(1), 0, {"shard": 1}, fails="early")
    assert next(exchange).name == "SendingShardRequest"
    failed = exchange.send(17)
    assert failed.name == "ShardRequestFailed"
    assert failed.fields["request_id"] == 17
    with pytest.raises(StopIteration):
        exchange.send(18)
