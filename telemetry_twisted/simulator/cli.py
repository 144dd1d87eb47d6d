"""The command ``telemetry-simulator``."""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, cast

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from .blockchain import era_time
from .fleet import Fleet
from .network import Network
from .options import make_parser
from .progress import Progress
from .summary import Summary
from .telling import tell_account

_SPARE_FILES = 64


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments``, those of the process if None; the exit code."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.times > 1 and options.events is None:
        parser.error("--times needs --events: say how many events a node sends each time")
    start = options.start_time or datetime.now(timezone.utc)
    network = Network(
        nodes=options.nodes,
        seed=options.seed,
        cores=options.cores,
        rate=options.rate,
        start=era_time(start),
        connect_rate=options.connect_rate,
        duration=options.duration,
        events=options.events,
        mistakes=options.mistakes,
        clock_skew=options.clock_skew,
        forks=options.forks,
        stuck=options.stuck,
        drops=options.drops,
        trouble=options.trouble,
        gp=options.gp,
        version=options.protocol_version,
    )
    if not allow_open_files(network.nodes + _SPARE_FILES):
        parser.error(
            f"--nodes {network.nodes} needs {network.nodes + _SPARE_FILES} open files, more than "
            "this process may have: raise the hard limit (ulimit -H -n) or take fewer nodes"
        )
    from twisted.internet import reactor

    host, port = options.server
    fleet = Fleet(
        clock=cast(Any, reactor),
        endpoint=_endpoint(reactor, host, port),
        network=network,
        flood=options.profile == "flood",
        reconnect=options.reconnect,
        times=options.times,
        cut_after=options.cut_after,
        keeps_times=options.json or options.account is not None,
        keeps_records=options.account is not None,
    )
    summary = run(reactor, fleet)
    if options.account is not None:
        with options.account as file:
            json.dump(tell_account(network, summary.tallies), file, separators=(",", ":"))
    if options.json:
        print(json.dumps(summary.as_json()))
    elif summary.connected:
        print(summary.as_text())
    if complaint := complaint_about(summary, fleet.trouble, f"{host}:{port}"):
        print(f"{parser.prog}: {complaint}", file=sys.stderr)
        return 1
    return 0


def run(reactor: Any, fleet: Fleet) -> Summary:
    """Run ``reactor`` until ``fleet`` has ended; Ctrl-C ends it earlier, a second one at once.

    :raises Exception: what went wrong in it.
    """
    ended: list[Summary | Failure] = []
    progress = Progress(fleet, sys.stderr, reactor) if sys.stderr.isatty() else None
    interrupts = iter((fleet.stop, fleet.abort))

    def begin() -> None:
        if progress:
            progress.start()
        running = Deferred.fromCoroutine(fleet.run())
        running.addBoth(ended.append)
        running.addBoth(lambda _: reactor.stop())

    def interrupt(*_: object) -> None:
        reactor.callFromThread(next(interrupts, fleet.abort))

    reactor.callWhenRunning(begin)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    reactor.run(installSignalHandlers=False)
    if progress:
        progress.stop()
    (result,) = ended
    if isinstance(result, Failure):
        result.raiseException()
    return result


def complaint_about(summary: Summary, trouble: str | None, server: str) -> str | None:
    """What was wrong with the connections of a run, None if nothing was."""
    if summary.refused and not summary.connected:
        return (
            f"cannot connect to {server}: {trouble}. Start the server (twistd -n telemetry), or "
            "give the HOST:PORT of its --telemetry-endpoint."
        )
    if summary.refused or summary.lost:
        return (
            f"of the connections to {server}, {summary.refused:,} were refused and "
            f"{summary.lost:,} lost before everything was sent. The server's log says why; its "
            f"--max-nodes may be less than {summary.network.nodes:,}."
        )
    return None


def allow_open_files(count: int) -> bool:
    """Let this process have ``count`` files open; whether it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < count and (hard == unlimited or count <= hard):
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
        return True
    return soft == unlimited or count <= soft


def _endpoint(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
    """A way to connect; looking a name up a thousand times is slow, so addresses go without."""
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port)
    return HostnameEndpoint(reactor, host, port)
