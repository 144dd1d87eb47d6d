"""The HTTP side, and the WebSocket protocol's own frames."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from telemetry_twisted import __version__

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Node, Server, StartServer, Subscriber

TEXT, PING = 1, 9
"""Kinds of frames (RFC 6455, 5.2)."""

HEALTHY = {
    "status": "ok",
    "service": "telemetry-twisted",
    "version": __version__,
    "problems": [],
}


def test_health(server: Server) -> None:
    status, body, response = server.get("/api/health")
    assert (status, body) == (200, HEALTHY)
    assert response.headers["content-type"] == "application/json"
    assert server.get("/api/health", "HEAD")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/",
        "/api/nodes",
        "/api/health/x",
        "/api/ws/x",
        "/metrics",
        "/a%FFb",
        "//api//health",
    ],
)
def test_every_other_path_is_a_json_404(server: Server, path: str) -> None:
    status, body, _ = server.get(path)
    assert status == 404
    assert body["error"]["status"] == 404
    assert path.partition("%")[0] in body["error"]["message"]


def test_a_method_that_is_not_allowed_is_a_json_405(server: Server) -> None:
    status, body, _ = server.get("/api/health", "POST")
    assert status == 405
    assert body["error"]["status"] == 405


@pytest.mark.parametrize("host", [b"\xff", b"..", b"a" * 70])
def test_a_host_that_cannot_be_is_refused(server: Server, host: bytes) -> None:
    client = server.connect_socket("api")
    client.sendall(b"GET /api/health HTTP/1.0\r\nHost: " + host + b"\r\n\r\n")
    with client.makefile("rb") as stream:
        answer = stream.read()
    assert b" 400 " in answer.splitlines()[0]
    assert b'"status":400' in answer


def test_there_is_no_subscriber_at_a_path_below(server: Server) -> None:
    with (
        pytest.raises(InvalidStatus) as caught,
        connect("ws://127.0.0.1/api/ws/x", sock=server.connect_socket("api")),
    ):
        pass
    assert caught.value.response.status_code == 404


def test_a_request_that_is_no_upgrade_is_told_what_is_expected(server: Server) -> None:
    status, body, response = server.get("/api/ws")
    assert status == 426
    assert body["error"]["status"] == 426
    assert "WebSocket" in body["error"]["message"]
    assert response.headers["upgrade"] == "websocket"


def test_an_upgrade_that_is_not_valid_is_refused(server: Server) -> None:
    status, _, _ = server.get("/api/ws", Upgrade="websocket", Connection="Upgrade")
    assert status == 400


def test_a_subscriber_too_many_gets_503(start_server: StartServer) -> None:
    server = start_server("--max-subscribers", "2", procs=1)
    with ExitStack() as stack:
        first, _ = (stack.enter_context(server.subscriber()) for _ in range(2))
        with pytest.raises(InvalidStatus) as caught, server.subscriber():
            pass
        assert caught.value.response.status_code == 503
        assert b"--max-subscribers" in caught.value.response.body
        assert server.get("/api/health")[:2] == (200, HEALTHY)
        assert first.ask({"type": "Ping"})["type"] == "pong"
    with server.subscriber() as another:
        assert another.greeting["data"]["broadcaster_stats"]["active_subscribers"] == 1


def test_a_ping_frame_is_answered_by_a_pong_frame(subscriber: Subscriber) -> None:
    answered = subscriber.connection.ping(b"are you there")
    assert answered.wait(40)


def test_a_client_that_closes_is_answered_and_let_go(server: Server, node: Node) -> None:
    with server.subscriber() as leaving:
        before = leaving.greeting["data"]["broadcaster_stats"]["active_subscribers"]
        leaving.subscribe(type="Nodes", node_ids=[node.node_id])
        node.report_best(range(20_000))
        leaving.connection.close(1000, "enough")
        assert leaving.connection.close_code == 1000
    with server.subscriber() as other:
        stats = other.greeting["data"]["broadcaster_stats"]
        assert stats["active_subscribers"] == before
