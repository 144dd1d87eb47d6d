"""The HTTP side: health, where subscribers come in, and an answer to everything else."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from klein import Klein
from klein.resource import KleinResource
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from twisted.web.server import Site
from werkzeug.exceptions import BadHost, HTTPException, MethodNotAllowed

from telemetry_twisted import __version__

from .access.admission import may_be_told_all
from .answers import json_answer, json_error
from .websocket.subscribers import Subscribers
from .websocket.upgrade import WebSocketUpgrade


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
        health: dict[str, Any] = {
            "status": "degraded" if found else "ok",
            "service": "telemetry-twisted",
        }
        if may_be_told_all(request):
            health |= {"version": __version__, "problems": found}
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


def api_site(app: Klein, guarded: Callable[[IResource], IResource] = lambda all: all) -> Site:
    """The site that the API endpoint serves, all of which is ``guarded``."""
    site = Site(guarded(Routes(app)))
    site.noisy = False
    return site
