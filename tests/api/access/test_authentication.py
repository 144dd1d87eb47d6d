"""Who is let in where tokens are asked for: by role, path and method, by token and by ticket."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.access.admission import IAdmission
from telemetry_twisted.api.access.attempts import MOST_CLIENTS, FailedAttempts
from telemetry_twisted.api.access.tickets import MOST_TICKETS
from telemetry_twisted.api.access.tokens import TokenFile

from .site import Answer, GuardedSite, guarded_site
from .test_tokens import FILE, METRICS, READ

OTHER = "0123456789abcdef"
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class GuardedTestCase(SynchronousTestCase):
    """Has a site that asks for tokens."""

    def setUp(self) -> None:
        self.clock = Clock()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name, "tokens")
        self.path.write_text(f"{FILE}\nanother read {OTHER}\n")
        self.path.chmod(0o600)
        self.site = self.guarded()

    def guarded(self, **rules: Any) -> GuardedSite:
        return guarded_site(tokens=TokenFile(str(self.path), self.clock), clock=self.clock, **rules)

    def ask(self, path: str, headers: dict[str, str] | None = None, **others: Any) -> Answer:
        return self.site.ask(path, headers=headers or {}, **others)


class RoleTests(GuardedTestCase):
    """Role, path and method."""

    def test_what_each_may(self) -> None:
        everything = (
            "/",
            "/api/nodes",
            "/api/health/detailed",
            "/api/ws",
            "/api/metrics/stream",
            "/api/docs",
            "/nothing",
            # Other spellings of paths that are open are not open.
            "/api/health/",
            "//api/health",
            "/api/health/../nodes",
            "/api/health%2f..",
            "/API/HEALTH",
            "/metrics/",
            "/metrics/../api/nodes",
            "http://localhost/api/health",
        )
        # Each path with the answers to nobody, a metrics token, a read token, and a wrong one.
        table = [(path, "GET", 401, 403, 200, 401) for path in everything]
        table += [
            ("/api/health", "GET", 200, 200, 200, 401),
            ("/api/health", "HEAD", 200, 200, 200, 401),
            ("/api/health?x=1", "GET", 200, 200, 200, 401),
            ("/api/health", "POST", 401, 403, 200, 401),
            ("/api/health", "OPTIONS", 401, 403, 200, 401),
            ("/metrics", "GET", 401, 200, 200, 401),
            ("/metrics", "HEAD", 401, 200, 200, 401),
            ("/metrics?x=1", "GET", 401, 200, 200, 401),
            ("/metrics", "POST", 401, 403, 200, 401),
            ("/api/ticket", "POST", 401, 403, 200, 401),
            ("/api/ticket", "GET", 401, 403, 405, 401),
            ("/api/nodes", "POST", 401, 403, 200, 401),
        ]
        for path, method, *expected in table:
            for token, status in zip((None, METRICS, READ, "x" * 24), expected, strict=True):
                self.clock.advance(60)
                answer = self.ask(path, bearer(token) if token else None, method=method)
                self.assertEqual(answer.status, status, (path, method, token))

    def test_nothing_is_asked_of_what_is_refused(self) -> None:
        self.ask("/api/nodes")
        self.ask("/api/nodes", bearer(METRICS))
        self.assertEqual(self.site.inside.asked, [])

    def test_without_tokens_everything_is_open(self) -> None:
        site = guarded_site()
        for headers in ({}, bearer("whatever"), {"Authorization": "Basic eDp5"}):
            self.assertEqual(site.ask(headers=headers).status, 200)
        self.assertEqual(site.inside.told_all, [True] * 3)

    def test_only_who_has_a_token_is_told_what_is_wrong(self) -> None:
        for headers in ({}, bearer(METRICS), bearer(READ)):
            self.ask("/api/health", headers)
        self.assertEqual(self.site.inside.told_all, [False, True, True])

    def test_the_site_knows_who_asks_and_never_sees_the_token(self) -> None:
        self.ask("/api/nodes", bearer(READ))
        (asked,) = self.site.inside.asked
        self.assertEqual(asked.getComponent(IAdmission).name, "dashboard")
        self.assertFalse(asked.requestHeaders.hasHeader(b"authorization"))


class RefusalTests(GuardedTestCase):
    """What those get who have no token, or a wrong one."""

    def test_they_are_told_what_is_expected(self) -> None:
        for headers, challenge, said in (
            ({}, 'Bearer realm="telemetry"', "Authorization: Bearer"),
            ({"Authorization": "Basic eDp5"}, 'Bearer realm="telemetry"', "Authorization: Bearer"),
            (bearer("wrong"), 'Bearer realm="telemetry", error="invalid_token"', "not valid"),
            (bearer(""), 'Bearer realm="telemetry", error="invalid_token"', "not valid"),
        ):
            answer = self.ask("/api/nodes", headers)
            self.assertEqual(answer.status, 401)
            self.assertEqual(answer.headers["www-authenticate"], challenge)
            self.assertIn(said, answer.message)
        answer = self.ask("/api/nodes", bearer(METRICS))
        self.assertIn('error="insufficient_scope"', answer.headers["www-authenticate"])
        self.assertIn("the token of prometheus is for metrics only", answer.message)

    def test_a_token_that_is_gone_from_the_file_is_good_no_more(self) -> None:
        self.path.write_text(f"other read {'x' * 16}\n")
        self.assertEqual(self.ask("/api/nodes", bearer(READ)).status, 200)
        self.clock.advance(1)
        self.assertEqual(self.ask("/api/nodes", bearer(READ)).status, 401)
        self.assertEqual(self.ask("/api/nodes", bearer("x" * 16)).status, 200)

    def test_streams_end_with_the_token_that_opened_them(self) -> None:
        head = "Host: localhost\r\nAuthorization: Bearer"
        opened = {
            (path, token): self.site.open(f"GET {path} HTTP/1.1\r\n{head} {token}\r\n\r\n")
            for path in ("/api/ws", "/api/metrics/stream", "/api/nodes")
            for token in (READ, OTHER)
        }
        self.path.write_text(f"another read {OTHER}\n")
        self.clock.advance(1)
        self.ask("/api/health")
        ended = [asked for asked, transport in opened.items() if transport.aborting]
        self.assertEqual(ended, [("/api/ws", READ), ("/api/metrics/stream", READ)])

    def test_the_scheme_may_be_written_in_any_case(self) -> None:
        for scheme in ("bearer", "BEARER", "Bearer "):
            answer = self.ask("/api/nodes", {"Authorization": f"{scheme} {READ}"})
            self.assertEqual(answer.status, 200)

    def test_of_two_tokens_none_is_good(self) -> None:
        head = f"GET /api/nodes HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {READ}\r\n"
        answer = self.site.send(f"{head}Authorization: Bearer {METRICS}\r\n\r\n".encode())
        self.assertEqual(answer.status, 401)

    def test_who_fails_too_often_has_to_wait(self) -> None:
        statuses = [self.ask("/api/nodes", bearer("wrong")).status for _ in range(5)]
        statuses += [self.ask("/api/nodes").status for _ in range(5)]
        self.assertEqual(statuses, [401] * 10)
        self.clock.advance(20)
        answer = self.ask("/api/nodes", bearer("wrong"))
        self.assertEqual(answer.status, 429)
        self.assertEqual(answer.headers["retry-after"], "40")
        self.assertIn("come again in 40 s", answer.message)
        self.assertEqual(self.ask("/api/nodes").status, 429)
        self.assertEqual(self.ask("/api/health").status, 200)
        self.assertEqual(self.ask("/api/nodes", bearer(READ)).status, 200)
        self.assertEqual(self.ask("/api/nodes", peer="192.0.2.99").status, 401)
        self.clock.advance(40)
        self.assertEqual(self.ask("/api/nodes").status, 401)

    def test_it_is_the_client_behind_a_trusted_proxy_that_has_to_wait(self) -> None:
        self.site = self.guarded(proxies="10.0.0.1")
        for client in ("203.0.113.1", "203.0.113.2"):
            told = {"X-Forwarded-For": client}
            statuses = [self.ask("/", told, peer="10.0.0.1").status for _ in range(11)]
            self.assertEqual(statuses, [401] * 10 + [429])

    def test_the_log_is_quiet_about_it_and_knows_no_tokens(self) -> None:
        with capturedLogs() as logged:
            for number in range(1000):
                self.ask(
                    "/api/nodes", bearer(f"{READ}x"), peer=f"10.0.{number >> 8}.{number % 256}"
                )
        self.assertLess(len(logged), 20)
        self.assertNotIn(READ, str([dict(event) for event in logged]))


class FailedAttemptsTests(SynchronousTestCase):
    """What is remembered of those who failed."""

    def test_strangers_do_not_fill_the_memory(self) -> None:
        clock = Clock()
        attempts = FailedAttempts(clock)
        for number in range(3 * MOST_CLIENTS):
            attempts.add(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        self.assertEqual(len(attempts), MOST_CLIENTS)
        clock.advance(61)
        attempts.add("192.0.2.1")
        self.assertEqual(len(attempts), 1)

    def test_whoever_is_remembered_stays_so_when_the_table_is_full(self) -> None:
        attempts = FailedAttempts(Clock())
        for number in range(MOST_CLIENTS):
            attempts.add(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        waits = [attempts.add("10.0.0.0") for _ in range(11)]
        self.assertEqual((waits[8], waits[10]), (0, 60))

    def test_a_network_of_ipv6_is_one_client(self) -> None:
        attempts = FailedAttempts(Clock())
        waits = [attempts.add(f"2001:db8::{number:x}") for number in range(11)]
        self.assertEqual(waits, [0] * 10 + [60])


class SubprotocolTests(GuardedTestCase):
    """Tokens among the subprotocols that a browser's WebSocket offers."""

    def offer(self, offered: str, path: str = "/api/ws") -> Answer:
        return self.ask(path, {**UPGRADE, "Sec-WebSocket-Protocol": offered})

    def test_a_token_lets_in_and_is_offered_no_more(self) -> None:
        for offered in (
            f"telemetry, bearer.{READ}",
            f"bearer.{READ},telemetry",
            f"bearer.{READ} , telemetry",
        ):
            self.assertEqual(self.offer(offered).status, 200)
            headers = self.site.inside.asked[-1].requestHeaders
            self.assertEqual(headers.getRawHeaders(b"sec-websocket-protocol"), [b"telemetry"])

    def test_a_wrong_one_does_not(self) -> None:
        for offered in (
            "telemetry",
            "telemetry, bearer.wrong",
            f"telemetry, {READ}",
            f"telemetry, bearer.{METRICS}x",
            f"telemetry, bearer.{READ}, bearer.{READ}",
        ):
            self.assertEqual(self.offer(offered).status, 401, offered)
        self.assertEqual(self.offer(f"telemetry, bearer.{METRICS}").status, 403)

    def test_it_is_taken_out_where_no_token_is_asked_for(self) -> None:
        site = guarded_site()
        site.ask("/api/ws", headers={**UPGRADE, "Sec-WebSocket-Protocol": "bearer.x"})
        headers = site.inside.asked[-1].requestHeaders
        self.assertFalse(headers.hasHeader(b"sec-websocket-protocol"))

    @given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0")))
    def test_whatever_is_offered_no_token_gets_further(self, offered: str) -> None:
        self.clock.advance(60)
        self.site.inside.asked.clear()
        self.offer(f"{offered}, bearer.{READ}")
        for asked in self.site.inside.asked:
            left = asked.requestHeaders.getRawHeaders(b"sec-websocket-protocol", [])
            self.assertNotIn(READ.encode(), b"".join(left))


class TicketTests(GuardedTestCase):
    """Tickets for pages."""

    def ticket(self) -> str:
        answer = self.ask("/api/ticket", bearer(READ), method="POST")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["cache-control"], "no-store")
        told = json.loads(answer.body)
        self.assertEqual(told.keys(), {"ticket", "expires_in"})
        self.assertEqual(told["expires_in"], 30)
        return str(told["ticket"])

    def test_a_ticket_is_good_once_for_each_stream(self) -> None:
        for path in ("/api/ws", "/api/metrics/stream"):
            ticket = self.ticket()
            self.assertEqual(self.ask(f"{path}?ticket={ticket}", UPGRADE).status, 200)
            self.assertEqual(self.ask(f"{path}?ticket={ticket}", UPGRADE).status, 401)

    def test_nothing_behind_sees_it(self) -> None:
        for query, left in (
            ("ticket={}", b""),
            ("batch=1&ticket={}", b"?batch=1"),
            ("ticket={}&batch=1", b"?batch=1"),
        ):
            self.ask("/api/ws?" + query.format(self.ticket()))
            asked = self.site.inside.asked[-1]
            self.assertEqual(asked.uri, b"/api/ws" + left)
            self.assertNotIn(b"ticket", asked.args)

    def test_nor_does_the_log_whether_it_was_good_or_not(self) -> None:
        self.site = self.guarded(public_url="https://telemetry.example")
        ticket = self.ticket()
        for host in ("localhost", "localhost", "evil.example", ".."):
            self.ask(f"/api/ws?ticket={ticket}", host=host)
        self.assertEqual(self.site.site.addresses, [b"/api/ticket", *[b"/api/ws"] * 4])

    def test_it_is_good_for_thirty_seconds(self) -> None:
        early, late = self.ticket(), self.ticket()
        self.clock.advance(29.9)
        self.assertEqual(self.ask(f"/api/ws?ticket={early}").status, 200)
        self.clock.advance(0.1)
        self.assertEqual(self.ask(f"/api/ws?ticket={late}").status, 401)

    def test_it_opens_streams_only(self) -> None:
        ticket = self.ticket()
        for path in ("/api/nodes", "/metrics", "/api/ws/", "/api/health/detailed"):
            self.assertEqual(self.ask(f"{path}?ticket={ticket}").status, 401, path)
        self.assertEqual(self.ask(f"/api/ticket?ticket={ticket}", method="POST").status, 401)
        self.assertEqual(self.ask(f"/api/ws?ticket={ticket}").status, 200)

    def test_it_ends_with_its_token(self) -> None:
        ticket = self.ticket()
        self.path.write_text(f"other read {'x' * 16}\n")
        self.clock.advance(1)
        self.assertEqual(self.ask(f"/api/ws?ticket={ticket}").status, 401)

    def test_too_many_are_refused_and_old_ones_make_room(self) -> None:
        tickets = {self.ticket() for _ in range(MOST_TICKETS)}
        self.assertEqual(len(tickets), MOST_TICKETS)
        answer = self.ask("/api/ticket", bearer(READ), method="POST")
        self.assertEqual(answer.status, 429)
        self.assertEqual(answer.headers["retry-after"], "30")
        self.ask(f"/api/ws?ticket={tickets.pop()}")
        self.ticket()
        self.clock.advance(30)
        self.ticket()

    def test_what_is_no_ticket_is_a_failed_attempt(self) -> None:
        for query in ("ticket=", "ticket=x", "ticket=%FF", "ticket=a&ticket=b"):
            answer = self.ask(f"/api/ws?{query}")
            self.assertEqual(answer.status, 401, query)
            self.assertIn("the ticket is not valid", answer.message)

    def test_there_are_none_where_no_token_is_asked_for(self) -> None:
        site = guarded_site()
        answer = site.ask("/api/ticket", "POST")
        self.assertEqual(answer.status, 404)
        self.assertIn("asks for no tokens", answer.message)
        self.assertEqual(site.ask("/api/ws?ticket=left-over").status, 200)
