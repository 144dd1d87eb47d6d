"""The OpenAPI document of the REST API, and a page of it to read."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from twisted.web.template import Element, Tag, XMLString, renderer, tags

from telemetry_twisted import __version__
from telemetry_twisted.api.access.headers import CONTENT_POLICY

from .endpoints import Endpoint
from .parameters import MOST_VALUES, Parameter
from .schemas import ERROR, Schema

_ABOUT = (
    "Telemetry of JAM nodes (JIP-3). Live events come over WebSocket at /api/ws; here is what was "
    "added up from them, and raw events for as long as they are kept. A server that asks for "
    "tokens (Authorization: Bearer TOKEN) gives a ticket for a token that is sent to it by POST "
    "/api/ticket; ?ticket=TICKET then opens /api/ws or /api/metrics/stream once."
)

HERE = ".."
"""Where the API is, seen from its document at ``/api/openapi.json``."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { font: 600 1.05rem ui-monospace, monospace; margin: 2rem 0 .2rem }
p { margin: .2rem 0 .6rem }
td { padding: .1rem 1rem .1rem 0; vertical-align: top }
code { font-family: ui-monospace, monospace }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #dde1e7 }
a { color: #8ab4f8 } }
"""

PAGE_POLICY = (
    f"{CONTENT_POLICY}; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'"
)
"""Lets the page have its own style and nothing else (Content Security Policy, level 3)."""


def openapi_document(
    endpoints: Sequence[Endpoint], streams: Sequence[Endpoint], base: str = HERE
) -> dict[str, Any]:
    """The document of ``endpoints``, which answer with JSON, and ``streams``, which go on.

    :param base: the URL that their paths are below, which may be relative to the document's.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "telemetry_twisted",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": base}],
        "security": [{}, {"token": []}],
        "paths": {
            **{e.path: {"get": _operation(e, "application/json")} for e in endpoints},
            **{e.path: {"get": _operation(e, "text/event-stream")} for e in streams},
        },
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, media: str) -> dict[str, Any]:
    responses = {
        "200": {"description": "The answer.", "content": {media: {"schema": endpoint.schema}}},
        "400": _error("Something was asked for that is not understood; the message says what."),
        "503": _error("The database does not answer."),
    }
    if endpoint.may_miss:
        responses["404"] = _error("There is no such thing.")
    return {
        "operationId": endpoint.path.removeprefix("/").translate(str.maketrans("/-", "__", "{}")),
        "summary": endpoint.title,
        "parameters": [_parameter(parameter) for parameter in endpoint.parameters],
        "responses": responses,
    }


def _error(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: Schema = parameter.schema
    if parameter.many:
        schema = {"type": "array", "items": schema, "maxItems": MOST_VALUES}
    return {
        "name": parameter.name,
        "in": "path" if parameter.in_path else "query",
        "required": parameter.in_path,
        "description": parameter.description,
        "schema": schema,
        **({"style": "form", "explode": True} if parameter.many else {}),
    }


class ApiPage(Element):
    """The API as a page, each question with what it takes."""

    loader = XMLString(
        """<html xmlns:t="http://twistedmatrix.com/ns/twisted.web.template/0.1" lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>telemetry_twisted: REST API</title>
<style t:render="style"/>
</head>
<body>
<h1>REST API</h1>
<p><t:transparent t:render="about"/></p>
<p>For programs: <a href="openapi.json">openapi.json</a>. For Prometheus:
<a href="../metrics">/metrics</a>. Errors are <code>{"error": {"status", "message"}}</code>.</p>
<t:transparent t:render="endpoints"/>
</body>
</html>"""
    )

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        super().__init__()
        self._endpoints = endpoints

    @renderer
    def style(self, _request: object, tag: Tag) -> Tag:
        return tag(STYLE)

    @renderer
    def about(self, _request: object, _tag: Tag) -> str:
        return _ABOUT

    @renderer
    def endpoints(self, _request: object, _tag: Tag) -> list[Tag]:
        return [
            tags.section(
                tags.h2(f"GET {endpoint.path}"),
                tags.p(endpoint.title),
                tags.table(
                    *(
                        tags.tr(tags.td(tags.code(p.name)), tags.td(p.description))
                        for p in endpoint.parameters
                    )
                ),
            )
            for endpoint in self._endpoints
        ]
