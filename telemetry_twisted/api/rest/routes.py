"""The REST API: routes for every endpoint, and one shape for what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from telemetry_twisted.api.answers import MISTAKE, REQUEST, json_body, json_error
from telemetry_twisted.api.grafana.all import grafana_routes
from telemetry_twisted.api.http.connections import Connections
from telemetry_twisted.api.websocket.context import Gauges
from telemetry_twisted.api.websocket.metrics import Metrics
from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.quiet import QuietLog
from telemetry_twisted.store.database.interface import DatabaseError
from telemetry_twisted.store.read.history import History

from . import blocks, chains, events, failures, losses, networks, nodes, server, stream, work
from .asked import BadRequest
from .endpoint import Endpoint, NotFound, Sources
from .openapi import HERE, openapi_document
from .page import PAGE_POLICY, ApiPage
from .parameters import read_parameters
from .prometheus.exposition import Exposition
from .prometheus.nodes import NodesAsked

_log = Logger()

ENDPOINTS: tuple[Endpoint, ...] = (
    server.health,
    server.stats,
    nodes.network,
    nodes.nodes,
    nodes.node,
    events.node_events,
    nodes.timeline,
    events.events,
    events.event_types,
    networks.networks,
    networks.network_health,
    networks.slots,
    blocks.slot,
    networks.slot_nodes,
    blocks.propagation,
    networks.work_packages,
    networks.work_package,
    networks.guarantees,
    networks.assurances,
    networks.anchor,
    failures.failures,
    failures.protocol_errors,
    losses.losses,
    losses.gaps,
    chains.chains,
    chains.latencies,
    chains.latency,
    chains.latency_nodes,
    chains.connections,
    chains.clocks,
    work.funnel,
    work.cores,
    work.core,
    work.services,
    work.service,
    server.metrics,
    events.timeseries,
)
"""All that can be asked, in the order in which it is documented."""

STREAMS: tuple[Endpoint, ...] = (stream.metrics_stream,)
"""What is answered for as long as the client listens."""


def history_routes(
    app: Klein,
    history: History,
    live: Gauges,
    clock: IReactorTime,
    now: Now,
    errors: InternalErrors,
    connections: Connections,
    node_totals: NodesAsked,
    base: str = HERE,
) -> None:
    """Add the routes of a server that keeps history to those that ``app`` has.

    :param connections: those to the API, which Prometheus is told of.
    :param node_totals: tells Prometheus of nodes.
    :param base: the URL that paths are below, as the OpenAPI document tells it.
    """
    sources = Sources(history, live, now)
    quiet = QuietLog(_log, clock)
    for endpoint in ENDPOINTS:
        _route(app, endpoint.path, endpoint.path)(_answering(endpoint, sources))
    grafana_routes(app, sources)
    document = msgspec.json.encode(openapi_document(ENDPOINTS, STREAMS, base))
    exposition = Exposition(live, connections, node_totals, now, history.turns)
    streamed = Metrics(live, clock, errors)

    @_route(app, "/api/openapi.json", "openapi")
    def openapi(request: IRequest) -> bytes:
        return _json(request, document)

    @_route(app, "/api/docs", "docs")
    def docs(request: IRequest) -> ApiPage:
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        request.setHeader(b"content-security-policy", PAGE_POLICY.encode())
        return ApiPage((*ENDPOINTS, *STREAMS))

    @_route(app, "/metrics", "metrics")
    async def metrics(request: IRequest) -> bytes:
        return await exposition.answer(request)

    @_route(app, stream.metrics_stream.path, "stream")
    def metrics_stream(request: Any) -> Deferred[None]:
        declared = stream.metrics_stream
        asked = read_parameters(declared.asked, declared.parameters, request.args, {})
        answer = stream.MetricsStream(streamed, errors)
        return answer.start(request, asked.interval_ms / 1000)

    @app.handle_errors(BadRequest)
    def bad_request(request: IRequest, failure: Failure) -> bytes:
        return json_error(request, HTTPStatus.BAD_REQUEST, str(failure.value))

    @app.handle_errors(NotFound)
    def not_found(request: IRequest, failure: Failure) -> bytes:
        return json_error(request, HTTPStatus.NOT_FOUND, str(failure.value))

    @app.handle_errors(DatabaseError)
    def no_database(request: IRequest, failure: Failure) -> bytes:
        quiet.warn("a request is not answered: {error}", error=failure.value)
        message = "the database does not answer now; the live stream goes on at /api/ws"
        return json_error(request, HTTPStatus.SERVICE_UNAVAILABLE, message)

    @app.handle_errors(Exception)
    def our_fault(request: IRequest, failure: Failure) -> bytes:
        errors.note(REQUEST, failure)
        return json_error(request, HTTPStatus.INTERNAL_SERVER_ERROR, MISTAKE)


def _route(app: Klein, path: str, name: str) -> Callable[[Any], Any]:
    rule = path.replace("{", "<string:").replace("}", ">")
    return app.route(rule, methods=["GET", "HEAD"], endpoint=name)


def _answering(endpoint: Endpoint, sources: Sources) -> Callable[..., Any]:
    async def answer(request: Any, **path: str) -> bytes:
        asked = read_parameters(endpoint.asked, endpoint.parameters, request.args, path)
        found = await endpoint.answer(sources, asked)
        await sources.history.turns.taken()
        return _json(request, msgspec.json.encode(found))

    return answer


def _json(request: IRequest, body: bytes) -> bytes:
    request.setHeader(b"cache-control", b"no-store")
    return json_body(request, HTTPStatus.OK, body)
