"""The OpenAPI document of the REST API, made of the declarations of its endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from telemetry_twisted import __version__

from .endpoint import Endpoint
from .parameters import Parameter, Schema

ABOUT = (
    "Telemetry of JAM nodes (JIP-3). Live events come over WebSocket at /api/ws; here is what was "
    "added up from them, and raw events for as long as they are kept. A server that asks for "
    "tokens (Authorization: Bearer TOKEN) gives a ticket for a token that is sent to it by POST "
    "/api/ticket; ?ticket=TICKET then opens /api/ws or /api/metrics/stream once."
)

HERE = ".."
"""Where the API is, seen from its document at ``/api/openapi.json``."""

_REFERENCE = "#/components/schemas/{name}"


class Problem(Struct, forbid_unknown_fields=True):
    """What went wrong: the status of the answer, and a message that says what to do."""

    status: int
    message: str


class Error(Struct, forbid_unknown_fields=True):
    """The one shape that errors have."""

    error: Problem


def openapi_document(
    endpoints: Sequence[Endpoint], streams: Sequence[Endpoint], base: str = HERE
) -> dict[str, Any]:
    """The document of ``endpoints``, which answer with JSON, and ``streams``, which go on.

    :param base: the URL that their paths are below, which may be relative to the document's.
    """
    declared = (Error, *(each.answered for each in (*endpoints, *streams)))
    (error, *answers), components = msgspec.json.schema_components(
        declared, ref_template=_REFERENCE
    )
    media = ["application/json"] * len(endpoints) + ["text/event-stream"] * len(streams)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "telemetry_twisted",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": base}],
        "security": [{}, {"token": []}],
        "paths": {
            endpoint.path: {"get": _operation(endpoint, kind, answer, error)}
            for endpoint, kind, answer in zip((*endpoints, *streams), media, answers, strict=True)
        },
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, media: str, answer: Schema, error: Schema) -> Schema:
    def failing(description: str) -> Schema:
        return {"description": description, "content": {"application/json": {"schema": error}}}

    responses = {
        "200": {"description": "The answer.", "content": {media: {"schema": answer}}},
        "400": failing("Something was asked for that is not understood; the message says what."),
        "503": failing("The database does not answer."),
    }
    if endpoint.may_miss:
        responses["404"] = failing("There is no such thing.")
    return {
        "operationId": endpoint.path.removeprefix("/").translate(str.maketrans("/-", "__", "{}")),
        "summary": endpoint.title,
        **({"description": endpoint.about} if endpoint.about else {}),
        "parameters": [_parameter(parameter) for parameter in endpoint.parameters],
        "responses": responses,
    }


def _parameter(parameter: Parameter) -> Schema:
    return {
        "name": parameter.name,
        "in": "path" if parameter.in_path else "query",
        "required": parameter.in_path,
        "description": parameter.description,
        "schema": parameter.schema,
        **({"style": "form", "explode": True} if parameter.many else {}),
    }
