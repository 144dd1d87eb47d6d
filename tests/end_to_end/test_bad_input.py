"""What bad input gets (protocol, "What bad input gets"): nothing of it disturbs another node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import define

from telemetry_twisted.jip3.encoder import encode_event, frame
from tests.end_to_end.conftest import NOW, await_true

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Node, Server, StartServer, Subscriber

ZERO_HASH = "0x" + "00" * 32

MOST_ATTEMPTS = 50
"""How often a connection is made until another process than that of the last one accepts it."""


@define
class Bystander:
    """A node that goes on reporting whatever others do."""

    node: Node
    subscriber: Subscriber
    reported: int = 0

    def goes_on(self) -> None:
        """Report some more, all of which must arrive."""
        begin, self.reported = self.reported, self.reported + 150
        self.node.report_best(range(begin, self.reported))
        node_id = self.node.node_id
        self.subscriber.receive_until(
            lambda: len(self.subscriber.by_node[node_id]) >= self.reported
        )
        assert self.subscriber.slots(node_id) == list(range(self.reported))


def watch(server: Server, subscriber: Subscriber, node_id: str) -> Bystander:
    bystander = Bystander(server.connect_node(node_id), subscriber)
    bystander.goes_on()
    return bystander


def event(name: str, **fields: object) -> bytes:
    """The content of an event."""
    return encode_event(name, NOW, fields, cores=2)


def block(slot: int) -> bytes:
    return event("BestBlockChanged", slot=slot, hash=ZERO_HASH)


def test_no_information_within_ten_seconds(start_server: StartServer, node_ids: list[str]) -> None:
    server = start_server()
    with server.subscriber() as subscriber:
        bystander = watch(server, subscriber, node_ids[0])
        strangers = [server.connect_stranger() for _ in range(2)]
        strangers[1].send(b"\x20\0\0\0", b"only the beginning")
        for stranger in strangers:
            stranger.await_closed()
        bystander.goes_on()
    server.await_log("no node information within 10 s", 2)


def test_information_that_cannot_be_decoded(start_server: StartServer, node_ids: list[str]) -> None:
    server = start_server()
    with server.subscriber() as subscriber:
        bystander = watch(server, subscriber, node_ids[0])
        for content in (b"", b"\0", b"\0" * 30, b"\xff" * 300):
            stranger = server.connect_stranger()
            stranger.send(frame(content))
            stranger.await_closed()
            bystander.goes_on()
    server.await_log("node information that cannot be decoded", 4)


def test_connections_that_are_closed_are_counted_by_reason(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server(history=True)
    for _ in range(2):
        for data in (b"", frame(b"\0" * 30), b"\xff" * 4):
            server.connect_stranger().send(data)
        server.connect_node(node_ids[0]).send(b"\xff" * 4)
    expected = {"no_information": 2, "bad_information": 2, "too_long": 4}

    def counted() -> dict[str, int]:
        ended = server.get("/api/health/detailed")[1]["metrics"]["connections_ended"]
        return {kind: ended.get(kind, 0) for kind in expected}

    await_true(lambda: counted() == expected, "all are counted")


@pytest.mark.parametrize("length", [1025, 1 << 31, 0xFFFFFFFF])
def test_a_frame_longer_than_the_limit(
    start_server: StartServer, node_ids: list[str], length: int
) -> None:
    server = start_server("--max-message-size", "1024")
    announced = length.to_bytes(4, "little")
    with server.subscriber() as subscriber:
        bystander = watch(server, subscriber, node_ids[0])
        stranger = server.connect_stranger()
        stranger.send(announced)
        stranger.await_closed()
        longest = frame(event("AuthoringFailed", authoring_id=0, reason="x")).ljust(1028, b"!")
        node = server.connect_node(node_ids[1])
        node.send((1024).to_bytes(4, "little"), longest[4:], frame(block(2)), announced)
        node.await_closed()
        subscriber.receive_until(lambda: len(subscriber.by_node[node_ids[1]]) == 2)
        bystander.goes_on()
        server.await_nodes(1)
    server.await_log(f"{length} bytes, at most 1024", 2)


def test_a_client_of_another_protocol(start_server: StartServer, node_ids: list[str]) -> None:
    server = start_server()
    with server.subscriber() as subscriber:
        bystander = watch(server, subscriber, node_ids[0])
        stranger = server.connect_stranger()
        stranger.send(b"GET / HTTP/1.1\r\nHost: telemetry\r\n\r\n")
        stranger.await_closed()
        bystander.goes_on()
    server.await_log("a connection was closed: message of")


BAD_EVENTS = [
    (b"", None, 0, "cut short"),
    (b"\0" * 8, None, 8, "cut short"),
    (block(1)[:-1], 11, 13, "cut short"),
    (b"\0" * 8 + b"\xc8", 200, 8, "unknown discriminator"),
    (b"\0" * 8 + b"\1", 1, 8, "unknown discriminator"),
    (event("SyncStatusChanged", synced=True)[:-1] + b"\2", 13, 9, "bool is neither 0 nor 1"),
    (
        event("Disconnected", peer=ZERO_HASH, terminator=None, reason="")[:41] + b"\2\0",
        27,
        41,
        "option is neither 0 nor 1",
    ),
    (
        event("ReconstructingBundle", audit_id=1, kind="Trivial")[:-1] + b"\2",
        146,
        17,
        "enum out of range",
    ),
    (
        event("TicketsGenerated", generating_id=1, ids=[])[:-1] + b"\xff" * 9,
        82,
        17,
        "count larger than the bytes left",
    ),
    (
        event("AuthoringFailed", authoring_id=1, reason="")[:-1] + b"\5four",
        41,
        17,
        "count larger than the bytes left",
    ),
]


@pytest.mark.parametrize(
    "content",
    [content for content, *_ in BAD_EVENTS],
    ids=[f"{reason}-{discriminator}" for _, discriminator, _, reason in BAD_EVENTS],
)
def test_an_event_that_cannot_be_decoded(
    server: Server, node_ids: list[str], content: bytes
) -> None:
    """It is skipped, its ID is used up, and the connection goes on."""
    bad, good = node_ids[:2]
    with server.subscriber() as subscriber:
        bystander = watch(server, subscriber, good)
        node = server.connect_node(bad)
        node.send(*map(frame, [block(0), content, content, block(1), content, block(2)]))
        subscriber.receive_until(lambda: len(subscriber.by_node[bad]) == 3)
        assert subscriber.slots(bad) == [0, 1, 2]
        assert [event["data"]["event_id"] for event in subscriber.by_node[bad]] == [0, 3, 5]
        bystander.goes_on()
        node.report_best([3])
        subscriber.receive_until(lambda: len(subscriber.by_node[bad]) == 4)


def test_what_cannot_be_decoded_is_logged_with_where_and_why(
    start_server: StartServer, node_id: str
) -> None:
    server = start_server()
    node = server.connect_node(node_id)
    node.send(*(frame(content) for content, *_ in BAD_EVENTS[2:6]), frame(BAD_EVENTS[5][0]))
    for _, discriminator, offset, reason in BAD_EVENTS[2:6]:
        times = 2 if discriminator == 13 else 1
        server.await_log(
            f"node {node_id}: {times} x decode_error in events of type {discriminator}: {reason} "
            f"at offset {offset}"
        )


VIOLATIONS = [
    (
        event("AuthoringFailed", authoring_id=1, reason="")[:-1] + b"\x80\x81" + b"x" * 129,
        "x" * 129,
    ),
    (event("AuthoringFailed", authoring_id=1, reason="")[:-1] + b"\4a\xffbc", "a\ufffdbc"),
    (event("AuthoringFailed", authoring_id=1, reason="why") + b"!", "why"),
]
REASONS = ["string longer than its limit", "invalid UTF-8", "bytes after the last field"]


def test_a_violation_is_delivered_and_logged(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server()
    bad, good = node_ids[:2]
    with server.subscriber() as subscriber:
        bystander = watch(server, subscriber, good)
        node = server.connect_node(bad)
        node.send(*(frame(content) for content, _ in VIOLATIONS))
        subscriber.receive_until(lambda: len(subscriber.by_node[bad]) == 3)
        for number, (event, (_, shown)) in enumerate(
            zip(subscriber.by_node[bad], VIOLATIONS, strict=True)
        ):
            assert event["data"]["event_id"] == number
            assert event["data"]["event"]["AuthoringFailed"]["reason"] == shown
        for reason in REASONS:
            server.await_log(f"node {bad}: 1 x violation in events of type 41: {reason} at offset")
        bystander.goes_on()


def test_a_version_that_is_not_known_is_read_as_the_newest_and_logged(
    start_server: StartServer, node_id: str
) -> None:
    server = start_server()
    with server.subscriber() as subscriber:
        node = server.connect_node(node_id, version=9)
        node.report("BlockAnnouncementStreamClosed", opened_id=7, closer="Local", reason="x")
        (event,) = subscriber.receive_events(1)
        assert event["data"]["event"]["BlockAnnouncementStreamClosed"]["opened_id"] == 7
    server.await_log(f"node {node_id}: 1 x violation")


def test_the_log_stays_bounded_whatever_a_node_sends(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server()
    with server.subscriber() as subscriber:
        bystander = watch(server, subscriber, node_ids[0])
        node = server.connect_node(node_ids[1])
        for number in range(2_000):
            content = b"\0" * 8 + bytes([200 + number % 50]) + b"x" * (number % 100)
            node.send(frame(content))
        node.report_best([1])
        subscriber.receive_until(lambda: len(subscriber.by_node[node_ids[1]]) == 1)
        assert subscriber.by_node[node_ids[1]][0]["data"]["event_id"] == 2_000
        for _ in range(50):
            stranger = server.connect_stranger()
            stranger.send(frame(b"?"))
            stranger.await_closed()
        server.await_log("x decode_error", 5)
        bystander.goes_on()
    assert server.log.count("x decode_error") <= 10
    assert server.log.count("a connection was closed") <= 10


def test_the_newest_connection_of_a_node_wins_also_in_another_process(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server(procs=2)
    node_id = node_ids[1]
    with server.subscriber() as subscriber:
        bystander = watch(server, subscriber, node_ids[0])
        slots = [*range(100)]
        older = server.connect_node(node_id)
        older.report_best(slots)
        subscriber.receive_until(lambda: len(subscriber.by_node[node_id]) == 100)
        # Which process accepts is a race; it is tried until it is another one.
        for attempt in range(1, MOST_ATTEMPTS):
            before = server.sockets()
            newer = server.connect_node(node_id)
            reported = [*range(1_000 * attempt, 1_000 * attempt + 100)]
            newer.report_best(reported)
            older.await_closed()
            slots.extend(reported)
            subscriber.receive_until(lambda: len(subscriber.by_node[node_id]) == len(slots))
            older = newer
            moves = [now - then for now, then in zip(server.sockets(), before, strict=True)]
            if sorted(moves) == [-1, 1]:
                break
            assert moves == [0, 0]
        else:
            raise AssertionError("one process has accepted all connections")
        assert subscriber.slots(node_id) == slots
        events = [event["data"] for event in subscriber.by_node[node_id]]
        assert [event["event_id"] for event in events] == [*range(100)] * (len(slots) // 100)
        assert [event["id"] for event in events] == sorted({event["id"] for event in events})
        assert server.total_nodes() == 2
        bystander.goes_on()


def test_the_newest_of_many_connections_at_once_wins(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server(procs=3)
    node_id = node_ids[1]
    with server.subscriber() as subscriber:
        bystander = watch(server, subscriber, node_ids[0])
        rivals = [server.connect_node(node_id) for _ in range(30)]
        while sum(not rival.closed for rival in rivals) > 1:
            assert server.total_nodes() <= 2
        newest = server.connect_node(node_id)
        newest.report_best([7])
        for rival in rivals:
            rival.await_closed()
        subscriber.receive_until(lambda: len(subscriber.by_node[node_id]) == 1)
        assert subscriber.slots(node_id) == [7]
        assert server.total_nodes() == 2
        bystander.goes_on()


def test_more_nodes_than_may_connect_are_refused_at_once(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server("--max-nodes", "2", procs=2)
    with server.subscriber() as subscriber:
        first = watch(server, subscriber, node_ids[0])
        second = watch(server, subscriber, node_ids[1])
        third = server.connect_node(node_ids[2])
        third.await_closed()
        assert server.total_nodes() == 2
        server.await_log(f"node {node_ids[2]} was refused: 2 nodes are connected")
        again = server.connect_node(node_ids[1])
        second.node.await_closed()
        again.close()
        server.await_nodes(1)
        third = server.connect_node(node_ids[2])
        third.report_best([5])
        subscriber.receive_until(lambda: len(subscriber.by_node[node_ids[2]]) == 1)
        first.goes_on()


def test_strangers_that_say_nothing_hold_no_place_that_a_node_could_have(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server("--max-nodes", "2", procs=1)
    with server.subscriber() as subscriber:
        bystander = watch(server, subscriber, node_ids[0])
        strangers = [server.connect_stranger() for _ in range(100)]
        strangers[0].await_closed()
        node = server.connect_node(node_ids[1])
        node.report_best([7])
        subscriber.receive_until(lambda: len(subscriber.by_node[node_ids[1]]) == 1)
        assert not strangers[-1].closed
        bystander.goes_on()
    server.await_log("it had said nothing, and there was no room")
