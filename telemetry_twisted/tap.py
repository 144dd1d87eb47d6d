"""The command line of ``twistd telemetry``, and the one place where the parts meet."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar, cast

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.python import usage

from telemetry_twisted.api.audience import Audience
from telemetry_twisted.api.frames import event_renderer
from telemetry_twisted.api.site import api_site, basic_routes
from telemetry_twisted.hub.figures import HubFigures
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ingestion import IngestionServer
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.ingestion.process import Settings
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.jip3.codec import CodecUnavailable, load_codec
from telemetry_twisted.link.records import CHUNK_EVENTS
from telemetry_twisted.server import Entrance, TelemetryServer

MIB = 1 << 20


def whole(least: int, most: int) -> Callable[[str], int]:
    """Reads an option's value that is a whole number from ``least`` to ``most``."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(text)

    return read


def choice(*names: str) -> Callable[[str], str]:
    """Reads an option's value that is one of ``names``."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return text

    return read


class Options(usage.Options):
    """Options of ``twistd telemetry``."""

    synopsis = "[options]"
    longdesc = (
        "Receives JIP-3 telemetry of JAM nodes (start them with --telemetry HOST:PORT) and streams "
        "it as JSON over WebSocket at /api/ws of the API endpoint. Endpoints are Twisted's: "
        "tcp:9000 for all IPv4 addresses, tcp:9000:interface=127.0.0.1 for one, tcp6:9000 for all "
        "IPv6; the API endpoint may be an ssl: or unix: one as well."
    )
    optParameters: ClassVar[list[list[Any]]] = [
        [
            "ingestion-procs",
            None,
            None,
            "Ingestion processes, 1 to 64. [default: one per CPU core, at most 8]",
        ],
        [
            "telemetry-endpoint",
            None,
            "tcp:9000:interface=127.0.0.1",
            "Where nodes connect: a tcp: or tcp6: endpoint.",
        ],
        [
            "api-endpoint",
            None,
            "tcp:8080:interface=127.0.0.1",
            "Where subscribers connect: a server endpoint.",
        ],
        [
            "max-nodes",
            None,
            "1024",
            "Node connections at most, over all processes together, 1 to 65535.",
        ],
        ["max-message-size", None, "1048576", "Longest JIP-3 message in bytes, 1024 to 67108864."],
        [
            "rate-limit",
            None,
            "0",
            "Events per second per node at most, in bursts 20 % more; those above are dropped and "
            "counted. 0 is no limit.",
        ],
        ["ring-events", None, "500000", "Events kept for slow and new subscribers, at most."],
        ["ring-mib", None, "256", "MiB of events kept for them, at most; whichever comes first."],
        ["ws-batch", None, "100", "Events in a WebSocket frame at most, 1 to 10000."],
        [
            "max-subscribers",
            None,
            "5000",
            "WebSocket connections at most; those above get HTTP 503.",
        ],
        [
            "codec",
            None,
            "auto",
            "What decodes events: compiled, python, or auto for the best there is.",
        ],
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["no-database", None, "Keep no history: only /api/ws and /api/health."],
        ["byte-arrays", None, "Write hashes, addresses and bitfields as arrays of integers."],
    ]
    _readers: ClassVar[dict[str, Callable[[str], Any]]] = {
        "ingestion-procs": whole(1, 64),
        "max-nodes": whole(1, 65535),
        "max-message-size": whole(1024, 64 * MIB),
        "rate-limit": whole(0, 10_000_000),
        "ring-events": whole(CHUNK_EVENTS, 100_000_000),
        "ring-mib": whole(1, 1 << 20),
        "ws-batch": whole(1, 10_000),
        "max-subscribers": whole(1, 1_000_000),
        "codec": choice("auto", "compiled", "python"),
    }

    def postOptions(self) -> None:
        """Check every value, so that nothing starts with a wrong one.

        :raises usage.UsageError: with the option, what was given, and what is accepted.
        """
        if self["ingestion-procs"] is None:
            self["ingestion-procs"] = str(min(os.cpu_count() or 1, 8))
        for option, read in self._readers.items():
            self._read(option, read)
        try:
            load_codec(self["codec"])
        except CodecUnavailable as error:
            raise usage.UsageError(f"--codec {self['codec']}: {error}") from None
        kind = self["telemetry-endpoint"].partition(":")[0]
        if kind not in ("tcp", "tcp6"):
            raise usage.UsageError(
                f"--telemetry-endpoint {self['telemetry-endpoint']}: expected a tcp: or tcp6: "
                "endpoint, such as tcp:9000:interface=127.0.0.1"
            )

    def _read(self, option: str, read: Callable[[str], Any]) -> None:
        try:
            self[option] = read(self[option])
        except ValueError as error:
            raise usage.UsageError(f"--{option} {self[option]}: {error}") from None


def entrance(reactor: IServerReactor, option: str, text: str) -> Entrance:
    """The endpoint that ``text`` describes.

    :raises usage.UsageError: if it describes none.
    """
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
    except Exception as error:
        raise usage.UsageError(
            f"{option} {text}: {error}; expected a Twisted server endpoint, such as "
            "tcp:8080:interface=127.0.0.1"
        ) from error
    return Entrance(option, text, endpoint)


def makeService(options: Options) -> IService:
    """The server that ``options`` describe."""
    from twisted.internet import reactor as installed

    reactor = cast(IServerReactor, installed)
    ring = Ring(
        options["ring-events"],
        options["ring-mib"] * MIB,
        event_renderer(reactor.seconds),
        options["ws-batch"],
    )
    hub = Hub(ring, options["max-nodes"], reactor)
    processes = options["ingestion-procs"]
    settings = Settings(
        first_id=1,
        id_step=processes,
        codec=options["codec"],
        byte_arrays=bool(options["byte-arrays"]),
        max_message_size=options["max-message-size"],
        rate_limit=options["rate-limit"],
        max_waiting=options["max-nodes"],
        history=False,
    )
    servers = [IngestionServer(number, settings, hub, reactor) for number in range(processes)]
    figures = HubFigures(hub, servers, lambda: len(audience), lambda: audience.events_missed)
    audience = Audience(ring, figures, None, options["max-subscribers"], reactor)
    return TelemetryServer(
        reactor,
        hub,
        servers,
        audience,
        entrance(reactor, "--telemetry-endpoint", options["telemetry-endpoint"]),
        entrance(reactor, "--api-endpoint", options["api-endpoint"]),
        api_site(basic_routes(audience)),
    )
