"""``python -m telemetry_twisted.ingestion SETTINGS``: an ingestion process, started by the hub."""

from __future__ import annotations

import socket
import sys

from telemetry_twisted.load_when_used import import_deferreds_without_asyncio, load_when_used
from telemetry_twisted.without_openssl import leave_out_openssl

from .settings import LISTEN_FD, Settings


def main() -> None:
    """Run until the hub says so, or is gone."""
    settings = Settings.decode(sys.argv[1])
    if settings.certificates is None:
        leave_out_openssl()
    load_when_used("http.cookiejar")
    import_deferreds_without_asyncio()
    # Not before: both import Twisted.
    from telemetry_twisted.transport.child import run_child

    from .process import IngestionProcess

    run_child(
        lambda reactor, errors: IngestionProcess(
            reactor, settings, socket.socket(fileno=LISTEN_FD), errors
        )
    )


if __name__ == "__main__":
    main()
