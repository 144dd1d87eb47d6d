"""Alerts reach people: a real Alertmanager, and webhooks that fail, hang, and return."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import DEADLINE, HOST, Server, StartServer, await_true
from tests.end_to_end.program import find_program, free_port, running

SECRET = "correct horse battery staple"
NODE = "a" * 64

CONFIGURATION = """
route:
  receiver: people
  group_wait: 0s
  group_interval: 1s
receivers:
  - name: people
"""


class Webhook(ThreadingHTTPServer):
    """A webhook that answers as it is told to, and keeps what it was sent."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Handler)
        self.code = 200
        self.hangs = threading.Event()
        self.returns = threading.Event()
        self.taken: list[Any] = []
        self.turned_away = 0
        self.hung = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/hook?token=s3cr3t"

    def kinds(self, what: str) -> list[str]:
        """The kinds of all alerts that it was told have ``begun`` or ``ended``."""
        return [alert["kind"] for message in self.taken for alert in message[what]]


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.hangs.is_set():
            self.server.hung += 1
            self.server.returns.wait(DEADLINE)
            return
        if self.server.code == 200:
            seconds, signed = self.headers["telemetry-signature"].split(",")
            made = f"{seconds.removeprefix('t=')}.".encode() + body
            expected = hmac.new(SECRET.encode(), made, hashlib.sha256).hexdigest()
            assert signed == f"sha256={expected}"
            self.server.taken.append(json.loads(body))
        else:
            self.server.turned_away += 1
        self.send_response(self.server.code)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.returns.set()
    server.shutdown()
    server.server_close()


@contextmanager
def alertmanager(directory: Path, port: int) -> Iterator[None]:
    """A real Alertmanager on ``port``."""
    program = find_program("prometheus-alertmanager", "prometheus-alertmanager")
    configuration = directory / "alertmanager.yml"
    configuration.write_text(CONFIGURATION)
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address={HOST}:{port}",
        "--cluster.listen-address=",
    ]
    with running(command, directory, port):
        yield


def alerts_at(port: int) -> list[Any]:
    """The alerts that hold at an Alertmanager."""
    client = HTTPConnection(HOST, port, timeout=DEADLINE)
    try:
        client.request("GET", "/api/v2/alerts")
        found: list[Any] = json.loads(client.getresponse().read())
        return found
    finally:
        client.close()


def receivers(server: Server) -> dict[str, Any]:
    """What the server tells Prometheus of the alerts that it has sent."""
    text = server.get("/metrics")[1].decode()
    lines = [line for line in text.splitlines() if line.startswith("telemetry_alert_deliveries")]
    return {line.partition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def come_and_go(server: Server) -> None:
    """Have a node connect and leave."""
    node = server.connect_node(NODE)
    server.await_nodes(1)

    def uptime() -> int:
        return int(server.get("/api/metrics/live")[1]["uptime_seconds"])

    # A node is missed that was there when the server looked, which it does every second.
    seen = uptime() + 3
    await_true(lambda: uptime() >= seen, "the server has looked")
    node.close()


def test_an_alertmanager_hears_of_an_alert_and_of_its_end(
    start_server: StartServer, tmp_path: Path
) -> None:
    port = free_port()
    options = ("--alert-node-gone", "1", "--alertmanager", f"http://{HOST}:{port}")
    server = start_server(*options, "--public-url", "https://telemetry.example", history=True)
    come_and_go(server)
    # It is not even there when the alert begins.
    server.await_log("does not take alerts, and is tried again: Connection was refused")
    await_true(lambda: _problems(server, "alerts do not reach"), "health tells of it")
    with alertmanager(tmp_path, port):
        await_true(lambda: alerts_at(port), "the alert arrives")
        (alert,) = alerts_at(port)
        assert alert["labels"] == {
            "alertname": "node_gone",
            "job": "telemetry",
            "server": "https://telemetry.example",
        }
        assert alert["annotations"]["summary"].startswith(f"node {NODE} has been gone for ")
        assert alert["annotations"]["examples"] == NODE
        assert alert["status"]["state"] == "active"
        assert not _problems(server, "alerts do not reach")
        server.connect_node(NODE)
        await_true(lambda: not alerts_at(port), "the alert ends")
    assert sum(receivers(server).values()) >= 3


def _problems(server: Server, text: str) -> list[str]:
    return [each for each in server.get("/api/health/detailed")[1]["problems"] if text in each]


def test_a_webhook_that_fails_hangs_and_returns_misses_nothing(
    start_server: StartServer, webhook: Webhook, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    options = ("--alert-webhook", webhook.url, "--alert-webhook-secret", str(secret))
    server = start_server("--alert-node-gone", "1", *options, history=True)
    webhook.code = 503
    come_and_go(server)
    await_true(lambda: webhook.turned_away >= 2, "it is tried twice")
    webhook.hangs.set()
    server.connect_node(NODE)
    await_true(lambda: webhook.hung, "one hangs")
    webhook.code = 200
    webhook.hangs.clear()
    await_true(lambda: "node_gone" in webhook.kinds("ended"), "it is told of the end as well")
    assert webhook.kinds("begun").count("node_gone") == 1
    assert webhook.kinds("ended").count("node_gone") == 1
    assert [message["id"] for message in webhook.taken] == sorted(
        message["id"] for message in webhook.taken
    )
    assert {message["skipped"] for message in webhook.taken} == {0}
    assert "s3cr3t" not in server.log
    shown = f"http://{HOST}:{webhook.server_address[1]}"
    server.await_log(f"{shown} takes alerts again")
    failed = (
        f'telemetry_alert_deliveries_total{{kind="webhook",outcome="failed",receiver="{shown}"}}'
    )
    assert receivers(server)[failed] >= 3
