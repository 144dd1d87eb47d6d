"""Who may come in, with stock clients: by token, by origin, by name, and from where."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.end_to_end.conftest import (
    DEADLINE,
    HOST,
    Server,
    StartProcess,
    StartServer,
    await_true,
    twistd,
)

READ = "5f0c8e6b6d1f4c7e9a3b2d10"
METRICS = "c2a91e0d7b8844f5b6a0e3f9"
PAGE = "https://dashboard.example"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def web_socket(server: Server, query: str = "", **options: Any) -> Iterator[ClientConnection]:
    """A WebSocket client that has been greeted."""
    url = f"ws://{HOST}:{server.ports['api']}/api/ws{query}"
    with connect(url, open_timeout=DEADLINE, compression=None, **options) as connection:
        assert json.loads(connection.recv(DEADLINE))["type"] == "connected"
        yield connection


def refusal(server: Server, query: str = "", **options: Any) -> tuple[int, str]:
    """With which status an upgrade is refused, and what is said to it."""
    with pytest.raises(InvalidStatus) as caught, web_socket(server, query, **options):
        pass
    response = caught.value.response
    assert response.body is not None
    return response.status_code, json.loads(response.body)["error"]["message"]


def receive_on(connection: ClientConnection) -> None:
    """Receive until the connection is closed."""
    while True:
        connection.recv(DEADLINE)


def ticket(server: Server) -> str:
    status, answer, _ = server.get("/api/ticket", "POST", **bearer(READ))
    assert status == 200
    return str(answer["ticket"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = twistd("--allow-origin", PAGE, procs=1)
    server = Server(tmp_path_factory.mktemp("server"), options)
    try:
        yield server.await_ready()
    finally:
        server.close()


class TestTokens:
    @pytest.fixture
    def tokens(self, tmp_path: Path) -> Path:
        path = tmp_path / "tokens"
        path.touch(0o600)
        path.write_text(f"dashboard read {READ}\nprometheus metrics {METRICS}\n")
        return path

    @pytest.fixture
    def guarded(self, start_server: StartServer, tokens: Path) -> Server:
        return start_server(
            *("--api-token-file", str(tokens), "--database", "sqlite:history.sqlite"),
            *("--trusted-proxies", HOST),
            history=True,
            procs=1,
        )

    def test_who_brings_a_token_gets_what_its_role_may(self, guarded: Server) -> None:
        for path, *expected in (
            ("/api/health", 200, 200, 200),
            ("/api/health/detailed", 401, 403, 200),
            ("/metrics", 401, 200, 200),
            ("/api/metrics/live", 401, 403, 200),
            ("/api/docs", 401, 403, 200),
            ("/nothing", 401, 403, 404),
        ):
            for headers, status in zip(({}, bearer(METRICS), bearer(READ)), expected, strict=True):
                assert guarded.get(path, **headers)[0] == status, (path, headers)
        assert guarded.get("/api/health")[1].keys() == {"status", "service"}
        assert "problems" in guarded.get("/api/health", **bearer(READ))[1]

    def test_a_subscriber_brings_a_token_a_subprotocol_or_a_ticket(self, guarded: Server) -> None:
        with web_socket(guarded, additional_headers=bearer(READ)) as connection:
            assert connection.subprotocol is None
        offered: Any = ["telemetry", f"bearer.{READ}"]
        with web_socket(guarded, subprotocols=offered) as connection:
            assert connection.subprotocol == "telemetry"
            assert connection.response is not None
            assert READ not in str(connection.response.headers)
        good = ticket(guarded)
        with web_socket(guarded, f"?ticket={good}&batch=1"):
            pass
        assert refusal(guarded, f"?ticket={good}")[0] == 401
        assert refusal(guarded)[0] == 401
        assert refusal(guarded, subprotocols=["telemetry", "bearer.wrong"])[0] == 401
        assert refusal(guarded, additional_headers=bearer(METRICS))[0] == 403
        assert READ not in guarded.log
        assert good not in guarded.log

    def test_a_ticket_opens_server_sent_events(self, guarded: Server) -> None:
        connection = HTTPConnection(HOST, guarded.ports["api"], timeout=DEADLINE)
        connection.request("GET", f"/api/metrics/stream?ticket={ticket(guarded)}")
        response = connection.getresponse()
        assert response.status == 200
        assert response.readline() == b"event: metrics\n"
        connection.close()

    def test_who_fails_too_often_has_to_wait_and_nobody_else(self, guarded: Server) -> None:
        def attempt(client: str) -> int:
            told = {**bearer("wrong"), "X-Forwarded-For": client}
            return guarded.get("/api/metrics/live", **told)[0]

        assert [attempt("192.0.2.7") for _ in range(12)] == [401] * 10 + [429] * 2
        assert attempt("192.0.2.8") == 401
        _, _, response = guarded.get("/api/metrics/live", **{"X-Forwarded-For": "192.0.2.7"})
        assert 0 < int(response.headers["Retry-After"]) <= 60

    def test_tokens_are_read_again_on_sighup_and_when_the_file_changes(
        self, guarded: Server, tokens: Path
    ) -> None:
        before = tokens.read_text()
        try:
            tokens.write_text("dashboard read short\n")
            os.kill(guarded.pid, signal.SIGHUP)
            guarded.await_log("API tokens: cannot be read again: ")
            assert guarded.get("/api/metrics/live", **bearer(READ))[0] == 200
            tokens.write_text(f"another read {'x' * 16}\n")
            await_true(
                lambda: guarded.get("/api/metrics/live", **bearer("x" * 16))[0] == 200,
                "the new token is good",
            )
            assert guarded.get("/api/metrics/live", **bearer(READ))[0] in (401, 429)
        finally:
            tokens.write_text(before)

    def test_a_stream_ends_with_the_token_that_opened_it(
        self, guarded: Server, tokens: Path
    ) -> None:
        other = "x" * 16
        tokens.write_text(f"{tokens.read_text()}another read {other}\n")
        os.kill(guarded.pid, signal.SIGHUP)
        guarded.await_log("API tokens: read again")
        with (
            web_socket(guarded, f"?ticket={ticket(guarded)}") as taken,
            web_socket(guarded, additional_headers=bearer(other)) as left,
        ):
            tokens.write_text(f"another read {other}\n")
            os.kill(guarded.pid, signal.SIGHUP)
            with pytest.raises(ConnectionClosed):
                receive_on(taken)
            left.send('{"type":"Ping"}')
            await_true(lambda: '"pong"' in str(left.recv(DEADLINE)), "the other stream goes on")


def test_a_bad_file_of_tokens_is_told_by_line(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# name role token\n{READ} read dashboard\n")
    ended = subprocess.run(
        twistd("--api-token-file", str(path)), capture_output=True, text=True, timeout=DEADLINE
    )
    assert ended.returncode != 0
    said = ended.stdout + ended.stderr
    assert "line 2: " in said
    assert READ not in said


class TestPages:
    def test_a_page_of_another_origin_gets_no_stream(self, server: Server) -> None:
        status, message = refusal(server, origin="http://evil.example")
        assert status == 403
        assert "--allow-origin http://evil.example" in message
        own: Any = f"http://{HOST}:{server.ports['api']}"
        for origin in (None, own, PAGE):
            with web_socket(server, origin=origin):
                pass

    def test_a_page_that_may_can_ask_with_a_token(self, server: Server) -> None:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
        status, _, response = server.get("/api/health", "OPTIONS", **asked)
        assert status == 204
        assert response.headers["Access-Control-Allow-Origin"] == PAGE
        assert server.get("/api/health", Origin=PAGE)[2].headers["Vary"] == "Origin"

    def test_a_name_that_is_not_its_own_is_refused(self, server: Server) -> None:
        status, body, _ = server.get("/api/health", Host="evil.example")
        assert status == 421
        assert "--public-url http://evil.example" in body["error"]["message"]
        for name in ("localhost", "127.0.0.1:1", "[::1]"):
            assert server.get("/api/health", Host=name)[0] == 200
        port = server.ports["api"]
        with (
            pytest.raises(InvalidStatus) as caught,
            connect(f"ws://evil.example:{port}/api/ws", sock=server.connect_socket("api")),
        ):
            pass
        assert caught.value.response.status_code == 421

    def test_nothing_tells_which_versions_run(self, server: Server) -> None:
        for path in ("/api/health", "/nothing", "/api/ws"):
            response = server.get(path)[2]
            assert response.headers["Server"] == "telemetry_twisted"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        with web_socket(server) as connection:
            assert connection.response is not None
            told = str(connection.response.headers)
        assert "telemetry_twisted" in told
        assert "Autobahn" not in told
        assert "Twisted/" not in told


def test_a_unix_socket_may_be_asked_by_any_name(
    start_process: StartProcess, tmp_path: Path
) -> None:
    path = tmp_path / "api"
    program = str(Path(sys.executable).with_name("twistd"))
    server = start_process(
        *(program, "-n", "--pidfile=", "telemetry", "--no-database", "--ingestion-procs", "1"),
        *("--telemetry-endpoint", f"tcp:0:interface={HOST}", "--api-endpoint", f"unix:{path}"),
    )
    await_true(path.exists, "the unix socket is there")
    for host in ("localhost", "unix"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(f"GET /api/health HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            with client.makefile("rb") as stream:
                assert b" 200 " in stream.readline()
    assert server.process.poll() is None
