"""Whether an endpoint could be listened at."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.endpoints import serverFromString

from telemetry_twisted.endpoints import TLSDescription, is_tls


def check_endpoint(text: str) -> None:
    """Take the description of a server endpoint apart, and read the certificates that it names.

    :raises Exception: of whatever kind, with what is wrong.
    """
    tcp = text
    if is_tls(text):
        # Here, so that OpenSSL is only imported where TLS is spoken.
        from telemetry_twisted.transport.tls import load_certificates

        description = TLSDescription.parse(text)
        load_certificates(description.files)
        tcp = description.tcp
    serverFromString(cast(Any, None), tcp)
