"""``python -m telemetry_twisted.ingestion SETTINGS``: an ingestion process, started by the hub."""

from __future__ import annotations

import socket
import sys

from telemetry_twisted.transport.child import run_child

from .process import IngestionProcess
from .settings import LISTEN_FD, Settings

if __name__ == "__main__":
    settings = Settings.decode(sys.argv[1])
    run_child(
        lambda reactor, errors: IngestionProcess(
            reactor, settings, socket.socket(fileno=LISTEN_FD), errors
        )
    )
