"""Opens the database that an address names."""

from __future__ import annotations

from telemetry_twisted.interfaces import IServerReactor

from .address import parse_database
from .interface import Database

EXTRA = "pip install 'telemetry-twisted[postgresql]'"


def open_database(url: str, reactor: IServerReactor) -> Database:
    """The database at ``url``; nothing is connected yet.

    :raises ValueError: as :func:`parse_database` and :func:`require_driver` do.
    """
    require_driver(url)
    address = parse_database(url)
    # Each where it is used: options look here too, those of servers without history among them.
    if address.kind == "sqlite":
        from .sqlite import SqliteDatabase

        return SqliteDatabase(address, reactor)
    from .postgresql import PostgresqlDatabase

    return PostgresqlDatabase(address, reactor)


def require_driver(url: str) -> None:
    """Make sure that what it takes to use the database at ``url`` is installed.

    Only those who keep history in PostgreSQL need to have psycopg2 and txpostgres.

    :raises ValueError: if it is not, with what to install.
    """
    if parse_database(url).kind == "sqlite":
        return
    try:
        import psycopg2  # noqa: F401
        import txpostgres  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"history in PostgreSQL needs more than is installed ({error}): {EXTRA}, or give "
            "sqlite:PATH"
        ) from error
