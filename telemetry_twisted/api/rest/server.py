"""Questions about the server itself."""

from __future__ import annotations

from typing import Any, Literal

from telemetry_twisted import __version__
from telemetry_twisted.store.read import extent
from telemetry_twisted.store.read.shapes import Answer

from .asked import Asked
from .endpoint import Sources, endpoint


class Health(Answer):
    """Whether all is well, what is not, and the figures of this moment."""

    status: Literal["ok", "degraded"]
    service: str
    version: str
    problems: list[str]
    metrics: dict[str, Any]


class Stats(Answer):
    """What the server does, and how much history there is."""

    server: dict[str, Any]
    history: extent.Extent


@endpoint("/api/health/detailed")
async def health(sources: Sources, _: Asked) -> Health:
    """How the server and each of its parts fares."""
    live = sources.live
    problems = live.problems()
    return Health(
        status="degraded" if problems else "ok",
        service="telemetry-twisted",
        version=__version__,
        problems=problems,
        metrics=live.metrics(),
    )


@endpoint("/api/stats")
async def stats(sources: Sources, _: Asked) -> Stats:
    """What the server holds and has done."""
    return Stats(server=sources.live.stats(), history=await extent.extent(sources.history))


@endpoint("/api/metrics/live")
async def metrics(sources: Sources, _: Asked) -> dict[str, Any]:
    """The figures of this moment."""
    return sources.live.metrics()
