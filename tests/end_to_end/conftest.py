"""A real server in processes of its own, and clients that share no code with it but the encoder."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from itertools import count
from pathlib import Path
from select import POLLIN, poll
from ssl import SSLContext, TLSVersion
from typing import Any, Protocol

import pytest
from attrs import define, field
from websockets.sync.client import ClientConnection, connect

from telemetry_twisted.jip3.encoder import encode_event, encode_node_information, frame
from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.table import TABLE

HOST = "127.0.0.1"

DEADLINE = 40.0
"""Seconds after which what has to happen counts as missing, far more than it takes."""

ZERO_HASH = "0x" + "00" * 32

NOW = int(time.time() * 1_000_000) - COMMON_ERA
"""The timestamp of all events here, in microseconds of the Common Era: when the tests began."""

UNASKED = ("event", "batch", "lagged", "stats", "metrics", "alert", "network")
"""Types of messages that are not replies."""

Message = dict[str, Any]

_PORT = re.compile(r"--(telemetry|api)-endpoint: .*:(\d+)$", re.MULTILINE)


def await_true(condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Wait until ``condition`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.01)


def best_block(slot: int) -> bytes:
    """A ``BestBlockChanged`` of ``slot``, as it is sent."""
    return frame(encode_event("BestBlockChanged", NOW, {"slot": slot, "hash": ZERO_HASH}, cores=2))


def information(
    node_id: str,
    *,
    layout: str = "gp-0.7",
    version: int = 0,
    cores: int = 2,
    name: str = "test",
    genesis: str = ZERO_HASH,
) -> bytes:
    """The first message of a node, as it is sent."""
    parameters = {parameter: 0 for parameter, _ in TABLE.parameters[layout]}
    told = {
        "params": {**parameters, "core_count": cores},
        "genesis": genesis,
        "details": {
            "peer_id": f"0x{node_id}",
            "peer_address": {"ipv6": "10.0.0.7", "port": 30333},
        },
        "flags": 0,
        "implementation_name": name,
        "implementation_version": "1",
        "gp_version": f"{layout.removeprefix('gp-')}.2",
        "additional_info": "",
    }
    return frame(encode_node_information(told, layout=layout, version=version))


@define
class Node:
    """A node's connection, on a blocking socket."""

    node_id: str
    socket: socket.socket
    version: int = 0

    def send(self, *data: bytes) -> None:
        """Send ``data`` as it is."""
        self.socket.sendall(b"".join(data))

    def report(self, event: str, **fields: Any) -> None:
        """Send an event of two cores' network."""
        self.send(frame(encode_event(event, NOW, fields, cores=2, version=self.version)))

    def report_best(self, slots: Iterable[int]) -> None:
        """Send a ``BestBlockChanged`` for each of ``slots``."""
        self.send(*map(best_block, slots))

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection, on which it never sends anything."""
        ready = poll()
        ready.register(self.socket, POLLIN)
        if not ready.poll(0):
            return False
        with suppress(ConnectionError):
            assert self.socket.recv(1) == b""
        return True

    def await_closed(self) -> None:
        """Wait until the server closes the connection."""
        await_true(lambda: self.closed, "the server closes the connection")

    def close(self) -> None:
        """End the connection."""
        self.socket.close()


@define
class Subscriber:
    """A WebSocket client that takes batches apart.

    ``events`` are all that it was sent, ``by_node`` the same by the node's ID, ``widths`` tells how
    many came in each frame, ``skipped`` the sum of what it was told to have missed.
    """

    connection: ClientConnection
    events: list[Message] = field(factory=list)
    by_node: defaultdict[str, list[Message]] = field(factory=lambda: defaultdict(list))
    widths: list[int] = field(factory=list)
    skipped: int = 0
    greeting: Message = field(factory=dict)

    def receive(self, seconds: float = DEADLINE) -> Message:
        """The next message."""
        text = self.connection.recv(seconds)
        assert isinstance(text, str)
        message: Message = json.loads(text)
        if message["type"] == "event":
            self._take([message])
        elif message["type"] == "batch":
            assert len(message["data"]) >= 2
            self._take(message["data"])
        elif message["type"] == "lagged":
            self.skipped += message["data"]["skipped"]
        return message

    def _take(self, events: list[Message]) -> None:
        self.events += events
        for event in events:
            self.by_node[event["data"]["node_id"]].append(event)
        self.widths.append(len(events))

    def receive_until(self, condition: Callable[[], bool], seconds: float = DEADLINE) -> None:
        """Receive messages until ``condition`` holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds:.0f} s"
            self.receive()

    def receive_events(self, number: int) -> list[Message]:
        """The next ``number`` events."""
        begin = len(self.events)
        while len(self.events) < begin + number:
            self.receive()
        assert len(self.events) == begin + number
        return self.events[begin:]

    def ask(self, request: str | bytes | Message) -> Message:
        """Send ``request``; the reply, before which all events are received that preceded it."""
        self.connection.send(json.dumps(request) if isinstance(request, dict) else request)
        while (reply := self.receive())["type"] in UNASKED:
            pass
        return reply

    def subscribe(self, **filter: Any) -> Message:
        """Ask for the events that match ``filter``."""
        reply = self.ask({"type": "Subscribe", "filter": filter})
        assert reply["type"] == "subscribed", reply
        return reply

    def slots(self, node_id: str | None = None) -> list[int]:
        """The slots of all ``BestBlockChanged`` that were received, or of those of a node."""
        events = self.events if node_id is None else self.by_node[node_id]
        bodies = (event["data"]["event"] for event in events)
        return [body["BestBlockChanged"]["slot"] for body in bodies if "BestBlockChanged" in body]

    @property
    def received_and_skipped(self) -> int:
        """Events that were received, and those that it was told of as missed."""
        return len(self.events) + self.skipped


class Server:
    """A server in processes of its own, with its ports, its log, and clients for it.

    ``directory`` is where it runs, ``pid`` that of its hub, ``log_path`` where it logs, by default
    what it prints. ``mistakes_expected`` says that its log may hold tracebacks, which fail a test
    otherwise.
    """

    def __init__(
        self, directory: Path, command: Iterable[str], log_path: Path | None = None
    ) -> None:
        self.ports: dict[str, int] = {}
        self.directory = directory
        self.mistakes_expected = False
        self._stack = ExitStack()
        printed = directory / "output"
        self._log_path = log_path or printed
        with printed.open("wb") as output:
            self.process = subprocess.Popen(
                [*command],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log_path.read_text() if self._log_path.exists() else ""

    def await_listening(self) -> Server:
        """Wait until it listens at both endpoints."""

        def listens() -> bool:
            assert self.process.poll() in (None, 0), f"the server ended:\n{self.log}"
            self.ports = {kind: int(port) for kind, port in _PORT.findall(self.log)}
            return len(self.ports) == 2

        await_true(listens, "the server listens")
        return self

    def await_ready(self) -> Server:
        """Wait until it listens and serves."""
        self.await_listening()
        await_true(lambda: self.get("/api/health")[1]["status"] == "ok", "the server is well")
        return self

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, HTTPResponse]:
        """Status, body if it is JSON, and response of a request."""
        connection = HTTPConnection(HOST, self.ports["api"], timeout=DEADLINE)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            body = response.read()
            is_json = response.headers["content-type"] == "application/json"
            return response.status, json.loads(body) if is_json and body else body, response
        finally:
            connection.close()

    @property
    def children(self) -> list[int]:
        """Its ingestion processes."""
        try:
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(child) for child in text.split() if alive(int(child))]

    def sockets(self) -> list[int]:
        """How many sockets each of its ingestion processes has."""
        counts = []
        for pid in self.children:
            count = 0
            for path in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):  # it was closed meanwhile
                    count += os.readlink(path).startswith("socket:")
            counts.append(count)
        return counts

    def await_log(self, text: str, times: int = 1) -> None:
        """Wait until the log holds ``text`` so many times."""
        await_true(lambda: self.log.count(text) >= times, f"{text!r} in the log")

    def await_ended(self, *pids: int) -> None:
        """Wait until none of these processes runs."""
        await_true(lambda: not any(map(alive, pids)), f"the processes {pids} have ended")

    def connect_socket(
        self,
        kind: str = "telemetry",
        host: str = HOST,
        receive_buffer: int = 0,
        source: str = "",
    ) -> socket.socket:
        """A socket that is connected to an endpoint, closed with the server.

        It connects from ``source``, an address of this machine, if that is given.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        client = self._stack.enter_context(socket.socket(family))
        client.settimeout(DEADLINE)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            client.bind((source, 0))
        client.connect((host, self.ports[kind]))
        return client

    def connect_node(self, node_id: str, host: str = HOST, source: str = "", **told: Any) -> Node:
        """A node that has sent its information, ``told`` as :func:`information` takes it."""
        node = Node(node_id, self.connect_socket(host=host, source=source), told.get("version", 0))
        node.send(information(node_id, **told))
        return node

    def connect_stranger(self) -> Node:
        """A connection that has not said who it is."""
        return Node("", self.connect_socket())

    @contextmanager
    def subscriber(
        self,
        receive_buffer: int = 0,
        max_queue: int | None = None,
        tls: SSLContext | None = None,
        query: str = "",
    ) -> Iterator[Subscriber]:
        """A subscriber that has been greeted.

        It reads ahead ``max_queue`` frames, or, if that is None, all that there is. With a limit
        it cannot be closed before it has received what it was sent.
        """
        if tls is not None:
            # The client reads in one thread and writes in another, which OpenSSL is not made for:
            # while it takes the tickets that TLS 1.3 begins with, what is written may never go out.
            tls.maximum_version = TLSVersion.TLSv1_2
        with connect(
            f"{'wss' if tls else 'ws'}://{HOST}:{self.ports['api']}/api/ws{query}",
            ssl=tls,
            sock=self.connect_socket("api", receive_buffer=receive_buffer),
            compression=None,
            open_timeout=DEADLINE,
            close_timeout=DEADLINE,
            ping_interval=None,
            max_size=None,
            max_queue=max_queue,
        ) as connection:
            subscriber = Subscriber(connection)
            subscriber.greeting = subscriber.receive()
            yield subscriber

    def stats(self) -> Message:
        """``broadcaster_stats``, as a new subscriber is told."""
        with self.subscriber() as subscriber:
            stats: Message = subscriber.greeting["data"]["broadcaster_stats"]
            return stats

    def await_dropped(self, number: Callable[[], int]) -> None:
        """Wait until so many events were dropped, as far as it tells."""
        await_true(lambda: self.stats()["dropped_events"] == number(), "events were dropped")

    def total_nodes(self) -> int:
        """How many nodes are connected, as a new subscriber is told."""
        with self.subscriber() as subscriber:
            return int(subscriber.greeting["data"]["total_nodes"])

    def await_nodes(self, number: int) -> None:
        """Wait until so many nodes are connected."""
        await_true(lambda: self.total_nodes() == number, f"{number} nodes are connected")

    def stop(
        self,
        number: signal.Signals = signal.SIGTERM,
        seconds: float = DEADLINE,
        whole_group: bool = False,
    ) -> int:
        """End it with a signal to its hub or to all its processes; its exit code.

        None of its processes may be left.
        """
        children = self.children
        if whole_group:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)
        code = self.process.wait(seconds)
        assert [child for child in children if alive(child)] == []
        return code

    def close(self) -> None:
        """End whatever is left of it. It may have been unhappy with clients, never with itself."""
        self._stack.close()
        try:
            if self.process.poll() is None:
                self.stop()
        finally:
            for group in {self.pid, self.process.pid}:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
            self.process.wait()
            print(self.log[-8000:])
        assert self.mistakes_expected or "Traceback" not in self.log


def alive(pid: int) -> bool:
    """Whether a process runs: it is there, and not just because nobody has asked how it ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def twistd(*options: str, procs: int = 2, history: bool = False) -> list[str]:
    """The command that runs a server in the foreground, on ports that are free."""
    return [
        str(Path(sys.executable).with_name("twistd")),
        *("-n", "--pidfile=", "telemetry", "--ingestion-procs", str(procs)),
        *([] if history else ["--no-database"]),
        *("--telemetry-endpoint", f"tcp:0:interface={HOST}"),
        *("--api-endpoint", f"tcp:0:interface={HOST}"),
        *options,
    ]


class StartServer(Protocol):
    """Starts a server with further options, and waits until it serves."""

    def __call__(self, *options: str, procs: int = 2, history: bool = False) -> Server: ...


class StartProcess(Protocol):
    """Starts the server with a command, of which ``log_path`` is the log if it is not printed."""

    def __call__(self, *command: str, log_path: Path | None = None) -> Server: ...


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[StartProcess]:
    """Starts servers by commands of a test's own."""
    numbers = count()
    with ExitStack() as stack:

        def start(*command: str, log_path: Path | None = None) -> Server:
            directory = tmp_path / f"server-{next(numbers)}"
            directory.mkdir()
            server = Server(directory, command, log_path)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def start_server(start_process: StartProcess) -> StartServer:
    """Starts servers of a test's own."""

    def start(*options: str, procs: int = 2, history: bool = False) -> Server:
        return start_process(*twistd(*options, procs=procs, history=history)).await_ready()

    return start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of a module share."""
    server = Server(tmp_path_factory.mktemp("server"), twistd())
    try:
        yield server.await_ready()
    finally:
        server.close()


_node_numbers = count(1)


@pytest.fixture
def node_id() -> str:
    """The ID of a node that no other test has."""
    return f"{next(_node_numbers):064x}"


@pytest.fixture
def node_ids() -> list[str]:
    """The IDs of a few more."""
    return [f"{next(_node_numbers):064x}" for _ in range(4)]


@pytest.fixture
def node(server: Server, node_id: str) -> Iterator[Node]:
    """A node of the shared server."""
    node = server.connect_node(node_id)
    yield node
    node.close()


@pytest.fixture
def subscriber(server: Server) -> Iterator[Subscriber]:
    """A subscriber of the shared server."""
    with server.subscriber() as subscriber:
        yield subscriber


@pytest.fixture(scope="session")
def many_files() -> None:
    """Lets this process open as many files as the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
