"""What ``twistd telemetry`` and ``twist telemetry`` run: a process that is the server's alone."""

from __future__ import annotations

from twisted.application.service import IService

from telemetry_twisted import options
from telemetry_twisted.load_when_used import leave_out, load_when_used
from telemetry_twisted.without_openssl import leave_out_openssl

_WITHOUT_TLS = ("tcp", "tcp6", "unix", "systemd")
"""Kinds of endpoints that are known to do without OpenSSL."""


class Options(options.Options):
    """The options of ``twistd telemetry``, which say whether OpenSSL is needed."""

    def postOptions(self) -> None:
        """Check every value."""
        endpoints = (self["telemetry-endpoint"], self["api-endpoint"])
        speaks_http = self["alert-webhook"] or self["alertmanager"]
        if not speaks_http and all(text.partition(":")[0] in _WITHOUT_TLS for text in endpoints):
            leave_out_openssl()
        super().postOptions()


def makeService(options: Options) -> IService:
    """The server that ``options`` describe."""
    # Autobahn imports them for WAMP, which is not spoken here, the first with ``cryptography``; and
    # what colours its log, for each connection anew: 10 MiB in all.
    load_when_used("autobahn.wamp.auth")
    load_when_used("cbor2")
    leave_out("click")
    # Not before: it imports Twisted's reactor, and with it OpenSSL where that is not left out.
    from telemetry_twisted import tap

    return tap.makeService(options)
