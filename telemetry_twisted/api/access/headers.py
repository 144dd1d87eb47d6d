"""What every answer tells a browser to be careful with."""

from __future__ import annotations

SERVER = b"telemetry_twisted"
"""Who answers; of which version, tells only who may know."""

STRICT_SECONDS = 365 * 86_400
"""For how long a browser is to come by TLS only."""

CONTENT_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""For answers that are no pages, and what pages add to (Content Security Policy, level 3)."""

SECURITY_HEADERS = {
    b"server": SERVER,
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"x-frame-options": b"DENY",
    b"content-security-policy": CONTENT_POLICY.encode(),
    b"cross-origin-resource-policy": b"same-origin",
}

STRICT_TRANSPORT = {b"strict-transport-security": b"max-age=%d" % STRICT_SECONDS}
"""Only for what came by TLS, where the public is told to come by it (RFC 6797, 7.2)."""
