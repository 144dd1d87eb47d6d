"""Behind a real nginx, below a path of a public URL."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from attrs import frozen
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.end_to_end.conftest import DEADLINE, HOST, Server, StartServer, await_true
from tests.end_to_end.nginx import PATH, nginx, nginx_program
from tests.end_to_end.program import free_port

CLIENT = "127.0.0.2"
"""Where clients come from, so that they can be told from the proxy."""

QUIET_SECONDS = 5
"""How long nginx lets a stream be quiet."""

TOKEN = "5f0c8e6b6d1f4c7e9a3b2d10"


@frozen
class Public:
    """A server, and where the public finds it."""

    server: Server
    port: int

    @property
    def host(self) -> str:
        """Its host, as the public names it."""
        return f"telemetry.example:{self.port}"

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://{self.host}{PATH}"

    def get(self, url: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        """Status and body of what is at ``url``, which has to be below the public one."""
        assert url.startswith(f"{self.url}/"), url
        client = HTTPConnection(HOST, self.port, DEADLINE, source_address=(CLIENT, 0))
        try:
            client.request(method, urlsplit(url).path, headers={"Host": self.host, **headers})
            response = client.getresponse()
            return response.status, response.read()
        finally:
            client.close()

    @contextmanager
    def stream(self, query: str = "", **options: Any) -> Iterator[ClientConnection]:
        """A WebSocket client that has been greeted, with no pings of its own."""
        url = f"{self.url}/api/ws{query}".replace("http:", "ws:")
        client = socket.create_connection((HOST, self.port), DEADLINE, source_address=(CLIENT, 0))
        with connect(url, sock=client, ping_interval=None, **options) as connection:
            assert json.loads(connection.recv(DEADLINE))["type"] == "connected"
            yield connection


@pytest.fixture
def publish(start_server: StartServer, tmp_path: Path) -> Iterator[Any]:
    """Starts servers behind an nginx."""
    nginx_program()
    with ExitStack() as stack:

        def start(*options: str, history: bool = False) -> Public:
            port = free_port()
            url = f"http://telemetry.example:{port}{PATH}"
            server = start_server(
                *("--public-url", url, "--trusted-proxies", HOST, "--access-log", *options),
                history=history,
                procs=1,
            )
            directory = tmp_path / "nginx"
            directory.mkdir()
            stack.enter_context(nginx(directory, port, server.ports["api"], QUIET_SECONDS))
            return Public(server, port)

        yield start


def test_every_link_stays_below_the_public_url(publish: Any) -> None:
    public = publish("--database", "sqlite:history.sqlite", history=True)
    status, page = public.get(f"{public.url}/api/docs")
    assert status == 200
    links = re.findall(r'(?:href|src)="([^"]*)"', page.decode())
    assert len(links) >= 2
    for link in links:
        assert public.get(urljoin(f"{public.url}/api/docs", link))[0] == 200, link
    document = json.loads(public.get(f"{public.url}/api/openapi.json")[1])
    assert document["servers"] == [{"url": public.url}]
    for path in ("/api/health", "/api/metrics/live", "/metrics"):
        assert public.get(document["servers"][0]["url"] + path)[0] == 200


def test_clients_are_told_apart_and_cannot_pretend(publish: Any, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"dashboard read {TOKEN}\n")
    public = publish("--api-token-file", str(tokens))

    def attempt(**headers: str) -> int:
        status: int = public.get(f"{public.url}/api/nodes", **headers)[0]
        return status

    statuses = [attempt(**{"X-Forwarded-For": f"192.0.2.{number}"}) for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    public.server.await_log(f'{CLIENT} "GET /api/nodes HTTP/1.1" 429')
    assert public.server.get("/api/nodes")[0] == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    status, answer = public.get(f"{public.url}/api/ticket", "POST", **headers)
    assert status == 200
    with public.stream(f"?ticket={json.loads(answer)['ticket']}"):
        public.server.await_log(f'{CLIENT} "GET /api/ws HTTP/1.1" 101')


def test_a_page_of_the_public_url_may_have_a_stream_and_another_may_not(publish: Any) -> None:
    public = publish()
    with public.stream(origin=f"http://{public.host}"):
        pass
    with pytest.raises(InvalidStatus) as caught, public.stream(origin="http://evil.example"):
        pass
    assert caught.value.response.status_code == 403


def test_a_stream_on_which_nothing_happens_is_not_cut(publish: Any) -> None:
    public = publish("--ping-seconds", "2")
    with public.stream() as stream:
        # Without pings nginx would cut it: this is twice the time that it waits.
        end = time.monotonic() + 2 * QUIET_SECONDS + 1
        while time.monotonic() < end:
            with pytest.raises(TimeoutError):
                stream.recv(1)
        stream.send('{"type":"Ping"}')
        assert json.loads(stream.recv(DEADLINE))["type"] == "pong"
    await_true(lambda: public.get(f"{public.url}/api/health")[0] == 200, "it is healthy")
