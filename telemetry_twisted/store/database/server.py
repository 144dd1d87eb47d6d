"""A PostgreSQL server: how it is connected to, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from attrs import frozen

from .address import DatabaseAddress
from .interface import DatabaseError, DatabaseFull, DatabaseUnavailable, TooManyConnections

CONNECT_SECONDS = 5
"""How long connecting may take."""

_TOO_MANY = re.compile(r"too many (clients|connections)|connection slots are reserved")
"""What the server says when it takes no more; a connection that was refused has no error code."""

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
            "options": f"-c statement_timeout={int(statement_seconds * 1000)}",
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

    def reason(self, error: psycopg2.Error) -> str:
        """What ``error`` says, on one line and without the password."""
        reason = " ".join(str(error).split()) or type(error).__name__
        if self.address.password:
            reason = reason.replace(self.address.password, "…")
        return reason


def mark_parameters(sql: str) -> str:
    """``sql`` with its parameters marked as psycopg2 wants them."""
    return sql.replace("%", "%%").replace("?", "%s")


def read_bytes(connection: Any) -> None:
    """Have a connection of psycopg2's give ``bytes`` where it gives views of memory otherwise."""
    psycopg2.extensions.register_type(_BYTES, connection)
