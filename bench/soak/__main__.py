"""``python -m bench.soak --minutes N``: uses a server hard, and checks all that it says.

A thousand nodes and a hundred subscribers come and go, ping, stall and change their minds, while
the server's processes are killed and stopped at random, all from one seed. Every frame is parsed
strictly, every event is held to what its node has sent, every count to what was received. At quiet
moments all that was sent has to have come, and memory and descriptors must not grow.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread

from bench.machine import describe
from telemetry_twisted.store.testing import ThrowawayPostgresql
from telemetry_twisted.transport.limits import raise_descriptor_limit

from .account import Account
from .check import Ledger, Told, check, disagreement, unsettled
from .network import Network, Size
from .server import Server, server

TICK_SECONDS = 0.1
BUSY_SECONDS = 20.0
"""How long nodes send before they are quiet for a moment."""

SETTLE_SECONDS = 90.0
"""How long what was sent may take to come, with processes that hang and are replaced meanwhile."""

MOST_MISTAKES = 20
"""After so many it ends before its time."""

RING_EVENTS = 30_000
"""So few that a subscriber that stalls in a flood misses some."""


async def soak(reactor: Any, target: Server, options: argparse.Namespace, account: Account) -> Any:
    """Use ``target`` for the minutes wanted; what its processes held."""
    random = Random(options.seed)
    size = Size(options.nodes, options.subscribers, options.rate)
    network = Network(reactor, target, size, account, random)
    ledger = Ledger()
    network.start()
    ticks = LoopingCall(lambda: network.tick(TICK_SECONDS))
    ended: Deferred[Any] = ticks.start(TICK_SECONDS)
    stop = time.monotonic() + options.minutes * 60
    while time.monotonic() < stop and len(account.mistakes) < MOST_MISTAKES:
        end = min(time.monotonic() + BUSY_SECONDS, stop)
        while time.monotonic() < end:
            await deferLater(reactor, random.uniform(0.2, 2.0))
            if account.done["events sent"]:
                network.fault()
        network.quiet = True
        await settle(reactor, network)
        check(network, await hear(reactor, network))
        ledger.note(target.samples(), len(network.others))
        network.quiet = False
        print(f"{stop - time.monotonic():.0f} s left: {dict(account.done)}", file=sys.stderr)
    ticks.stop()
    await ended
    network.end()
    await deferToThread(target.end, account)
    await settle_end(reactor, network)
    return ledger.growth(account)


async def settle(reactor: Any, network: Network) -> None:
    """Wait until all has come that will."""
    end = time.monotonic() + SETTLE_SECONDS
    while (waiting := unsettled(network)) is not None:
        if time.monotonic() > end:
            network.account.wrong(f"after {SETTLE_SECONDS:.0f} s {waiting}")
            return
        await deferLater(reactor, 0.1)


async def hear(reactor: Any, network: Network) -> Told:
    """What the server tells of itself, when that agrees with what was seen here or long after."""
    end = time.monotonic() + SETTLE_SECONDS
    while True:
        told = await deferToThread(Told.by, network.server)
        if disagreement(network, told) is None or time.monotonic() > end:
            return told
        await deferLater(reactor, 0.1)


async def settle_end(reactor: Any, network: Network) -> None:
    """Wait until the server has said goodbye to every subscriber."""
    end = time.monotonic() + SETTLE_SECONDS
    while left := len(network.checkers) + len(network.others):
        if time.monotonic() > end:
            network.account.wrong(f"{left} subscribers are connected to a server that has ended")
            return
        await deferLater(reactor, 0.1)


@contextmanager
def database(kind: str) -> Iterator[str]:
    """The address of an empty database, ``sqlite`` or ``postgresql``."""
    if kind == "sqlite":
        yield "sqlite:telemetry.sqlite"
        return
    postgresql = ThrowawayPostgresql()
    postgresql.start()
    try:
        yield postgresql.create_database("telemetry")
    finally:
        postgresql.remove()


def main() -> int:
    """Soak, print what was found, and return an exit code."""
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=1024)
    parser.add_argument("--subscribers", type=int, default=100)
    parser.add_argument("--rate", type=int, default=2000, help="events per second over all nodes")
    parser.add_argument(
        "--database", choices=("sqlite", "postgresql"), default="sqlite", help="that keeps history"
    )
    parser.add_argument(
        "--codec",
        choices=("auto", "compiled", "python"),
        default="auto",
        help="that decodes events",
    )
    parser.add_argument("--output", type=Path, help="where to write the result, as JSON")
    options = parser.parse_args()
    raise_descriptor_limit()
    reactor: Any = installed
    account = Account()
    result: dict[str, Any] = {"machine": describe(), "options": {**vars(options)}}
    result["options"].pop("output")
    with TemporaryDirectory() as directory, database(options.database) as url:
        settings = (
            *("--ingestion-procs", "2", "--ring-events", str(RING_EVENTS)),
            *("--database", url, "--codec", options.codec),
        )
        with server(Path(directory), *settings) as target:
            running = Deferred.fromCoroutine(soak(reactor, target, options, account))
            running.addCallback(lambda held: result.update(held=held))
            running.addErrback(lambda failure: account.wrong(failure.getTraceback()))
            running.addBoth(lambda _: reactor.stop())
            reactor.run()
            if "Traceback" in target.log:
                account.wrong("the server's log has a traceback")
            if account.mistakes:
                print(target.log[-5000:], file=sys.stderr)
    result.update(done=dict(account.done), mistakes=account.mistakes)
    text = json.dumps(result, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")
    return 1 if account.mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
