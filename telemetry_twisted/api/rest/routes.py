"""The REST API: routes for every endpoint, and one shape for what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from telemetry_twisted.api.answers import MISTAKE, REQUEST, json_body, json_error
from telemetry_twisted.api.http.connections import Connections
from telemetry_twisted.api.websocket.context import Gauges
from telemetry_twisted.api.websocket.frames import encode
from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.store.database.interface import DatabaseError
from telemetry_twisted.store.read.history import History
from telemetry_twisted.turns import Turns

from . import schemas
from .endpoints import Answers, Encoded, Endpoint, NotFound
from .openapi import HERE, PAGE_POLICY, ApiPage, openapi_document
from .parameters import INTERVAL, BadRequest, read_parameters
from .prometheus import Exposition
from .stream import MetricsStream

_log = Logger()


def history_routes(
    app: Klein,
    history: History,
    live: Gauges,
    clock: IReactorTime,
    now: Now,
    errors: InternalErrors,
    connections: Connections,
    base: str = HERE,
) -> None:
    """Add the routes of a server that keeps history to those that ``app`` has.

    :param connections: those to the API, which Prometheus is told of.
    :param base: the URL that paths are below, as the OpenAPI document tells it.
    """
    endpoints = Answers(history, live, now).endpoints
    streams = (_stream_endpoint(),)
    for endpoint in endpoints:
        _route(app, endpoint.path, endpoint.path)(_answering(endpoint, history.turns))
    document = encode(openapi_document(endpoints, streams, base))
    exposition = Exposition(live, connections)

    @_route(app, "/api/openapi.json", "openapi")
    def openapi(request: IRequest) -> bytes:
        return _json(request, document)

    @_route(app, "/api/docs", "docs")
    def docs(request: IRequest) -> ApiPage:
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        request.setHeader(b"content-security-policy", PAGE_POLICY.encode())
        return ApiPage((*endpoints, *streams))

    @_route(app, "/metrics", "metrics")
    def metrics(request: IRequest) -> bytes:
        return exposition.answer(request)

    @_route(app, streams[0].path, "stream")
    def stream(request: Any) -> Deferred[None]:
        values = read_parameters(streams[0].parameters, request.args, {})
        return MetricsStream(live, clock, errors).start(request, values["interval_ms"] / 1000)

    @app.handle_errors(BadRequest)
    def bad_request(request: IRequest, failure: Failure) -> bytes:
        return json_error(request, HTTPStatus.BAD_REQUEST, str(failure.value))

    @app.handle_errors(NotFound)
    def not_found(request: IRequest, failure: Failure) -> bytes:
        return json_error(request, HTTPStatus.NOT_FOUND, str(failure.value))

    @app.handle_errors(DatabaseError)
    def no_database(request: IRequest, failure: Failure) -> bytes:
        _log.warn("{path} is not answered: {error}", path=request.path, error=failure.value)
        message = "the database does not answer now; the live stream goes on at /api/ws"
        return json_error(request, HTTPStatus.SERVICE_UNAVAILABLE, message)

    @app.handle_errors(Exception)
    def our_fault(request: IRequest, failure: Failure) -> bytes:
        errors.note(REQUEST, failure)
        return json_error(request, HTTPStatus.INTERNAL_SERVER_ERROR, MISTAKE)


def _route(app: Klein, path: str, name: str) -> Callable[[Any], Any]:
    rule = path.replace("{", "<string:").replace("}", ">")
    return app.route(rule, methods=["GET", "HEAD"], endpoint=name)


def _answering(endpoint: Endpoint, turns: Turns) -> Callable[..., Any]:
    async def answer(request: Any, **path: str) -> bytes:
        values = read_parameters(endpoint.parameters, request.args, path)
        found = await endpoint.answer(values)
        await turns.taken()
        return _json(request, found if isinstance(found, Encoded) else encode(found))

    return answer


def _json(request: IRequest, body: bytes) -> bytes:
    request.setHeader(b"cache-control", b"no-store")
    return json_body(request, HTTPStatus.OK, body)


def _stream_endpoint() -> Endpoint:
    async def endless(_: object) -> None:
        """It is never asked for an answer."""

    return Endpoint(
        "/api/metrics/stream",
        "The figures of each moment, as server-sent events of type metrics",
        (INTERVAL,),
        schemas.TEXT,
        endless,
    )
