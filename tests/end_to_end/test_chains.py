"""What history says of chains is what the events say that subscribers were sent."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from telemetry_twisted.jip3.codec import CodecUnavailable, load_codec
from telemetry_twisted.jip3.encoder import encode_event
from telemetry_twisted.jip3.moment import COMMON_ERA, Moment
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import (
    CoreCount,
    Cost,
    LatencyCount,
    Outcome,
    OutcomeCount,
    Withheld,
    WithheldCount,
)
from telemetry_twisted.timestamps import microseconds
from tests.end_to_end.account import differences, querying
from tests.end_to_end.conftest import Message, await_true
from tests.end_to_end.truth import PATIENCE, scene
from tests.jip3.chain_model import NOT_KNOWN, Model
from tests.store.write.sums_truth import Told, add_observations, clocks_in, sums_in

CORES = 341
DAY = 24 * 3600 * 1_000_000


def codecs() -> list[str]:
    names = ["python"]
    try:
        load_codec("compiled")
    except CodecUnavailable:
        return names
    return [*names, "compiled"]


def content(event: dict[str, Any], kind: int) -> bytes:
    """The message that an event came in."""
    ((_, fields),) = event.items()
    return encode_event(kind, fields.pop("timestamp"), fields, cores=CORES)


def read(events: list[Message]) -> Model:
    """What the events of one connection come to, once it has ended."""
    model = Model(CORES)
    expected = 0
    for message in events:
        data = message["data"]
        id, kind = data["event_id"], data["event_type"]
        assert id == expected
        used = 1
        if kind == 0:
            used = data["event"]["Dropped"]["num"]
            model.used(id, used, NOT_KNOWN)
        else:
            arrived = microseconds(message["timestamp"])
            time = arrived - COMMON_ERA
            moment = Moment(b"", 0, time - DAY, time + DAY, arrived=arrived)
            assert model.event(content(data["event"], kind), id, moment) is None
        expected = (id + used) % 2**64
    model.end()
    return model


def observations_of(model: Model, genesis: str) -> Observations:
    """The same as observations, but for what is told one by one; of the node with handle 1."""
    found = model.found()
    return Observations(
        0,
        0,
        (bytes.fromhex(genesis[2:]),),
        outcomes=tuple(OutcomeCount._make((*key, n)) for key, n in found["outcomes"].items()),
        latencies=tuple(
            LatencyCount._make((*key, *row)) for key, row in found["latencies"].items()
        ),
        cores=tuple(CoreCount._make((*key, n)) for key, n in found["cores"].items()),
        costs=tuple(Cost._make((*key, *row)) for key, row in found["costs"].items()),
        withheld=tuple(WithheldCount._make((*key, n)) for key, n in found["withheld"].items()),
    )


def without_sightings(told: Told) -> Told:
    """How much is told one by one depends on how quickly it comes."""
    return Counter(
        {key: n for key, n in told.items() if key[-2:] != ("withheld", Withheld.SIGHTINGS)}
    )


def _whose(node: str, genesis: str, _: int) -> tuple[str, str]:
    return node, genesis


@pytest.mark.parametrize("codec", codecs())
def test_what_is_kept_of_chains_is_what_the_events_say(tmp_path: Path, codec: str) -> None:
    url = f"sqlite:{tmp_path / 'history'}"
    with scene(tmp_path / "server", url, f"--codec={codec}") as at:
        at.await_pid("store")
        with at.server.subscriber() as subscriber:
            options = ("--nodes=12", "--events=600", "--mistakes=0", "--profile=flood")
            sent = at.simulate(*options, rate=600).sent()
            subscriber.receive_until(
                lambda: subscriber.received_and_skipped >= sent.events, PATIENCE
            )
            assert subscriber.skipped == 0
            by_node = {node: read(events) for node, events in subscriber.by_node.items()}
        await_true(lambda: at.stored() == sent.events, "all is counted", PATIENCE)
        query = querying(url)
        ((genesis,),) = query("SELECT genesis FROM networks")
        expected: Told = Counter()
        for node, model in by_node.items():
            observed = observations_of(model, genesis)
            add_observations(expected, observed, partial(_whose, node, genesis))
        outcomes = {key[2] for model in by_node.values() for key in model.outcomes}
        assert outcomes == {Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNFINISHED}

        def wrong() -> list[str]:
            kept = without_sightings(sums_in(query))
            return differences("sums", without_sightings(expected), kept)

        await_true(lambda: not wrong(), "\n".join(wrong()[:20]), PATIENCE)
        for node, bounds in clocks_in(query).items():
            clock = by_node[node].clock
            assert bounds == pytest.approx((min(clock), max(clock)), abs=1)
