"""Which database is meant: what ``--database`` is given."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from attrs import field, frozen


@frozen
class DatabaseAddress:
    """Where a database is. For SQLite, ``path``; for PostgreSQL, the others."""

    kind: str
    path: str = ""
    host: str = ""
    port: int = 5432
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""

    @property
    def name(self) -> str:
        """The address as it may be shown, without the password."""
        if self.kind == "sqlite":
            return f"sqlite:{self.path}"
        user = f"{self.user}@" if self.user else ""
        return f"postgresql://{user}{self.host}:{self.port}/{self.database}"


def parse_database(url: str) -> DatabaseAddress:
    """The address in ``sqlite:PATH`` or ``postgresql://user:password@host:port/name``.

    :raises ValueError: if it is neither; the message repeats nothing that may be a password.
    """
    kind, _, rest = url.partition(":")
    if (kind, rest) == ("sqlite", ":memory:"):
        raise ValueError(
            "history in memory could not be read by the process that serves it: give sqlite:PATH, "
            "or --no-database to keep none"
        )
    if kind == "sqlite" and rest:
        return DatabaseAddress("sqlite", path=rest)
    if kind in ("postgresql", "postgres"):
        try:
            parts = urlsplit(url)
            port = parts.port or 5432
        except ValueError:
            parts = urlsplit("")
        database = unquote(parts.path.removeprefix("/"))
        if parts.hostname and database:
            return DatabaseAddress(
                "postgresql",
                host=unquote(parts.hostname),
                port=port,
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
                database=database,
            )
    raise ValueError(
        f"not a database address (it begins with {kind[:20]!r}): "
        "give sqlite:PATH or postgresql://user:password@host:port/name"
    )
