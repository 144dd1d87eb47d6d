"""The options of ``twistd telemetry`` that take a value, by what they are about."""

from __future__ import annotations

import os

from telemetry_twisted.api.access.origins import AllowedOrigins
from telemetry_twisted.api.access.proxies import TrustedProxies
from telemetry_twisted.reading import one_of, whole_number
from telemetry_twisted.transport.records import CHUNK_EVENTS

from .alerting import ALERTS
from .parameter import Parameter
from .readers import (
    codec,
    database,
    duration,
    endpoint,
    networks,
    node_list,
    public_urls,
    token_file,
)

MIB = 1 << 20

_NODES: list[Parameter] = [
    Parameter(
        "ingestion-procs",
        str(min(os.cpu_count() or 1, 8)),
        whole_number(1, 64),
        "Ingestion processes, 1 to 64; by default one per CPU core, at most 8.",
    ),
    Parameter(
        "telemetry-endpoint",
        "tcp:9000:interface=127.0.0.1",
        endpoint("tcp", "tcp6", "ssl"),
        "Where nodes connect: a tcp:, tcp6: or ssl: endpoint.",
    ),
    Parameter(
        "codec",
        "auto",
        codec,
        "What decodes events: compiled, python, or auto for the best there is.",
    ),
    Parameter(
        "max-nodes", "1024", whole_number(1, 65535), "Nodes at most, over all processes together."
    ),
    Parameter(
        "node-connections-per-address",
        "2048",
        whole_number(1, 1_000_000),
        "Connections of nodes from one address at most; an IPv6 network of 64 bits is one. All "
        "nodes may be behind one address by default.",
    ),
    Parameter(
        "node-introductions",
        "1024",
        whole_number(1, 1_000_000),
        "Nodes that introduce themselves in a second at most; others wait for their turn.",
    ),
    Parameter(
        "takeover",
        "quiet",
        one_of("quiet", "any"),
        "What a newcomer from another address pushes out that has the same node ID: a connection "
        "that has been quiet for 10 s, or any. From the same address, the newest always wins.",
    ),
    Parameter(
        "allow-nodes",
        "",
        node_list,
        "Only nodes whose IDs are in this file, one a line, may connect; it is read again on "
        "SIGHUP.",
    ),
    Parameter(
        "allow-node-networks",
        "",
        networks,
        "Only nodes from these networks may connect, such as 10.0.0.0/8,2001:db8::/32.",
    ),
    Parameter(
        "max-message-size",
        str(MIB),
        whole_number(1024, 64 * MIB),
        "Longest JIP-3 message in bytes, 1024 to 67108864.",
    ),
    Parameter(
        "rate-limit",
        "0",
        whole_number(0, 10_000_000),
        "Events per second per node at most, 20 % more in a burst; those above are dropped and "
        "counted. 0: no limit.",
    ),
]

_SUBSCRIBERS: list[Parameter] = [
    Parameter(
        "api-endpoint",
        "tcp:8080:interface=127.0.0.1",
        endpoint(),
        "Where subscribers connect: any server endpoint, also ssl: and unix:.",
    ),
    Parameter(
        "ring-events",
        "500000",
        whole_number(CHUNK_EVENTS, 100_000_000),
        "Events kept in memory for slow and new subscribers, at most.",
    ),
    Parameter(
        "ring-mib",
        "256",
        whole_number(1, MIB),
        "MiB kept in memory for them, at most, what filters cost included; whichever bound comes "
        "first.",
    ),
    Parameter(
        "ws-batch",
        "100",
        whole_number(1, 10_000),
        "Events in a WebSocket frame, at most; a subscriber may ask for fewer with ?batch=N.",
    ),
    Parameter(
        "ping-seconds",
        "10",
        whole_number(0, 3600),
        "Ping a subscriber that would hear nothing for longer. 0: never.",
    ),
    Parameter(
        "max-subscribers",
        "5000",
        whole_number(1, 1_000_000),
        "WebSocket connections at most; one more gets HTTP 503.",
    ),
    Parameter(
        "api-connections",
        "10000",
        whole_number(1, 1_000_000),
        "Connections to the API at most, subscribers included; one more gets HTTP 503.",
    ),
    Parameter(
        "api-connections-per-client",
        "2000",
        whole_number(1, 1_000_000),
        "Those of one client's address at most.",
    ),
]

_HISTORY: list[Parameter] = [
    Parameter(
        "database",
        "sqlite:telemetry.sqlite",
        database,
        "Where history is kept: sqlite:PATH or postgresql://user:password@host/name.",
    ),
    Parameter(
        "retain-events",
        "1h",
        duration,
        "How long raw events are kept for browsing, such as 90s, 15m, 1h, 2d. 0: not at all.",
    ),
    Parameter(
        "retain-events-max", "50000000", whole_number(1, 10**12), "Raw events kept, at most."
    ),
    Parameter(
        "retain-events-mib", "4096", whole_number(1, 10**9), "MiB of raw events kept, at most."
    ),
    Parameter("retain-10s", "1d", duration, "How long counts and states by 10 s are kept."),
    Parameter(
        "retain-1m", "30d", duration, "How long counts by the minute, slots and failures are kept."
    ),
    Parameter("retain-1h", "365d", duration, "How long counts by the hour and faults are kept."),
]

_ACCESS: list[Parameter] = [
    Parameter(
        "api-token-file",
        "",
        token_file,
        "Ask for a token, of which this file has one a line: name, role (read or metrics), token.",
    ),
    Parameter(
        "allow-origin",
        "",
        AllowedOrigins.parse,
        "Let pages of these origins use the API, such as https://example.org, separated by commas; "
        "*: of all.",
    ),
    Parameter(
        "trusted-proxies",
        "",
        TrustedProxies.parse,
        "Believe these proxies who their clients are: networks, addresses, or unix, separated by "
        "commas.",
    ),
    Parameter(
        "public-url",
        "",
        public_urls,
        "Where the public finds the API, such as https://example.org/telemetry; after a comma, "
        "further URLs whose hosts name it as well.",
    ),
]

PARAMETERS = [*_NODES, *_SUBSCRIBERS, *_ACCESS, *_HISTORY, *ALERTS]
"""All of them; ``--help`` lists them by name."""
