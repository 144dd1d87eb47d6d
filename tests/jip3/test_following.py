"""Chains are followed as a plain model says, whatever a node sends, and within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3 import open_chains
from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.codec import VIOLATION, Codec, Dialect, Fault, Following, Stream
from telemetry_twisted.jip3.encoder import frame
from telemetry_twisted.jip3.gathering import MOST_ROWS_OF_NODE
from telemetry_twisted.jip3.moment import COMMON_ERA, Moment
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import Outcome, Withheld
from telemetry_twisted.jip3.python import PythonCodec
from telemetry_twisted.jip3.sights import A_SECOND, AT_ONCE
from tests.examples import examples

from .chain_events import CORES, TIME, content, cost, event, package
from .chain_model import NO_EVENT_AT_ALL, NOT_KNOWN, Model, found_in

DIALECT = Dialect("ab" * 32, cores=CORES)
NOW = TIME
UNDECODABLE = b"\0\0\0\0\0\0\0\0\xfe"
HASHES = [bytes([number]) * 32 for number in range(3)]
NETWORKS = (b"\7" * 32,)

KINDS = st.sampled_from(
    [90, 90, 91, 43, 43, 40, 24, 106, 106, 120, 121, 162, *CHAINS.references, 62, 131, 113, 11, 10]
)


REFERRING = {
    target: [
        *([94, 94, 94, 94, 105, 105, 162] if target == 90 else []),
        *(kind for kind, each in CHAINS.references.items() if target in each.targets),
    ]
    for target in CHAINS.referred
}
"""By the type of an event, the types of those that may refer to it, the more telling more often."""


def moment(second: int = 0, now: int = NOW) -> Moment:
    return Moment(
        b"2026-11-24T07:42:00.123456Z", 0, now - 500, now + 500, 40, second, COMMON_ERA + now
    )


class Followed:
    """A stream that follows chains, and what it is told and tells."""

    def __init__(self, codec: Codec, cores: int | None = CORES) -> None:
        self.gatherer = codec.gatherer()
        dialect = Dialect("ab" * 32, cores=cores)
        self.stream: Stream = codec.open(dialect, Following(self.gatherer, 1, 0))
        self.faults: list[Fault] = []

    def feed(self, *frames: bytes, at: Moment | None = None) -> None:
        data = b"".join(frames)
        decoded = self.stream.decode(data, 0, len(data), 1, 1, at or moment())
        assert decoded.end == len(data)
        self.faults += decoded.faults

    def take(self, second: int = 0) -> dict[str, Any]:
        return found_in(self.gatherer.take(5, 6, second, NETWORKS))

    @property
    def reasons(self) -> list[str]:
        """What was wrong with references, once for each."""
        return [
            fault.reason
            for fault in self.faults
            for _ in range(fault.times)
            if fault.reason.startswith("refers")
        ]


def fields_for(kind: int, number: int) -> dict[str, Any]:
    """Such as make a difference."""
    fields: dict[str, Any] = {}
    if kind in (93, 94):
        fields["core"] = number % 3  # of which the last does not exist
    if kind == 94:
        fields["outline"] = package(*range(number % 18))
    if kind == 95:
        fields["cost"] = cost(95, number)
    if kind == 101:
        fields["costs"] = [cost(101, number)] * (number % 3)
    if kind == 47:
        fields["accumulate_costs"] = [[number % 3, cost(47, number)]] * (number % 3)
    if kind in (120, 124, 144, 152):
        fields["erasure_root"] = HASHES[number % 3]
    if kind == 62:
        fields["hash"] = HASHES[number % 3]
    if kind == 131:
        fields |= {"anchor": HASHES[number % 3], "sender": HASHES[number % 2]}
    if kind in (11, 12, 43, 62):
        fields["slot"] = number % 60  # of which those above 40 are not of this time
    return fields


EVENTS = st.tuples(
    st.just("event"), KINDS, st.integers(-2, 12), st.integers(-3, 20), st.integers(0, 59)
)
FITTING = st.tuples(
    st.just("fitting"),
    st.integers(0, 7),
    st.integers(0, 99),
    st.integers(-3, 20),
    st.integers(0, 59),
)
OTHERS = st.tuples(
    st.sampled_from(["undecodable", "skipped", "lost", "later", "take"]), st.integers(0, 70)
)
STEPS = st.lists(EVENTS | FITTING | FITTING | FITTING | FITTING | OTHERS, min_size=15, max_size=70)
"""With fewer, chains would hardly have more than their roots."""


@examples(500)
@given(steps=STEPS, lap=st.integers(0, 3))
def test_what_is_found_is_what_a_plain_model_finds(
    codec: Codec, steps: Sequence[Any], lap: int
) -> None:
    """With few events that are far from each other the model forgets nothing, as it should."""
    followed, model = Followed(codec), Model(CORES)
    second, time = 0, NOW - 450
    if lap == 3:  # IDs go round soon
        followed.feed(event(0, NOW, num=2**64 - 5, last_timestamp=NOW))
        model.used(2**64 - 1005, 1000, NOT_KNOWN)
    reasons = []
    for what, *step in steps:
        id = followed.stream.next_event_id
        if what == "fitting":
            back, pick, *rest = step
            past = model.past.get((id - 1 - back) % 2**64)
            kinds = REFERRING.get(past[0]) if isinstance(past, tuple) else None
            what, step = "event", [kinds[pick % len(kinds)] if kinds else 90, back, *rest]
        match what, *step:
            case "event", kind, back, ahead, number:
                time += ahead
                # Of IDs that have gone round it cannot be told which are yet to come.
                to = (id - 1 - (max(back, 0) if lap == 3 else back)) % 2**64
                told = content(kind, time, to, **fields_for(kind, number))
                followed.feed(frame(told), at=moment(second))
                reasons.append(model.event(told, id, moment(second)))
            case "undecodable", _:
                followed.feed(frame(UNDECODABLE), at=moment(second))
                model.used(id, 1, NO_EVENT_AT_ALL)
            case "skipped", _:
                followed.stream.skip(event(90), 0, 1)
                model.used(id, 1, NOT_KNOWN)
            case "lost", number:
                followed.feed(event(0, num=number), at=moment(second))
                model.used(id, number, NOT_KNOWN)
            case "later", number:
                second += number
            case "take", _:
                model.expire(second)
                assert followed.take(second) == model.found()
                model.forget()
    followed.stream.end_chains()
    model.end()
    assert followed.take(second) == model.found()
    assert followed.reasons == [reason for reason in reasons if reason is not None]


def test_chains_that_are_too_many_are_forgotten_the_longest_untouched_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_chains, "MOST_OPEN", 3)
    followed = Followed(PythonCodec())
    followed.feed(event(90), event(43), event(24), event(94, to=0, core=1), event(40))
    assert followed.take()["outcomes"] == {(1, 43, Outcome.FORGOTTEN, 0xFFFF): 1}
    followed.feed(event(45, to=1))
    assert followed.take()["withheld"] == {(1, Withheld.ORPHANS): 1}
    assert followed.reasons == []


def test_open_chains_are_bounded_and_counted_however_many_there_are(codec: Codec) -> None:
    followed = Followed(codec)
    followed.feed(event(24) * 9000)
    followed.stream.end_chains()
    forgotten, unfinished = 9000 - open_chains.MOST_OPEN, open_chains.MOST_OPEN
    assert followed.take()["outcomes"] == {
        (1, 24, Outcome.FORGOTTEN, 0xFFFF): forgotten,
        (1, 24, Outcome.UNFINISHED, 0xFFFF): unfinished,
    }


def test_what_is_not_heard_of_expires_and_who_refers_to_it_then_is_an_orphan(codec: Codec) -> None:
    followed = Followed(codec)
    followed.feed(event(43), event(90), event(162, to=1))
    assert followed.take(59)["outcomes"] == {}
    assert followed.take(60)["outcomes"] == {(1, 43, Outcome.UNFINISHED, 0xFFFF): 1}
    followed.feed(event(47, to=0), event(94, to=1, core=1), at=moment(599))
    assert followed.take(600)["outcomes"] == {(1, 162, Outcome.UNFINISHED, 0xFFFF): 1}
    followed.feed(event(167, to=2), event(109, to=1), at=moment(1198))
    found = followed.take(1199)
    assert found["outcomes"] == {(1, 90, Outcome.SUCCESS, 1): 1}
    assert found["withheld"] == {(1, Withheld.ORPHANS): 1}
    assert followed.reasons == []


def test_references_that_break_a_rule_are_told_once_with_how_often(codec: Codec) -> None:
    followed = Followed(codec)
    followed.feed(event(43), frame(UNDECODABLE), event(45, to=1), event(45, to=7) * 3)
    followed.feed(event(23, to=0), event(47, to=0), event(47, to=0))
    assert [
        (fault.kind, fault.discriminator, fault.offset)
        for fault in followed.faults
        if fault.offset == 9
    ] == [
        (VIOLATION, 45, 9),
        (VIOLATION, 45, 9),
        (VIOLATION, 23, 9),
        (VIOLATION, 47, 9),
    ]
    assert followed.reasons == [
        open_chains.NO_SUCH,
        *[open_chains.YET_TO_COME] * 3,
        open_chains.WRONG_TYPE,
        open_chains.HAS_ENDED,
    ]
    assert next(fault for fault in followed.faults if fault.offset == 9).excerpt == content(
        45, to=1
    )


def test_a_reference_into_what_was_dropped_or_passed_over_is_no_fault(codec: Codec) -> None:
    followed = Followed(codec)
    followed.feed(event(0, num=5), event(45, to=3))
    followed.stream.skip(event(43), 0, 1)
    followed.feed(event(45, to=6))
    followed.feed(event(0, num=2**64 - 100), event(45, to=6))
    assert followed.take()["withheld"] == {(1, Withheld.ORPHANS): 3}
    assert followed.reasons == []


def test_of_far_more_guarantees_than_a_package_has_the_last_two_can_be_sent(codec: Codec) -> None:
    followed = Followed(codec)
    followed.feed(event(90), event(105, to=0) * 3, event(106, to=1), event(106, to=3))
    found = followed.take()
    assert found["withheld"] == {(1, Withheld.ORPHANS): 1}
    assert [row[1:6] for row in found["sightings"]][-1] == (106, 90, 5, 5, 0)


def test_what_a_chain_inside_another_says_leaves_half_of_the_sightings_to_others(
    codec: Codec,
) -> None:
    followed = Followed(codec)
    followed.feed(event(90), event(105, to=0))
    followed.feed(event(106, to=1) * AT_ONCE, *[event(43)] * AT_ONCE)
    found = followed.take()
    kinds = [row[-1][8] for row in found["sightings"]]
    assert (kinds.count(106), kinds.count(43)) == (AT_ONCE // 2 - 2, AT_ONCE // 2)
    followed.feed(event(43) * AT_ONCE, at=moment(2))
    found = followed.take()
    assert len(found["sightings"]) == 2 * A_SECOND
    assert found["withheld"] == {(1, Withheld.SIGHTINGS): AT_ONCE - 2 * A_SECOND}


def test_a_long_message_costs_more_of_them(codec: Codec) -> None:
    followed = Followed(codec)
    outline = package(*range(500))
    followed.feed(event(90), *[event(94, to=0, outline=outline)] * 100)
    found = followed.take()
    assert {len(row[-1]) for row in found["sightings"][1:]} == {8192}
    assert len(found["sightings"]) == 1 + AT_ONCE // 33


def test_no_node_makes_more_rows_than_its_share(codec: Codec) -> None:
    followed = Followed(codec)
    costs = [[service, cost(47, 1)] for service in range(5000)]
    followed.feed(event(43), event(47, to=0, accumulate_costs=costs))
    found = followed.take()
    assert len(found["costs"]) == MOST_ROWS_OF_NODE - 1
    assert found["withheld"] == {(1, Withheld.ROWS): 5000 - len(found["costs"]) + 1}
    followed.feed(event(43))
    followed.stream.end_chains()
    assert followed.take()["outcomes"] == {(1, 43, Outcome.UNFINISHED, 0xFFFF): 1}


def test_a_receipt_is_told_with_its_assurance_or_not_at_all(codec: Codec) -> None:
    followed = Followed(codec)
    half = MOST_ROWS_OF_NODE // 2
    senders = [number.to_bytes(32, "big") for number in range(half)]
    known = event(131, sender=senders[0])
    others = (event(131, sender=sender) for sender in senders[1:])
    followed.feed(known, known, *others, known, known)
    found = followed.take()
    assert sum(found["receipts"].values()) == half + 1
    assert found["withheld"] == {(1, Withheld.ROWS): 2}
    # When one row was left, the last sender would have needed two, and a known one took it.
    assert {row[2] for row in found["receipts"]} == set(senders[:-1])


def test_sums_stop_where_a_database_does(codec: Codec) -> None:
    followed = Followed(codec)
    costs = [[3, cost(47, 2**32 - 1) | {"load_ns": 2**64 - 1}]] * 2
    followed.feed(event(43), event(47, to=0, accumulate_costs=costs))
    ((times, sums),) = followed.take()["costs"].values()
    assert times == 2
    assert sorted(set(sums)) == [2 * (2**32 - 1), 2**63 - 1]


def test_a_network_without_an_index_is_in_no_sum(codec: Codec) -> None:
    gatherer = codec.gatherer()
    stream = codec.open(DIALECT, Following(gatherer, 1, 255))
    data = event(43) + event(47, to=0, accumulate_costs=[[1, cost(47)]]) + event(131)
    stream.decode(data, 0, 10, 1, 1, moment())
    found = found_in(gatherer.take(1, 2, 0, ()))
    assert (found["costs"], found["receipts"]) == ({}, {})
    assert found["withheld"] == {(1, Withheld.ROWS): 2}


def test_observations_say_what_they_cover_and_are_nothing_where_there_is_nothing(
    codec: Codec,
) -> None:
    followed = Followed(codec)
    assert followed.gatherer.take(1, 2, 0, NETWORKS) == b""
    followed.feed(event(0, num=1), event(24, NOW - 7), event(24, NOW + 9))
    told = Observations.decode(followed.gatherer.take(1, 2, 0, NETWORKS))
    assert (told.began, told.ended, told.networks) == (1, 2, NETWORKS)
    assert told.clocks == ((1, -9, 7),)
    assert followed.gatherer.take(2, 3, 0, NETWORKS) == b""


def test_without_following_nothing_is_wrong_with_a_reference(codec: Codec) -> None:
    stream = codec.open(DIALECT)
    decoded = stream.decode(event(45, to=7), 0, 1, 1, 1, moment())
    assert decoded.faults == []
    stream.end_chains()
