"""The HTTP side: the WebSocket upgrade, health, and an answer to everything else."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from klein import Klein
from klein.resource import KleinResource
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from werkzeug.exceptions import BadHost, HTTPException, MethodNotAllowed

from telemetry_twisted import __version__

from .websocket.frames import encode
from .websocket.protocol import web_socket_resource
from .websocket.subscribers import Subscribers


def json_answer(request: IRequest, code: int, value: Any) -> bytes:
    """Answer ``request`` with ``value`` as JSON."""
    request.setResponseCode(code)
    request.setHeader(b"content-type", b"application/json")
    return encode(value)


def json_error(request: IRequest, code: int, message: str) -> bytes:
    """Answer ``request`` with the one shape that errors have."""
    return json_answer(request, code, {"error": {"status": code, "message": message}})


class WebSocketUpgrade(Resource):
    """Lets subscribers in while there is room."""

    isLeaf = True

    def __init__(self, subscribers: Subscribers) -> None:
        Resource.__init__(self)
        self._subscribers = subscribers
        self._web_socket = web_socket_resource(subscribers)

    def render(self, request: IRequest) -> Any:
        if not request.requestHeaders.hasHeader(b"upgrade"):
            request.setHeader(b"upgrade", b"websocket")
            return json_error(request, HTTPStatus.UPGRADE_REQUIRED, "expected a WebSocket client")
        if self._subscribers.full:
            most = self._subscribers.max_subscribers
            return json_error(
                request,
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{most} subscribers are connected, as many as --max-subscribers allows",
            )
        return self._web_socket.render(request)


def basic_routes(subscribers: Subscribers, problems: Callable[[], list[str]]) -> Klein:
    """The routes that are there whether history is kept or not.

    :param problems: tells what keeps the server from its work, in words.
    """
    app = Klein()
    upgrade = WebSocketUpgrade(subscribers)

    @app.route("/api/ws")
    def web_socket(_request: IRequest) -> IResource:
        return upgrade

    @app.route("/api/health", methods=["GET", "HEAD"])
    def health(request: IRequest) -> bytes:
        found = problems()
        health = {
            "status": "degraded" if found else "ok",
            "service": "telemetry-twisted",
            "version": __version__,
            "problems": found,
        }
        return json_answer(request, 200, health)

    @app.handle_errors(HTTPException)
    def refuse(request: IRequest, failure: Failure) -> bytes:
        path = request.path.decode("utf-8", "replace")
        error = failure.value
        assert isinstance(error, HTTPException)
        code = error.code or 500
        if isinstance(error, MethodNotAllowed):
            request.setHeader(b"allow", ", ".join(sorted(error.valid_methods or ())).encode())
        said = f"there is nothing at {path}" if code == 404 else str(error.description)
        return json_error(request, code, said)

    return app


class Routes(KleinResource):
    """The routes of an application, behind what Klein would log as failures of the server.

    Those are paths and host names, clients' to choose, that are no text or no names.
    """

    def render(self, request: IRequest) -> Any:
        try:
            b"/".join(request.postpath).decode()
        except UnicodeDecodeError:
            path = request.path.decode("utf-8", "replace")
            return json_error(request, HTTPStatus.NOT_FOUND, f"there is nothing at {path}")
        try:
            request.getRequestHostname().decode()
            return super().render(request)
        except (UnicodeDecodeError, BadHost):
            return json_error(request, HTTPStatus.BAD_REQUEST, "the Host header names no host")


def api_site(app: Klein) -> Site:
    """The site that the API endpoint serves."""
    site = Site(Routes(app))
    site.noisy = False
    return site
