"""The request protocols of JAMNP, which nodes report alike: seven of them, from either side."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from random import Random
from typing import Any

from attrs import frozen

from .chains import FAILURE, SUCCESS, Chain
from .schedule import Event

FAILURES = (
    "connection lost",
    "stream reset by peer",
    "timed out after 2000 ms",
    "too many concurrent requests",
    "unexpected end of stream",
)
"""Reasons that any stream may fail for."""

NOTHING: Mapping[str, Any] = {}

Asked = Generator[Event, int, int]
"""The events of a request; returns the time of the last."""


def delay(random: Random, mean: int) -> int:
    """A time to wait, about ``mean`` microseconds on average and at most eight times that."""
    return 1 + min(int(random.expovariate(1 / mean)), 8 * mean)


@frozen
class Request:
    """One request protocol: ``name`` is the middle of its events' names.

    ``question`` holds the fields of its first event, ``details`` what the side that is asked
    learns from the request, ``answer`` the fields of the last event. ``fails`` is None, ``early``
    for a request that fails before it is sent or received, or ``late``. ``mean`` is the usual time
    between two events, in microseconds.
    """

    name: str
    transferred: str

    def ask(
        self,
        random: Random,
        time: int,
        question: Mapping[str, Any],
        *,
        answer: Mapping[str, Any] = NOTHING,
        fails: str | None = None,
        mean: int = 3_000,
        parent: Chain | None = None,
    ) -> Asked:
        """Ask a peer, on behalf of the chain ``parent`` if there is one."""
        first = Event(time, f"Sending{self.name}Request", question)
        then = Event(0, f"{self.name}RequestSent", NOTHING)
        return self._events(random, first, then, answer, fails, mean, parent)

    def serve(
        self,
        random: Random,
        time: int,
        question: Mapping[str, Any],
        details: Mapping[str, Any],
        *,
        answer: Mapping[str, Any] = NOTHING,
        fails: str | None = None,
        mean: int = 3_000,
    ) -> Asked:
        """Be asked by a peer."""
        first = Event(time, f"Receiving{self.name}Request", question)
        then = Event(0, f"{self.name}RequestReceived", details)
        return self._events(random, first, then, answer, fails, mean)

    def _events(
        self,
        random: Random,
        first: Event,
        then: Event,
        answer: Mapping[str, Any],
        fails: str | None,
        mean: int,
        parent: Chain | None = None,
    ) -> Asked:
        time = first.time
        chain = Chain(first.name, parent)
        request_id = yield first._replace(chain=chain)
        time += delay(random, mean)
        if fails != "early":
            yield Event(time, then.name, {"request_id": request_id, **then.fields}, chain)
            time += delay(random, mean)
        if fails:
            reason = random.choice(FAILURES)
            failed = {"request_id": request_id, "reason": reason}
            yield Event(time, f"{self.name}RequestFailed", failed, chain, FAILURE)
        else:
            answered = {"request_id": request_id, **answer}
            yield Event(time, self.transferred, answered, chain, SUCCESS)
        return time


BLOCK = Request("Block", "BlockTransferred")
SHARD = Request("Shard", "ShardsTransferred")
BUNDLE_SHARD = Request("BundleShard", "BundleShardTransferred")
BUNDLE = Request("Bundle", "BundleTransferred")
SEGMENT_SHARD = Request("SegmentShard", "SegmentShardsTransferred")
SEGMENT = Request("Segment", "SegmentsTransferred")
PREIMAGE = Request("Preimage", "PreimageTransferred")
