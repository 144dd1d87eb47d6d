"""The HTTP side: health, where subscribers come in, and an answer to everything else."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from klein import Klein
from klein.resource import KleinResource
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from werkzeug.exceptions import BadHost, HTTPException, MethodNotAllowed
from werkzeug.routing import RequestRedirect

from telemetry_twisted import __version__
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.turns import Turns

from .access.admission import may_be_told_all
from .access.proxies import ClientOf, peer_of
from .answers import json_answer, json_error
from .http.connections import Connections
from .http.request import MOST_BODY_BYTES
from .http.site import ApiSite
from .websocket.subscribers import Subscribers
from .websocket.upgrade import WebSocketUpgrade


def basic_routes(subscribers: Subscribers, problems: Callable[[], list[str]]) -> Klein:
    """The routes that are there whether history is kept or not.

    :param problems: tells what keeps the server from its work, in words.
    """
    app = Klein()
    # It would lead those who double a slash to a URL that it makes up itself.
    app.url_map.merge_slashes = False
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
        # Paths that are nearly right (//api/health) are not corrected: there is nothing there.
        code = 404 if isinstance(error, RequestRedirect) else error.code or 500
        if isinstance(error, MethodNotAllowed):
            request.setHeader(b"allow", ", ".join(sorted(error.valid_methods or ())).encode())
        said = f"there is nothing at {path}" if code == 404 else str(error.description)
        return json_error(request, code, said)

    return app


class Routes(KleinResource):
    """The routes of an application, behind what Klein would log as failures of the server.

    Those are paths and host names, clients' to choose, that are no text or no names.
    """

    def __init__(self, app: Klein) -> None:
        super().__init__(app)
        self._paths = app.url_map.bind("telemetry")

    def allows(self, method: bytes, uri: bytes) -> bool:
        """Whether there is something that ``method`` can be asked of."""
        path = unquote_to_bytes(uri.partition(b"?")[0])
        try:
            return bool(self._paths.test(path.decode(), method.decode()))
        except UnicodeDecodeError:
            return False

    def takes_body(self, method: bytes, uri: bytes) -> bool:
        """Whether what ``method`` asks for can be told more in a body."""
        return method not in (b"GET", b"HEAD") and self.allows(method, uri)

    def render(self, request: Any) -> Any:
        try:
            b"/".join(request.postpath or ()).decode()
        except UnicodeDecodeError:
            path = request.path.decode("utf-8", "replace")
            return json_error(request, HTTPStatus.NOT_FOUND, f"there is nothing at {path}")
        if request.too_large and self.allows(request.method, request.path):
            return json_error(
                request,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body of a request is at most {MOST_BODY_BYTES} bytes long",
            )
        try:
            request.getRequestHostname().decode()
            return super().render(request)
        except (UnicodeDecodeError, BadHost):
            return json_error(request, HTTPStatus.BAD_REQUEST, "the Host header names no host")


def api_site(
    app: Klein,
    connections: Connections,
    turns: Turns,
    clock: IReactorTime,
    guarded: Callable[[IResource], IResource] = lambda all: all,
    client_of: ClientOf = peer_of,
    access_log: bool = False,
    errors: InternalErrors | None = None,
) -> ApiSite:
    """The site that the API endpoint serves, all of which is ``guarded``."""
    routes = Routes(app)
    return ApiSite(
        guarded(routes), routes.takes_body, connections, turns, clock, client_of, access_log, errors
    )
