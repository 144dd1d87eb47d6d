"""A stream that goes on while something else is tried, and what became of it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define
from websockets.exceptions import ConnectionClosed

from tests.end_to_end.conftest import Node, Server, Subscriber, best_block

EVERY_SECONDS = 0.01
"""How often the node of a stream reports."""


def peak_mib(pid: int) -> float:
    """The most memory that a process has had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (kib,) = re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(kib) / 1024


@define
class Streaming:
    """A node that reports all the time, and a subscriber that hears it.

    ``longest_gap`` is the longest time between two messages to the subscriber, in seconds.
    """

    node: Node
    subscriber: Subscriber
    longest_gap: float = 0.0
    _over: bool = False

    def report(self, hearing: threading.Thread) -> None:
        """Report for as long as the other thread is ``hearing``."""
        slot = 0
        while hearing.is_alive():
            self.node.send(best_block(slot))
            slot += 1
            time.sleep(EVERY_SECONDS)

    def hear(self) -> None:
        """Receive until it is over."""
        last = time.monotonic()
        try:
            while not self._over:
                self.subscriber.receive()
                now = time.monotonic()
                self.longest_gap = max(self.longest_gap, now - last)
                last = now
        except (ConnectionClosed, TimeoutError):
            self.longest_gap = float("inf")

    def end(self) -> None:
        """No more is reported or heard."""
        self._over = True


@contextmanager
def streaming(server: Server, node_id: str) -> Iterator[Streaming]:
    """A stream of ``server`` that goes on until the block ends."""
    with server.subscriber() as subscriber:
        subscriber.subscribe(type="Nodes", node_ids=[node_id])
        stream = Streaming(server.connect_node(node_id), subscriber)
        hearing = threading.Thread(target=stream.hear)
        reporting = threading.Thread(target=stream.report, args=(hearing,))
        hearing.start()
        reporting.start()
        try:
            yield stream
            # What was held up meanwhile comes now.
            time.sleep(10 * EVERY_SECONDS)
        finally:
            stream.end()
            hearing.join()
            reporting.join()
