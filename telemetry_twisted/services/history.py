"""The store process, and what looks at the server for its sake, as a service."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults

from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.hub.supervisor import Supervisor
from telemetry_twisted.hub.watch import Watch
from telemetry_twisted.store.database.address import parse_database
from telemetry_twisted.store.database.interface import Database

from .starting import CannotStart


class HistoryService(MultiService):
    """Has history written, and alerts raised.

    :param url: the address of the database.
    :param database: what the REST API reads from.
    """

    def __init__(
        self,
        url: str,
        store_client: StoreClient,
        supervisor: Supervisor,
        watch: Watch,
        database: Database,
    ) -> None:
        super().__init__()
        self.setName("history")
        self._url = url
        self._store_client = store_client
        self._supervisor = supervisor
        self._database = database
        supervisor.setServiceParent(self)
        watch.setServiceParent(self)

    def startService(self) -> None:
        """Start the store process.

        :raises CannotStart: if this process may not write the database's file.
        """
        check_writable(self._url)
        super().startService()

    def stopService(self) -> Deferred[Any]:
        """Have what is left written; fires when the store process is gone."""
        stored = super().stopService()
        self._store_client.drain()
        closed = Deferred.fromCoroutine(self._database.close())
        return gatherResults([stored, closed])

    def kill(self) -> None:
        """End the store process at once."""
        self._supervisor.kill()


def check_writable(url: str) -> None:
    """Make sure that an SQLite file may be written by the user that this process is now.

    :raises CannotStart: if not, or if it is a directory. What is not there yet may come, and is
        not complained of.
    """
    address = parse_database(url)
    if address.kind != "sqlite":
        return
    file = Path(address.path).absolute()
    if file.is_dir():
        raise CannotStart(
            f"--database {url}: {file} is a directory; give the path of a file with --database."
        )
    for path in (file, file.parent):
        if path.exists() and not os.access(path, os.W_OK, effective_ids=True):
            user = os.geteuid()
            try:
                name = pwd.getpwuid(user).pw_name
            except KeyError:
                name = f"user {user}"
            raise CannotStart(
                f"--database {url}: {name} may not write {path}. Let that user write the file and "
                f"its directory, or give another one with --database."
            )
