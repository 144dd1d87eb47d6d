"""The command line of ``twistd telemetry``: what may be given, and what it must look like."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, ClassVar, cast

from twisted.internet.endpoints import serverFromString
from twisted.python import usage

from telemetry_twisted import __version__
from telemetry_twisted.jip3.codec import CodecUnavailable, load_codec
from telemetry_twisted.store.database import parse_database
from telemetry_twisted.transport.records import CHUNK_EVENTS

MIB = 1 << 20

Read = Callable[[str], Any]
"""Makes an option's value of its text; raises ValueError with what was expected."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def whole(least: int, most: int) -> Read:
    """A whole number from ``least`` to ``most``."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(text)

    return read


def choice(*names: str) -> Read:
    """One of ``names``."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return text

    return read


def duration(text: str) -> int:
    """A number and a unit of time, in seconds."""
    match = re.fullmatch(r"(\d{1,9})([smhd])|0", text, re.ASCII)
    if match is None:
        raise ValueError("expected a number and one of s, m, h, d, such as 90s or 1h, or 0")
    return 0 if match[1] is None else int(match[1]) * _UNITS[match[2]]


def endpoint(*kinds: str) -> Read:
    """A Twisted server endpoint, of one of ``kinds`` if there are any."""
    example = "such as tcp:9000:interface=127.0.0.1"

    def read(text: str) -> str:
        if kinds and text.partition(":")[0] not in kinds:
            raise ValueError(
                f"expected a {' or '.join(f'{kind}:' for kind in kinds)} endpoint, {example}"
            )
        try:
            serverFromString(cast(Any, None), text)
        except Exception as error:
            raise ValueError(f"expected a Twisted server endpoint, {example} ({error})") from error
        return text

    return read


def codec(text: str) -> str:
    """The name of a codec that can run here."""
    choice("auto", "compiled", "python")(text)
    try:
        load_codec(text)
    except CodecUnavailable as error:
        raise ValueError(str(error)) from error
    return text


def database(text: str) -> str:
    """The address of a database."""
    parse_database(text)
    return text


_COUNT = whole(0, 1_000_000_000)

_PARAMETERS: list[tuple[str, str, Read, str]] = [
    (
        "ingestion-procs",
        str(min(os.cpu_count() or 1, 8)),
        whole(1, 64),
        "Ingestion processes, 1 to 64; by default one per CPU core, at most 8.",
    ),
    (
        "telemetry-endpoint",
        "tcp:9000:interface=127.0.0.1",
        endpoint("tcp", "tcp6"),
        "Where nodes connect: a tcp: or tcp6: endpoint.",
    ),
    (
        "api-endpoint",
        "tcp:8080:interface=127.0.0.1",
        endpoint(),
        "Where subscribers connect: any server endpoint, also ssl: and unix:.",
    ),
    (
        "codec",
        "auto",
        codec,
        "What decodes events: compiled, python, or auto for the best there is.",
    ),
    ("max-nodes", "1024", whole(1, 65535), "Nodes at most, over all processes together."),
    (
        "max-message-size",
        str(MIB),
        whole(1024, 64 * MIB),
        "Longest JIP-3 message in bytes, 1024 to 67108864.",
    ),
    (
        "rate-limit",
        "0",
        whole(0, 10_000_000),
        "Events per second per node at most, 20 % more in a burst; those above are dropped and "
        "counted. 0: no limit.",
    ),
    (
        "ring-events",
        "500000",
        whole(CHUNK_EVENTS, 100_000_000),
        "Events kept in memory for slow and new subscribers, at most.",
    ),
    (
        "ring-mib",
        "256",
        whole(1, MIB),
        "MiB of events kept in memory for them, at most; whichever bound comes first.",
    ),
    ("ws-batch", "100", whole(1, 10_000), "Events in a WebSocket frame, at most."),
    (
        "max-subscribers",
        "5000",
        whole(1, 1_000_000),
        "WebSocket connections at most; one more gets HTTP 503.",
    ),
    (
        "database",
        "sqlite:telemetry.sqlite",
        database,
        "Where history is kept: sqlite:PATH or postgresql://user:password@host/name.",
    ),
    (
        "retain-events",
        "1h",
        duration,
        "How long raw events are kept for browsing, such as 90s, 15m, 1h, 2d. 0: not at all.",
    ),
    ("retain-events-max", "50000000", whole(1, 10**12), "Raw events kept, at most."),
    ("retain-events-mib", "4096", whole(1, 10**9), "MiB of raw events kept, at most."),
    ("retain-10s", "1d", duration, "How long counts and states by 10 s are kept."),
    ("retain-1m", "30d", duration, "How long counts by the minute, slots and failures are kept."),
    ("retain-1h", "365d", duration, "How long counts by the hour and faults are kept."),
    ("alert-node-gone", "30", _COUNT, "Alert when a node has been gone for so many seconds."),
    ("alert-not-synced", "60", _COUNT, "Alert when a node is out of sync for so many seconds."),
    ("alert-behind", "5", _COUNT, "Alert when a node is more slots behind the network's best."),
    ("alert-finality", "60", _COUNT, "Alert when nothing was finalized for so many seconds."),
    ("alert-decode-errors", "10", _COUNT, "Alert at so many decode errors within a minute."),
    ("alert-lagging", "1", _COUNT, "Alert when a subscriber missed so many events in a minute."),
    ("alert-store", "30", _COUNT, "Alert when history is not written for so many seconds."),
]


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
        [name, None, default, text] for name, default, _, text in _PARAMETERS
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["no-database", None, "Keep no history: only /api/ws and /api/health."],
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
        for name, _, read, _ in _PARAMETERS:
            self._read(name, read)

    def _read(self, name: str, read: Read) -> None:
        given = self[name]
        try:
            self[name] = read(given)
        except ValueError as error:
            # What was meant as a database address may hold a password.
            shown = "" if read is database else f" {given}"
            raise usage.UsageError(f"--{name}{shown}: {error}") from None
