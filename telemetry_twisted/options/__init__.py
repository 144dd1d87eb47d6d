"""The command line of ``twistd telemetry``: what may be given, and what it must look like."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.python import usage

from telemetry_twisted import __version__

from .parameters import MIB, PARAMETERS
from .readers import Read, database, receivers

__all__ = ["MIB", "Options"]


class Options(usage.Options):
    """Options of ``twistd telemetry``."""

    synopsis = "[options]"
    longdesc = (
        "Receives JIP-3 telemetry of JAM nodes (start them with --telemetry HOST:PORT) and streams "
        "it as JSON over WebSocket at /api/ws of the API endpoint. Endpoints are Twisted's: "
        "tcp:9000 for all IPv4 addresses, tcp:9000:interface=127.0.0.1 for one, tcp6:9000 for all "
        "IPv6 ones. For an alert option, 0 means never."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        [name, None, default or None, text] for name, default, _, text in PARAMETERS
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["no-database", None, "Keep no history: only /api/ws and /api/health."],
        ["access-log", None, "Log a line for each HTTP request."],
        ["byte-arrays", None, "Write hashes, addresses and bitfields as arrays of integers."],
    ]

    def opt_version(self) -> None:
        """Display the version and exit."""
        print(f"telemetry_twisted {__version__}")
        raise SystemExit

    def postOptions(self) -> None:
        """Check every value, so that nothing starts with a wrong one.

        :raises usage.UsageError: with the option, what was given, and what is accepted.
        """
        for name, _, read, _ in PARAMETERS:
            self._read(name, read)
        for name in ("alert-webhook", "alertmanager"):
            if self[name] and self["no-database"]:
                raise usage.UsageError(
                    f"--{name}: alerts are raised where history is kept; leave out --no-database"
                )
        if self["alert-webhook-secret"] and not self["alert-webhook"]:
            raise usage.UsageError("--alert-webhook-secret: expected --alert-webhook as well")

    def _read(self, name: str, read: Read) -> None:
        given = self[name] or ""
        try:
            self[name] = read(given)
        except ValueError as error:
            # What was meant as the address of a database or a receiver may hold a password.
            shown = "" if read in (database, receivers) else f" {given}"
            raise usage.UsageError(f"--{name}{shown}: {error}") from None
