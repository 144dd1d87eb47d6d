"""The API as a page to read."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from twisted.web.template import Element, Tag, XMLString, renderer, tags

from telemetry_twisted.api.access.headers import CONTENT_POLICY

from .endpoint import Endpoint
from .openapi import ABOUT

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


class ApiPage(Element):
    """Each question with what it takes."""

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
        return ABOUT

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
