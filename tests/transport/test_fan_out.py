"""The same bytes to many sockets, by both implementations."""

from __future__ import annotations

import errno
import os
import socket
from array import array
from collections.abc import Sequence
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.transport.fan_out import SendToAll, python_send_to_all, send_to_all
from telemetry_twisted.transport.sink import Piece
from tests.examples import examples

IMPLEMENTATIONS = {"python": python_send_to_all, "chosen": send_to_all}


@pytest.fixture(params=IMPLEMENTATIONS)
def send(request: pytest.FixtureRequest) -> SendToAll:
    return IMPLEMENTATIONS[request.param]


class Ends:
    """Pairs of sockets, of which one end each is written to."""

    def __init__(self, number: int, buffer: int | None = None) -> None:
        self.pairs = [socket.socketpair() for _ in range(number)]
        for ours, _ in self.pairs:
            ours.setblocking(False)
            if buffer is not None:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self.descriptors = array("i", [ours.fileno() for ours, _ in self.pairs])

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: object) -> None:
        for pair in self.pairs:
            for end in pair:
                end.close()

    def read(self, place: int) -> bytes:
        """All that was written to one of them so far."""
        theirs = self.pairs[place][1]
        theirs.setblocking(False)
        data = b""
        try:
            while part := theirs.recv(1 << 20):
                data += part
        except BlockingIOError:
            pass
        return data


def test_it_is_compiled_where_the_codec_is() -> None:
    try:
        import_module("telemetry_twisted.jip3._kernel")
    except ImportError:
        assert send_to_all is python_send_to_all
    else:
        assert send_to_all is not python_send_to_all


@examples(100)
@given(
    number=st.integers(0, 3),
    pieces=st.lists(st.binary(max_size=50), max_size=20),
    cut=st.integers(0, 20),
)
def test_each_gets_all_pieces_in_order(number: int, pieces: list[bytes], cut: int) -> None:
    shown: Sequence[Piece] = [*pieces[:cut], *(memoryview(piece) for piece in pieces[cut:])]
    for send in IMPLEMENTATIONS.values():
        with Ends(number) as ends:
            assert send(ends.descriptors, shown) == []
            for place in range(number):
                assert ends.read(place) == b"".join(pieces)


def test_those_that_have_not_taken_all_are_told(send: SendToAll) -> None:
    pieces = [b"head", bytes(range(256)) * 2000, b"end"]
    with Ends(5, buffer=1 << 13) as ends:
        os.close(ends.pairs[0][0].detach())
        ends.pairs[2][1].close()
        behind = dict(send(ends.descriptors, pieces))
        assert set(behind) == {0, 1, 2, 3, 4}
        assert behind[0] == -errno.EBADF
        assert behind[2] == -errno.EPIPE
        again = dict(send(ends.descriptors, pieces))
        for place in (1, 3, 4):
            assert 0 < behind[place] < sum(map(len, pieces))
            assert again[place] == -errno.EAGAIN
            assert ends.read(place) == b"".join(pieces)[: behind[place]]
        assert set(dict(send(ends.descriptors, [b"little"]))) == {0, 2}
        assert ends.read(1) == b"little"


def test_what_cannot_be_sent_is_an_error(send: SendToAll) -> None:
    wrong: list[object] = [b"right", "wrong"]
    with Ends(1) as ends:
        with pytest.raises(TypeError):
            send(ends.descriptors, wrong)  # type: ignore[arg-type]
        assert ends.read(0) == b""
