"""A PostgreSQL server of one's own, for tests and benchmarks: in a temporary directory, on a free
port, gone afterwards. It can be stopped, killed, frozen and brought back."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg2

USER = "telemetry"
PASSWORD = "s3cret-/pass:word@here"


class PostgresqlMissing(Exception):
    """PostgreSQL's server programs are not installed here."""


def postgresql_programs() -> Path:
    """The directory of ``initdb`` and ``postgres``.

    :raises PostgresqlMissing: if there is none.
    """
    found = shutil.which("initdb")
    if found and (Path(found).resolve().parent / "postgres").exists():
        return Path(found).resolve().parent
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0,
    )
    if not installed:
        raise PostgresqlMissing(
            "PostgreSQL is not installed: no initdb in PATH or /usr/lib/postgresql/*/bin "
            "(Debian: apt-get install postgresql)"
        )
    return installed[-1].parent


class ThrowawayPostgresql:
    """A server that listens on ``port`` of the loopback address, once started.

    Root may not run PostgreSQL: it is then run as the user ``postgres``.
    """

    def __init__(self) -> None:
        self._programs = postgresql_programs()
        self._user = "postgres" if os.getuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="telemetry-postgresql-"))
        password = self._directory / "password"
        password.write_text(PASSWORD)
        if self._user:
            for path in (self._directory, password):
                shutil.chown(path, self._user, self._user)
        self._run(
            "initdb",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            f"--username={USER}",
            "--auth=scram-sha-256",
            f"--pwfile={password}",
            f"--pgdata={self._data}",
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def _run(self, program: str, *arguments: str | Path) -> None:
        finished = subprocess.run(
            [self._programs / program, *arguments],
            user=self._user,
            cwd=self._directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if finished.returncode:
            raise RuntimeError(f"{program} failed: {finished.stdout}")

    def url(self, database: str = "postgres") -> str:
        """The address of a database of the server, with user and password."""
        return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, and wait until connections are taken."""
        options = f"-p {self.port} -k {self._directory} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = self._directory / "log"
        self._run("pg_ctl", "start", "-w", "-D", self._data, "-l", log, "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Shut down ``fast``, or ``immediate``: without a goodbye to anyone."""
        self._run("pg_ctl", "stop", "-w", "-D", self._data, "-m", mode)

    def freeze(self) -> None:
        """Have every process of the server stand still."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children")
        os.kill(postmaster, number)
        for child in children.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), number)

    def kill(self) -> None:
        """Stop at once, if it runs, frozen or not."""
        if (self._data / "postmaster.pid").exists():
            self.thaw()
            self.stop("immediate")

    def remove(self) -> None:
        """Stop, if it runs, and leave nothing behind."""
        self.kill()
        shutil.rmtree(self._directory)

    def create_database(self, name: str, directory: Path | None = None) -> str:
        """Create a database, with its tables in ``directory`` if one is given; return its address.

        The directory must be empty, and reachable for the user that runs the server.
        """
        connection = psycopg2.connect(self.url())
        connection.autocommit = True
        with connection.cursor() as cursor:
            place = ""
            if directory is not None:
                if self._user:
                    shutil.chown(directory, self._user, self._user)
                cursor.execute(f'CREATE TABLESPACE "{name}" LOCATION %s', (str(directory),))
                place = f' TABLESPACE "{name}"'
            cursor.execute(f'CREATE DATABASE "{name}"{place}')
        connection.close()
        return self.url(name)
