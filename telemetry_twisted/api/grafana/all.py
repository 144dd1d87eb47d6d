"""All that is answered below ``/api/grafana``."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from klein import Klein
from twisted.web.iweb import IRequest

from telemetry_twisted.api.answers import json_body
from telemetry_twisted.api.rest.asked import BadRequest
from telemetry_twisted.api.rest.endpoint import Endpoint, Sources

from . import (
    assurances,
    blocks,
    cores,
    events,
    funnels,
    guarantees,
    health,
    latencies,
    nodes,
    onchain,
    packages,
    profiling,
    raw_events,
    services,
    statuses,
)
from .routes import PREFIX, read_given

ENDPOINTS: tuple[Endpoint, ...] = (
    *events.ENDPOINTS,
    *raw_events.ENDPOINTS,
    *nodes.ENDPOINTS,
    *statuses.ENDPOINTS,
    *cores.ENDPOINTS,
    *blocks.ENDPOINTS,
    *services.ENDPOINTS,
    *funnels.ENDPOINTS,
    *packages.ENDPOINTS,
    *profiling.ENDPOINTS,
    *guarantees.ENDPOINTS,
    *assurances.ENDPOINTS,
    *latencies.ENDPOINTS,
    *health.ENDPOINTS,
    *onchain.ENDPOINTS,
)
"""What is asked with GET."""

_read_hashes = msgspec.json.Decoder(list[Any]).decode


def grafana_routes(app: Klein, sources: Sources) -> None:
    """Add the routes to those that ``app`` has."""
    for endpoint in ENDPOINTS:
        rule = endpoint.path.replace("{", "<string:").replace("}", ">")
        app.route(rule, methods=["GET", "HEAD"], endpoint=endpoint.path)(
            _answering(endpoint, sources)
        )

    @app.route(f"{PREFIX}wp/batch", methods=["POST"], endpoint=f"{PREFIX}wp/batch")
    async def batch(request: Any) -> bytes:
        try:
            hashes = _read_hashes(request.content.read())
        except msgspec.DecodeError as error:
            raise BadRequest(f"expected a JSON array of hashes: {error}") from None
        texts = [text for text in hashes if isinstance(text, str)]
        return await _told(request, sources, await packages.batch(sources, None, texts))


def _answering(endpoint: Endpoint, sources: Sources) -> Callable[..., Any]:
    async def answer(request: Any, **path: str) -> bytes:
        given = read_given(endpoint, request.args, path)
        return await _told(request, sources, await endpoint.answer(sources, given))

    return answer


async def _told(request: IRequest, sources: Sources, found: Any) -> bytes:
    await sources.history.turns.taken()
    request.setHeader(b"cache-control", b"no-store")
    return json_body(request, HTTPStatus.OK, msgspec.json.encode(found))
