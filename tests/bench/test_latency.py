"""What the latency benchmark measures: which events, and which rows it makes of that."""

from __future__ import annotations

import pytest

from bench import latency, most_in_time
from bench.harness import Server
from bench.latency import P50, P99, P999, PROCESSOR
from bench.processes import BenchError
from bench.rows import Row, Sample
from bench.settings import Settings
from bench.subscriber import _ID_AND_TIMESTAMP, Subscribers
from telemetry_twisted.api.websocket.frames import event_renderer

SERVER = Server("compiled", 1, 2, 3)


def test_a_measurement_is_a_row_for_each_of_its_figures() -> None:
    details = {P50: 1.0, P99: 2.0, P999: 3.0, PROCESSOR: 4.0, "hub cores": 0.5}
    rows = latency._rows(Row("singles, p50", "compiled", "ms", (Sample(1.0, details),)))
    assert [(row.case, row.unit, row.figure) for row in rows] == [
        ("singles, p50", "ms", 1.0),
        ("singles, p99", "ms", 2.0),
        ("singles, p99.9", "ms", 3.0),
        ("singles, s per million", "s", 4.0),
    ]


def _sampled(reads: list[bytes], every: int) -> list[int]:
    """The times that are measured of what is read."""
    subscribers = Subscribers("", 0, 0, (), 0, measure=True, every=every)
    return [int(stamp) for read in reads for stamp in subscribers._some_of(memoryview(read))]


@pytest.mark.parametrize("reads", [1, 3, 50])
def test_events_are_measured_that_far_apart_however_they_are_read(reads: int) -> None:
    events = [b'{"type":"event","data":{"event":{"X":{"timestamp":%04d}}}}' % n for n in range(150)]
    each = len(events) // reads
    data = [b"".join(events[at : at + each]) for at in range(0, len(events), each)]
    size = len(events[0])
    assert _sampled(data, 10 * size) == list(range(0, 150, 10))


class _Steps:
    """Stands for a server that keeps up ``most`` events/s, and ``for_long`` those for longer."""

    def __init__(self, most: int, for_long: int) -> None:
        self.most = most
        self.for_long = for_long
        self.tried: list[tuple[int, float]] = []

    def __call__(
        self, server: Server, traffic: object, case: latency.Case, seconds: float, every: int
    ) -> dict[str, float]:
        self.tried.append((case.rate, seconds))
        most = self.most if seconds < 2 else self.for_long
        late = 9.0 if case.rate <= most else 11.0
        return {"delivered events/s": case.rate, "skipped": 0, P99: late}


@pytest.mark.parametrize("most", [60_000, 200_000, 333_000, 1_500_000])
def test_the_highest_rate_in_time_is_found(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = _Steps(most, most)
    monkeypatch.setattr(most_in_time, "at_rate", steps)
    found = most_in_time._most(SERVER, SETTINGS).figure
    assert most / 1.2 <= found <= most
    assert [seconds for _, seconds in steps.tried[-2:]] == [1.0, 30.0]


def test_a_rate_that_is_not_kept_up_for_long_is_followed_by_a_lower_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(most_in_time, "at_rate", _Steps(400_000, 360_000))
    assert 300_000 < most_in_time._most(SERVER, SETTINGS).figure <= 360_000


def test_no_rate_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(most_in_time, "at_rate", _Steps(1_000_000, 0))
    with pytest.raises(BenchError, match="does not keep up"):
        most_in_time._most(SERVER, SETTINGS)


SETTINGS = Settings(5, 1.0, 30.0, (), None)  # type: ignore[arg-type]


def test_of_each_event_that_is_kept_the_id_and_the_time_are_found() -> None:
    render = event_renderer(lambda: 0.0)
    event = (
        b'{"type":"event","data":{"id":%d,"node_id":"ab","event_id":0,"event_type":%d,'
        b'"event":{%b:{"timestamp":%d,"num":1}}},"timestamp":"2026-01-01T00:00:00.000000Z"}'
    )
    events = [event % (7, 0, b'"Dropped"', 70), event % (9, 11, b'"BestBlockChanged"', 90)]
    frame = b"".join(render([b",".join(events)], 2))
    assert _ID_AND_TIMESTAMP(frame) == [(b"7", b"70"), (b"9", b"90")]
