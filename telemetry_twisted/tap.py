"""The one place where the parts meet: what ``twistd telemetry`` runs."""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING, cast

from twisted.application.service import IService
from twisted.internet.base import ReactorBase
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.api.access.guard import Guard, Rules
from telemetry_twisted.api.access.tokens import TokenFile
from telemetry_twisted.api.http.connections import Connections
from telemetry_twisted.api.site import api_site, basic_routes
from telemetry_twisted.api.websocket.frames import event_renderer
from telemetry_twisted.api.websocket.subscribers import Subscribers
from telemetry_twisted.clock import use_monotonic_timers
from telemetry_twisted.endpoints import certificate_files, without_tls
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.admission import AdmissionRules
from telemetry_twisted.hub.allowed import AllowedNodes
from telemetry_twisted.hub.backlog import Backlog
from telemetry_twisted.hub.figures import HubFigures
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ingestion import IngestionServer
from telemetry_twisted.hub.permits import Permits
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.hub.supervisor import Supervisor
from telemetry_twisted.ingestion.settings import Settings
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.logs import server_log
from telemetry_twisted.options import MIB, Options
from telemetry_twisted.reload import Reloads
from telemetry_twisted.server import SubscriberService, TelemetryServer
from telemetry_twisted.services.ingestion import AcceptedElsewhere, IngestionService
from telemetry_twisted.services.listening import Listening, NamedEndpoint, named_endpoint
from telemetry_twisted.services.starting import Terminal
from telemetry_twisted.signals import OperatorSignals
from telemetry_twisted.transport.limits import descriptor_limit
from telemetry_twisted.transport.links import together
from telemetry_twisted.turns import Turns

if TYPE_CHECKING:
    from telemetry_twisted.kept_history import KeptHistory
    from telemetry_twisted.transport.tls import Certificates

OWN_DESCRIPTORS = 64
"""Open files that the server keeps for itself: databases, logs, what it listens on."""

DESCRIPTORS_OF_A_CHILD = 8
"""Those that it needs for a child process, while it starts another as well."""

SWITCH_SECONDS = 0.001
"""How soon a thread that answers from history gives way to the reactor, where the stream is."""

__all__ = ["Options", "makeService"]

_LEEWAY = 64
"""Connections that a process may have silent even where only a few nodes may connect."""


def makeService(options: Options) -> IService:
    """The server that ``options`` describe."""
    from twisted.internet import reactor as installed

    core = cast(ReactorBase, installed)
    use_monotonic_timers(core)
    sys.setswitchinterval(SWITCH_SECONDS)
    reactor = cast(IServerReactor, installed)
    errors = InternalErrors(reactor)
    reloads = Reloads()
    log = server_log(options.parent)
    if log is not None:
        reloads.add("log file", log.reopen)
    kept = None if options["no-database"] else _kept_history(options, reactor, errors)
    store_client = None if kept is None else kept.client
    ring = Ring(
        options["ring-events"],
        options["ring-mib"] * MIB,
        event_renderer(time.time),
        options["ws-batch"],
    )
    allowed = None if options["allow-nodes"] is None else AllowedNodes(options["allow-nodes"])
    hub = Hub(ring, _admission(options, allowed), reactor, time.time, errors, store_client)
    if allowed is not None:
        reloads.add("nodes that may connect", lambda: _reload(allowed, hub))
    # Each process may accept one more than can stay, which makes room for itself.
    each = _most_silent(options) + 1
    permits = Permits(options["max-nodes"] + options["ingestion-procs"] * each)
    servers = _ingestion_servers(options, hub, permits, errors)

    def audience(listening: bool) -> None:
        for each in servers:
            each.listened_to(listening)

    ring.tell_audience(audience)
    store = None if store_client is None else store_client.condition
    figures = HubFigures(
        hub, servers, store, lambda: len(subscribers), lambda: subscribers.events_missed
    )
    gauges = None if kept is None else kept.gauges(figures, lambda: subscribers.frames)
    turns = Turns(reactor)
    subscribers = Subscribers(
        ring,
        figures,
        gauges,
        options["max-subscribers"],
        reactor,
        time.time,
        errors,
        turns,
        options["ping-seconds"],
    )
    connections = _connections(options, reactor)
    server = TelemetryServer(reactor, Terminal(), log)
    problems = figures.problems if gauges is None else gauges.own_problems
    routes = basic_routes(subscribers, problems)
    history = None
    if kept is not None:
        history = kept.service(hub, subscribers, routes, connections, turns, server.failed)
    rules = _rules(options, reactor, reloads)
    site = api_site(
        routes,
        connections,
        turns,
        reactor,
        guarded=lambda inside: Guard(inside, rules, reactor),
        client_of=rules.proxies.client_of,
        access_log=bool(options["access-log"]),
        errors=errors,
    )
    nodes = Listening(_nodes_endpoint(options, reactor), AcceptedElsewhere(), server.failed)
    api = Listening(_api_endpoint(options, reactor, reloads), site, server.failed)
    backlog = Backlog(permits, reactor, errors)
    links = together(reactor, errors)
    supervisors = [Supervisor(reactor, each, time.time, errors, links) for each in servers]
    server.assemble(
        OperatorSignals(core, reloads.run, (lambda: None) if log is None else log.rotate),
        nodes,
        api,
        IngestionService(nodes, servers, supervisors, backlog),
        SubscriberService(subscribers),
        history,
    )
    return server


def _admission(options: Options, allowed: AllowedNodes | None) -> AdmissionRules:
    return AdmissionRules(
        options["max-nodes"],
        options["node-connections-per-address"],
        options["node-introductions"],
        allowed,
        options["takeover"] == "any",
    )


def _reload(allowed: AllowedNodes, hub: Hub) -> None:
    allowed.reload()
    hub.admission.allowed_changed()


def _most_silent(options: Options) -> int:
    """How many connections of an ingestion process may not have introduced themselves.

    That is twice its share of all nodes: they may come all at once, and say who they are later.
    """
    return int(2 * options["max-nodes"] // options["ingestion-procs"] + _LEEWAY)


def _ingestion_servers(
    options: Options, hub: Hub, permits: Permits, errors: InternalErrors
) -> list[IngestionServer]:
    processes = options["ingestion-procs"]
    settings = Settings(
        first_id=1,
        id_step=processes,
        codec=options["codec"],
        byte_arrays=bool(options["byte-arrays"]),
        max_message_size=options["max-message-size"],
        rate_limit=options["rate-limit"],
        most_silent=_most_silent(options),
        history=not options["no-database"],
        certificates=certificate_files(options["telemetry-endpoint"]),
        networks=options["allow-node-networks"],
    )
    return [IngestionServer(number, settings, hub, permits, errors) for number in range(processes)]


def _rules(options: Options, clock: IReactorTime, reloads: Reloads) -> Rules:
    tokens = None
    if options["api-token-file"] is not None:
        tokens = TokenFile(options["api-token-file"], clock)
        reloads.add("API tokens", tokens.reload)
    name = socket.gethostname()
    return Rules(
        options["trusted-proxies"],
        options["allow-origin"],
        options["public-url"],
        tokens,
        (name, name.partition(".")[0]),
    )


def _connections(options: Options, reactor: IServerReactor) -> Connections:
    children = options["ingestion-procs"] + 1
    own = OWN_DESCRIPTORS + children * DESCRIPTORS_OF_A_CHILD
    return Connections(
        options["api-connections"],
        options["api-connections-per-client"],
        descriptor_limit() - own,
        reactor,
    )


def _kept_history(options: Options, reactor: IServerReactor, errors: InternalErrors) -> KeptHistory:
    # Here, so that databases and REST take memory only where history is kept.
    from telemetry_twisted.kept_history import KeptHistory

    return KeptHistory(options, reactor, errors)


def _nodes_endpoint(options: Options, reactor: IServerReactor) -> NamedEndpoint:
    """Where nodes connect. Ingestion processes accept, so it is they who speak TLS."""
    text = options["telemetry-endpoint"]
    return NamedEndpoint("--telemetry-endpoint", text, serverFromString(reactor, without_tls(text)))


def _api_endpoint(options: Options, reactor: IServerReactor, reloads: Reloads) -> NamedEndpoint:
    def renewable(certificates: Certificates) -> None:
        reloads.add("certificates of --api-endpoint", certificates.reload)

    return named_endpoint("--api-endpoint", options["api-endpoint"], reactor, renewable)
