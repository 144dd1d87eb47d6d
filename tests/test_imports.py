"""What imports what, and what each process of the server imports."""

from __future__ import annotations

import ast
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

import telemetry_twisted
from telemetry_twisted.ingestion.settings import LISTEN_FD, Settings
from telemetry_twisted.transport.certificates import CertificateFiles
from tests.certificates import make_root

# By number: to import what says so would import Twisted's reactor here.
LINK_FD = 3

ROOT = Path(telemetry_twisted.__file__).parent

BELOW: Mapping[str, Sequence[str]] = {
    "jip3": (),
    "transport": ("jip3",),
    "ingestion": ("jip3", "transport"),
    "network": ("jip3",),
    "store": ("jip3", "transport", "network"),
    "hub": ("jip3", "transport", "ingestion.settings"),
    "api": ("jip3", "transport", "hub", "store"),
    "notify": (),
    "services": ("jip3", "transport", "hub", "store"),
    "simulator": ("jip3",),
    "testing": ("transport",),
}
"""What each room may import of the others."""

ABOVE = {"command", "kept_history", "options", "server", "tap"}
"""Those who know the rooms: no room imports them."""

HEAVY = {
    "autobahn",
    "cryptography",
    "klein",
    "prometheus_client",
    "twisted.web",
    "werkzeug",
}
"""What takes much memory and serves HTTP, and OpenSSL's bindings."""

TLS = {"service_identity", "twisted.internet._sslverify"}
"""What only TLS brings; ``cryptography`` comes with Autobahn as well."""

UNUSED = {"_ssl", "http.client", "urllib.request"}
"""What Twisted brings of the standard library, and no child process needs."""

DATABASES = {"psycopg2", "sqlite3", "txpostgres"}

ROOMS_OF_THE_HUB = {f"telemetry_twisted.{room}" for room in ("api", "hub", "services", "simulator")}


def imports(file: Path) -> Iterator[str]:
    """The modules that ``file`` imports, anywhere in it, by their whole names."""
    package = ("telemetry_twisted", *file.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*above, *([node.module] if node.module else [])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", BELOW)
def test_imports_run_one_way(room: str) -> None:
    allowed = tuple(f"telemetry_twisted.{name}." for name in (room, *BELOW[room]))
    others = tuple(f"telemetry_twisted.{name}." for name in {*BELOW, *ABOVE})
    for file in sorted((ROOT / room).rglob("*.py")):
        wrong = [
            name
            for name in imports(file)
            if name.startswith(others) and not f"{name}.".startswith(allowed)
        ]
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}, which is not below it"


def modules_of(module: str, *arguments: str) -> set[str]:
    """The modules that a child process imports until it finds that the hub is gone."""
    with ExitStack() as stack:
        gone, link = socket.socketpair()
        gone.close()
        listening = socket.create_server(("127.0.0.1", 0))
        # Far above those that the child is given, so that none is overwritten before it is copied.
        passed = {}
        for wanted, taken in ((LINK_FD, link), (LISTEN_FD, listening)):
            stack.enter_context(taken)
            passed[fcntl.fcntl(taken.fileno(), fcntl.F_DUPFD, 10)] = wanted
        for number in passed:
            stack.callback(os.close, number)
        start = f"""
import os, runpy
for number, wanted in {passed}.items():
    os.dup2(number, wanted)
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""
        return imported_by(start, arguments, tuple(passed))


def imported_by(
    program: str, arguments: Sequence[str], descriptors: Sequence[int] = ()
) -> set[str]:
    """The modules that a program imports until it ends."""
    command = [sys.executable, "-X", "importtime", "-c", program, *arguments]
    ended = subprocess.run(
        command, pass_fds=descriptors, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    lines = ended.stderr.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def among(modules: set[str], packages: set[str]) -> set[str]:
    """Those of ``packages`` that there is something of in ``modules``."""
    return {
        package for package in packages if any(f"{m}.".startswith(f"{package}.") for m in modules)
    }


def ingestion_settings(certificates: CertificateFiles | None = None) -> str:
    return Settings(1, 1, "auto", False, 1 << 20, 0, 8, False, certificates).encode()


def test_an_ingestion_process_imports_what_it_needs() -> None:
    modules = modules_of("telemetry_twisted.ingestion", ingestion_settings())
    assert "telemetry_twisted.ingestion.process" in modules
    assert not among(
        modules, HEAVY | TLS | UNUSED | ROOMS_OF_THE_HUB | {"telemetry_twisted.store"} | DATABASES
    )


def test_an_ingestion_process_that_speaks_tls_imports_it(tmp_path: Path) -> None:
    make_root().issue("server").write(tmp_path)
    files = CertificateFiles(str(tmp_path / "key.pem"), str(tmp_path / "cert.pem"))
    modules = modules_of("telemetry_twisted.ingestion", ingestion_settings(files))
    assert among(modules, HEAVY | TLS) == {"cryptography", *TLS}


def test_the_store_process_imports_what_it_needs() -> None:
    modules = modules_of("telemetry_twisted.store")
    assert "telemetry_twisted.store.write.process" in modules
    unneeded = HEAVY | TLS | UNUSED | ROOMS_OF_THE_HUB
    assert not among(modules, unneeded | {"telemetry_twisted.ingestion", "txpostgres"})


MAKE_SERVICE = """
import sys
from telemetry_twisted.command import Options, makeService
options = Options()
options.parent = {}
options.parseOptions(sys.argv[1:])
makeService(options)
"""


def modules_of_hub(*arguments: str) -> set[str]:
    return imported_by(MAKE_SERVICE, arguments)


def test_the_hub_imports_what_its_options_turn_on() -> None:
    modules = modules_of_hub("--no-database")
    assert "telemetry_twisted.hub.hub" in modules
    unneeded = TLS | DATABASES - {"sqlite3"} | {"msgspec", "prometheus_client"}
    of_history = {"telemetry_twisted.api.rest", "telemetry_twisted.store.write"}
    assert not among(modules, unneeded | of_history | {"telemetry_twisted.ingestion.process"})


def test_the_hub_imports_tls_where_it_is_spoken(tmp_path: Path) -> None:
    make_root().issue("server").write(tmp_path)
    files = f"privateKey={tmp_path}/key.pem:certKey={tmp_path}/cert.pem"
    modules = modules_of_hub("--no-database", "--api-endpoint", f"ssl:0:{files}")
    assert among(modules, TLS) == TLS


def test_the_hub_imports_rest_where_history_is_kept(tmp_path: Path) -> None:
    modules = modules_of_hub("--database", f"sqlite:{tmp_path}/history.sqlite")
    assert among(modules, {"telemetry_twisted.api.rest", "prometheus_client"})
    assert not among(modules, TLS | {"psycopg2", "treq", "txpostgres"})


def test_the_hub_imports_a_client_of_http_where_alerts_are_sent(tmp_path: Path) -> None:
    database = f"sqlite:{tmp_path}/history.sqlite"
    modules = modules_of_hub("--database", database, "--alertmanager", "http://localhost:9093")
    assert among(modules, {"treq"})
