"""A PostgreSQL server: how it is connected to, and what its errors mean."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from attrs import frozen
from twisted.internet.abstract import isIPAddress, isIPv6Address

from telemetry_twisted.store.schema.versions import NEWEST

from .address import DatabaseAddress
from .interface import (
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    NeverUsable,
    SchemaTooNew,
    TooManyConnections,
)

CONNECT_SECONDS = 5
"""How long connecting may take."""

CHECK_SECONDS = 2
"""How long it may take to look what is in the database, when the server starts."""

_TOO_MANY = re.compile(r"too many (clients|connections)|connection slots are reserved")
"""What the server says when it takes no more; a connection that was refused has no error code."""

_REMEDIES = {
    r"password authentication failed|no password supplied": "Give the right user and password",
    r'role ".*" does not exist|not permitted to log in': "Let that user log in, or give another",
    r'database ".*" does not exist': "Create it, or give another",
    r"no pg_hba\.conf entry": "Let this machine in with the server's pg_hba.conf, or give another",
}
"""What to do about refusals that no waiting changes, by what the server says, in English."""

UNKNOWN_HOST = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
"""How the look-up of a name fails that does not exist, rather than one that may work later."""

_BYTES = psycopg2.extensions.new_type(
    psycopg2.BINARY.values,
    "BYTES",
    lambda value, cursor: None if value is None else bytes(psycopg2.BINARY(value, cursor)),
)


@frozen
class Server:
    """The server and the database in it at ``address``."""

    address: DatabaseAddress

    @property
    def name(self) -> str:
        """Which one it is, without the password."""
        return self.address.name

    def parameters(self, statement_seconds: float) -> dict[str, Any]:
        """What ``psycopg2.connect`` is given, for statements that take no longer than this."""
        return {
            "host": self.address.host,
            "port": self.address.port,
            "user": self.address.user or None,
            "password": self.address.password or None,
            "dbname": self.address.database,
            "connect_timeout": CONNECT_SECONDS,
            "client_encoding": "UTF8",
            "application_name": "telemetry-twisted",
            # To compile a query takes longer than any of these takes.
            "options": f"-c jit=off -c statement_timeout={int(statement_seconds * 1000)}",
        }

    @contextmanager
    def errors(self) -> Iterator[None]:
        """psycopg2's errors as the store's."""
        try:
            yield
        except psycopg2.Error as error:
            raise self.translated(error) from None

    def translated(self, error: psycopg2.Error) -> DatabaseError:
        """What ``error`` is to the store."""
        reason = self.reason(error)
        if isinstance(error, psycopg2.errors.DiskFull):
            return DatabaseFull(reason)
        if _TOO_MANY.search(reason):
            return TooManyConnections(
                f"the PostgreSQL server takes no more connections ({reason}): "
                "let it take more with max_connections, or have others use fewer"
            )
        if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
            return DatabaseUnavailable(reason)
        return DatabaseError(reason)

    def check(self) -> None:
        """As :meth:`.interface.Database.check`."""
        try:
            look_up(self.address.host)
            with closing(psycopg2.connect(**self.parameters(CHECK_SECONDS))) as connection:
                version = read_version(connection)
        except psycopg2.Error as error:
            reason = self.reason(error)
            for said, remedy in _REMEDIES.items():
                if re.search(said, reason):
                    raise NeverUsable(f"{reason}. {remedy} with --database.") from None
        except DatabaseUnavailable:
            return
        else:
            if version > NEWEST:
                raise SchemaTooNew(version, NEWEST)

    def reason(self, error: psycopg2.Error) -> str:
        """What ``error`` says, on one line and without the password."""
        reason = " ".join(str(error).split()) or type(error).__name__
        if self.address.password:
            reason = reason.replace(self.address.password, "…")
        return reason


def look_up(host: str) -> dict[str, str]:
    """The addresses of ``host`` for libpq, which would look them up while everything waits.

    :raises NeverUsable: if there is no such host.
    :raises DatabaseUnavailable: if it could not be looked up.
    """
    if host.startswith("/") or isIPAddress(host) or isIPv6Address(host):
        return {}
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = f"the address of {host} is not known: {error}"
        if isinstance(error, UnicodeError) or error.errno in UNKNOWN_HOST:
            raise NeverUsable(f"{reason}. Give a host that there is with --database.") from None
        raise DatabaseUnavailable(reason) from None
    addresses = [str(place[0]) for *_, place in found]
    return {"host": ",".join([host] * len(addresses)), "hostaddr": ",".join(addresses)}


def read_version(connection: Any) -> int:
    """The version of the schema in the database, 0 if there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('schema_version') IS NULL")
        if cursor.fetchone() == (True,):
            return 0
        cursor.execute("SELECT version FROM schema_version")
        found = cursor.fetchone()
        return int(found[0]) if found else 0


def mark_parameters(sql: str) -> str:
    """``sql`` with its parameters marked as psycopg2 wants them."""
    return sql.replace("%", "%%").replace("?", "%s")


def read_bytes(connection: Any) -> None:
    """Have a connection of psycopg2's give ``bytes`` where it gives views of memory otherwise."""
    psycopg2.extensions.register_type(_BYTES, connection)
