"""The pool in Python, for where nothing can be compiled. It needs ``select.epoll``."""

from __future__ import annotations

import os
import select
from collections import deque

from telemetry_twisted.jip3.codec import Stream

from .chunks import ChunkWriter
from .intake import Intake
from .pool import READ_BYTES, TURN_BYTES, Ended, Told, Turn
from .unfinished import Unfinished

TURN_SOCKETS = 256
"""How many nodes are read from in a turn, at most."""


class _Connection:
    __slots__ = ("descriptor", "heard", "intake", "number", "unfinished")

    def __init__(
        self, number: int, descriptor: int, intake: Intake, unfinished: Unfinished, heard: float
    ) -> None:
        self.number = number
        self.descriptor = descriptor
        self.intake = intake
        self.unfinished = unfinished
        self.heard = heard


class PythonPool:
    """Implements :class:`.pool.NodePool`.

    :param turn_bytes: after how many bytes a turn ends.
    """

    def __init__(
        self, writer: ChunkWriter, max_message_size: int, turn_bytes: int = TURN_BYTES
    ) -> None:
        self._writer = writer
        self._max_message_size = max_message_size
        self._turn_bytes = turn_bytes
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._by_descriptor: dict[int, _Connection] = {}
        self._ready: deque[_Connection] = deque()
        self._changed: dict[int, _Connection] = {}

    def fileno(self) -> int:
        """Implements :meth:`.pool.NodePool.fileno`."""
        return self._epoll.fileno()

    def add(
        self,
        connection: int,
        descriptor: int,
        stream: Stream,
        handle: int,
        rest: bytes,
        rate: int,
        spent: int,
        now: float,
    ) -> None:
        """Implements :meth:`.pool.NodePool.add`."""
        intake = Intake(self._writer, stream, handle, rate, spent, now)
        unfinished = Unfinished(self._max_message_size)
        if rest:
            unfinished.keep(rest, 0)
        added = _Connection(connection, descriptor, intake, unfinished, now)
        self._epoll.register(descriptor, select.EPOLLIN)
        self._connections[connection] = self._by_descriptor[descriptor] = added

    def remove(self, connection: int) -> None:
        """Implements :meth:`.pool.NodePool.remove`."""
        removed = self._connections.pop(connection, None)
        if removed is not None:
            del self._by_descriptor[removed.descriptor]
            self._epoll.unregister(removed.descriptor)

    def turn(self, now: float) -> Turn:
        """Implements :meth:`.pool.NodePool.turn`."""
        turn = Turn([], [], False)
        found = 0
        if not self._ready:
            descriptors = self._epoll.poll(0, TURN_SOCKETS)
            found = len(descriptors)
            self._ready.extend(self._by_descriptor[each] for each, _ in descriptors)
        left = self._turn_bytes
        while self._ready and left > 0:
            connection = self._ready.popleft()
            if self._connections.get(connection.number) is connection:
                left -= self._read(connection, now, turn)
        return turn._replace(more=bool(self._ready) or found == TURN_SOCKETS)

    def _read(self, connection: _Connection, now: float, turn: Turn) -> int:
        """Read once; returns how many bytes that brought."""
        data = b""
        try:
            data = os.read(connection.descriptor, READ_BYTES)
            if data:
                connection.heard = now
                self._take(connection, data, now, turn.told)
            else:
                self._end(connection, None, turn)
        except BlockingIOError:
            pass
        except Exception as error:
            self._end(connection, error, turn)
        return len(data)

    def _take(self, connection: _Connection, data: bytes, now: float, told: list[Told]) -> None:
        unfinished = connection.unfinished
        if unfinished:
            unfinished.add(data)
            if not unfinished.whole:
                return
            data = unfinished.take()
        self._changed[connection.number] = connection
        fed = connection.intake.feed(data, now)
        if fed.facts or fed.newest or fed.faults:
            told.append(Told(connection.number, fed.facts, fed.newest, fed.faults))
        if fed.end < len(data):
            unfinished.keep(data, fed.end)

    def _end(self, connection: _Connection, why: Exception | None, turn: Turn) -> None:
        self.remove(connection.number)
        turn.ended.append(Ended(connection.number, why))

    def heard(self, connection: int) -> float:
        """Implements :meth:`.pool.NodePool.heard`."""
        return self._connections[connection].heard

    def take_changed(self) -> list[tuple[int, int]]:
        """Implements :meth:`.pool.NodePool.take_changed`."""
        changed, self._changed = self._changed, {}
        return [(number, each.intake.take_passed_over()) for number, each in changed.items()]

    def close(self) -> None:
        """Implements :meth:`.pool.NodePool.close`."""
        self._epoll.close()
        self._connections.clear()
        self._by_descriptor.clear()
        self._ready.clear()
