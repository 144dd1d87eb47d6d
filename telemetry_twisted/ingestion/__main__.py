"""``python -m telemetry_twisted.ingestion SETTINGS``: an ingestion process, started by the hub."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from typing import cast

from twisted.logger import globalLogBeginner, textFileLogObserver

from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.link.protocol import link_factory

from .process import HANDOVER_FD, LINK_FD, IngestionProcess, Settings


def main() -> None:
    """Run until the hub says so or is gone. A terminal's Ctrl-C is the hub's to act on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    from twisted.internet import reactor as installed

    reactor = cast(IServerReactor, installed)
    handover = socket.socket(fileno=HANDOVER_FD)
    process = IngestionProcess(reactor, Settings.decode(sys.argv[1]), handover)
    reactor.adoptStreamConnection(LINK_FD, socket.AF_UNIX, link_factory(process))
    os.close(LINK_FD)

    def stop(_: object) -> None:
        if not stopping:
            reactor.stop()

    def finish() -> object:
        stopping.append(True)
        process.drain()
        return process.ended

    stopping: list[bool] = []
    process.ended.addCallback(stop)
    reactor.addSystemEventTrigger("before", "shutdown", finish)
    gc.freeze()
    reactor.run()


if __name__ == "__main__":
    main()
