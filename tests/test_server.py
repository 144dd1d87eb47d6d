"""The server's parts: the order in which they end, and how long that takes at most."""

from __future__ import annotations

from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from telemetry_twisted.server import TelemetryServer
from telemetry_twisted.services.listening import CannotListen, Listening, NamedEndpoint, place
from telemetry_twisted.services.starting import Terminal

MOST_SECONDS = 5.0
"""How long the end of a server may take."""


class Part(Service):
    """A part that ends when it is told to by a test, or by force unless it ``hangs``."""

    def __init__(self, name: str, done: list[str], hangs: bool = False) -> None:
        self.setName(name)
        self.done = done
        self.hangs = hangs
        self.ended: Deferred[None] = Deferred()

    def startService(self) -> None:
        super().startService()
        self.done.append(f"{self.name} starts")

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self.done.append(f"{self.name} is to end")
        return self.ended

    def end(self) -> None:
        self.done.append(f"{self.name} has ended")
        self.ended.callback(None)

    def kill(self) -> None:
        self.done.append(f"{self.name} is killed")
        if not self.hangs:
            self.ended.callback(None)

    abort = kill

    def progress(self) -> object:
        return None


class ServerTests(SynchronousTestCase):
    def assemble(self, hangs: bool = False, history: bool = True) -> TelemetryServer:
        self.clock = Clock()
        self.done: list[str] = []
        names = ("signals", "nodes", "api", "ingestion", "subscribers", "history")
        self.parts = {name: Part(name, self.done, hangs) for name in names}
        for name in ("nodes", "api"):
            if not hangs:
                self.parts[name].ended.callback(None)
        server = TelemetryServer(cast(Any, self.clock), Terminal(), None)
        parts: Any = dict(self.parts)
        if not history:
            parts["history"] = None
        server.assemble(**parts)
        server.privilegedStartService()
        server.startService()
        return server

    def test_parts_end_one_after_another_so_that_what_each_has_left_finds_the_next(self) -> None:
        server = self.assemble()
        self.done.clear()
        over = server.stopService()
        self.parts["ingestion"].end()
        self.parts["history"].end()
        self.parts["subscribers"].end()
        self.successResultOf(over)
        self.assertEqual(
            self.done,
            [
                "nodes is to end",
                "api is to end",
                "ingestion is to end",
                "ingestion has ended",
                "history is to end",
                "subscribers is to end",
                "history has ended",
                "subscribers has ended",
            ],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_history_starts_before_what_it_is_of(self) -> None:
        self.assemble()
        self.assertLess(self.done.index("history starts"), self.done.index("ingestion starts"))

    def test_it_ends_without_history(self) -> None:
        server = self.assemble(history=False)
        over = server.stopService()
        self.parts["ingestion"].end()
        self.assertNoResult(over)
        self.parts["subscribers"].end()
        self.successResultOf(over)

    def test_parts_that_do_not_end_are_made_to(self) -> None:
        server = self.assemble()
        over = server.stopService()
        self.clock.pump([0.125] * int(8 * MOST_SECONDS))
        self.successResultOf(over)
        for part in ("ingestion", "subscribers", "history"):
            self.assertIn(f"{part} is killed", self.done)

    def test_it_ends_in_time_though_every_part_hangs_whatever_is_done(self) -> None:
        server = self.assemble(hangs=True)
        over = server.stopService()
        self.clock.pump([0.125] * int(8 * MOST_SECONDS))
        self.successResultOf(over)

    def test_a_part_that_ends_badly_hinders_no_other(self) -> None:
        server = self.assemble()
        over = server.stopService()
        self.parts["ingestion"].ended.errback(RuntimeError("broken"))
        self.parts["subscribers"].end()
        self.parts["history"].end()
        self.successResultOf(over)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


@implementer(IListeningPort)
class Port:
    """A port that counts how often it is to stop."""

    stopped = 0

    def startListening(self) -> None:
        pass

    def stopListening(self) -> Deferred[None]:
        self.stopped += 1
        return succeed(None)

    def getHost(self) -> Any:
        return UNIXAddress(b"/run/api")


@implementer(IStreamServerEndpoint)
class Endpoint:
    """An endpoint whose ``outcome`` a test decides."""

    def __init__(self) -> None:
        self.outcome: Deferred[Any] = Deferred()

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
        return self.outcome


REFUSAL = CannotListenError("127.0.0.1", 9000, OSError(98, "Address already in use"))


class ListeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.endpoint = Endpoint()
        self.lost: list[CannotListen] = []
        named = NamedEndpoint("--telemetry-endpoint", "tcp:9000", self.endpoint)
        self.service = Listening(named, ServerFactory(), self.lost.append)

    def test_it_listens_from_the_privileged_start_until_the_end(self) -> None:
        port = Port()
        self.endpoint.outcome.callback(port)
        self.service.privilegedStartService()
        self.assertIs(self.service.port, port)
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.assertEqual(port.stopped, 1)

    def test_it_listens_without_a_privileged_start(self) -> None:
        self.endpoint.outcome.callback(Port())
        self.service.startService()
        self.assertIsNotNone(self.service.port)

    def test_a_refusal_at_once_keeps_it_from_starting(self) -> None:
        self.endpoint.outcome.errback(REFUSAL)
        with self.assertRaises(CannotListen) as caught:
            self.service.privilegedStartService()
        self.assertEqual(
            str(caught.exception),
            "--telemetry-endpoint tcp:9000 cannot be listened on: Couldn't listen on "
            "127.0.0.1:9000: [Errno 98] Address already in use. Stop what uses it, or give another "
            "one with --telemetry-endpoint.",
        )
        self.assertNotIsInstance(caught.exception, SystemExit)
        self.assertEqual(self.lost, [])

    def test_a_refusal_later_is_told(self) -> None:
        self.service.privilegedStartService()
        self.service.startService()
        self.assertIsNone(self.service.port)
        self.endpoint.outcome.errback(REFUSAL)
        self.assertEqual(len(self.lost), 1)

    def test_what_listens_later_stops_with_it(self) -> None:
        port = Port()
        self.service.privilegedStartService()
        self.endpoint.outcome.callback(port)
        self.assertIs(self.service.port, port)
        self.successResultOf(self.service.stopService())
        self.assertEqual(port.stopped, 1)

    def test_an_end_before_it_listens_is_no_failure(self) -> None:
        self.service.privilegedStartService()
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.lost, [])


class PlaceTests(SynchronousTestCase):
    def test_a_path_is_text(self) -> None:
        self.assertEqual(place(UNIXAddress(b"/run/api")), "/run/api")
        self.assertEqual(place(UNIXAddress(b"\0telemetry")), "@telemetry")


class CannotListenTests(SynchronousTestCase):
    def test_who_uses_it_is_to_be_stopped_only_where_somebody_does(self) -> None:
        for reason, used in (
            ("[Errno 98] Address already in use.", True),
            ("Couldn't listen on any:b'api.sock': Cannot acquire lock.", True),
            ("AF_UNIX path too long", False),
            ("[Errno 99] Cannot assign requested address.", False),
        ):
            said = str(CannotListen("--api-endpoint", "here", reason))
            self.assertEqual("Stop what uses it, or give another" in said, used, said)
            self.assertNotIn("..", said)
            self.assertTrue(said.endswith("ive another one with --api-endpoint."), said)
