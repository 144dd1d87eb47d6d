"""Figures as server-sent events, for pages that draw them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from telemetry_twisted.api.websocket.metrics import Metrics
from telemetry_twisted.errors import InternalErrors

from .asked import Asked
from .endpoint import Sources, endpoint

STREAM = "metrics stream"
"""The place of mistakes in what is sent to one client (:class:`.InternalErrors`)."""


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

    :param metrics: tells the figures, made once for all who listen.
    """

    def __init__(self, metrics: Metrics, errors: InternalErrors) -> None:
        self._metrics = metrics
        self._errors = errors
        self._flowing = True

    def start(self, request: Any, seconds: float) -> Deferred[None]:
        """Answer ``request`` with the stream, until what is returned is cancelled."""
        self._request = request
        request.setHeader(b"content-type", b"text/event-stream")
        request.setHeader(b"cache-control", b"no-store")
        self._metrics.begin(self, seconds)
        request.registerProducer(self, True)
        return Deferred(lambda _: self._metrics.end(self))

    def send_metrics(self, metrics: bytes) -> None:
        if self._flowing:
            with self._errors.kept_at(STREAM):
                self._request.write(b"event: metrics\ndata: %b\n\n" % metrics)

    def pauseProducing(self) -> None:
        self._flowing = False

    def resumeProducing(self) -> None:
        self._flowing = True

    def stopProducing(self) -> None:
        self._flowing = False
