"""Opens the database that an address names."""

from __future__ import annotations

from telemetry_twisted.interfaces import IServerReactor

from .address import parse_database
from .interface import Database
from .postgresql import PostgresqlDatabase
from .sqlite import SqliteDatabase


def open_database(url: str, reactor: IServerReactor) -> Database:
    """The database at ``url``; nothing is connected yet.

    :raises ValueError: as :func:`parse_database` does.
    """
    address = parse_database(url)
    if address.kind == "sqlite":
        return SqliteDatabase(address, reactor)
    return PostgresqlDatabase(address, reactor)
