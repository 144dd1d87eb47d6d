"""Figures as server-sent events, for pages that draw them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from telemetry_twisted.api.websocket.context import Gauges
from telemetry_twisted.api.websocket.frames import encode
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.rounds import Rounds

from .asked import Asked
from .endpoint import Sources, endpoint


class StreamAsked(Asked, frozen=True, kw_only=True):
    """How often."""

    interval_ms: Annotated[int, Meta(ge=500, le=10_000, description="How often.")] = 1000


@endpoint("/api/metrics/stream")
async def metrics_stream(_: Sources, _asked: StreamAsked) -> str:
    """The figures of each moment, as server-sent events of type metrics."""
    raise NotImplementedError("it is answered by a MetricsStream, which goes on")


@implementer(IPushProducer)
class MetricsStream:
    """Sends a ``metrics`` event every so many seconds for as long as the client listens.

    What a client that does not keep up would fall behind with is left out.
    """

    def __init__(self, live: Gauges, clock: IReactorTime, errors: InternalErrors) -> None:
        self._live = live
        self._flowing = True
        self._rounds = Rounds(self._send, "metrics stream", clock, errors)

    def start(self, request: Any, seconds: float) -> Deferred[None]:
        """Answer ``request`` with the stream, until what is returned is cancelled."""
        self._request = request
        request.setHeader(b"content-type", b"text/event-stream")
        request.setHeader(b"cache-control", b"no-store")
        request.registerProducer(self, True)
        ended: Deferred[None] = Deferred(lambda _: self._rounds.stop())
        self._rounds.start(seconds, now=True)
        return ended

    def _send(self) -> None:
        if self._flowing:
            self._request.write(b"event: metrics\ndata: %b\n\n" % encode(self._live.metrics()))

    def pauseProducing(self) -> None:
        self._flowing = False

    def resumeProducing(self) -> None:
        self._flowing = True

    def stopProducing(self) -> None:
        self._flowing = False
