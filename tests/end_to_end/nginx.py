"""A real nginx of a test's own: in a temporary directory, on a free port, gone afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.conftest import HOST
from tests.end_to_end.program import find_program, running

PATH = "/sub/telemetry"
"""Below which the API is found through it."""

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen {host}:{port};
        location {path}/ {{
            proxy_pass http://{host}:{upstream}/;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout {timeout}s;
        }}
    }}
}}
"""


def nginx_program() -> str:
    """Where nginx is; the test is skipped where it is not, unless TELEMETRY_REQUIRE_NGINX is 1."""
    return find_program("nginx", "nginx")


@contextmanager
def nginx(directory: Path, port: int, upstream: int, timeout: int) -> Iterator[None]:
    """nginx on ``port``, which passes what is below :data:`PATH` on to the port ``upstream``.

    It cuts what is quiet for ``timeout`` seconds.
    """
    configuration = directory / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            user="user root root;" if os.getuid() == 0 else "",
            directory=directory,
            host=HOST,
            port=port,
            path=PATH,
            upstream=upstream,
            timeout=timeout,
        )
    )
    command = [nginx_program(), "-c", str(configuration), "-p", str(directory)]
    with running(command, directory, port):
        yield
