"""Whose pages may use the server."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.access.origins import AllowedOrigins
from telemetry_twisted.api.access.urls import Origin, PublicUrl

from .site import Answer, GuardedSite, guarded_site

PAGE = "https://dashboard.example"
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}


def upgrade(site: GuardedSite, origin: str, **others: str) -> Answer:
    """The answer to an upgrade that a page of ``origin`` asks for."""
    return site.ask("/api/ws", headers={**UPGRADE, "Origin": origin}, **others)


def preflight(site: GuardedSite, origin: str, path: str = "/api/nodes") -> Answer:
    """What a browser asks before it sends a request with a token for a page of ``origin``."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    return site.ask(path, "OPTIONS", headers=headers)


class WebSocketTests(SynchronousTestCase):
    """Pages that ask for an upgrade."""

    def test_what_is_no_browser_may(self) -> None:
        self.assertEqual(guarded_site().ask("/api/ws", headers=UPGRADE).status, 200)

    def test_the_servers_own_pages_may(self) -> None:
        for origin, host in (
            ("http://localhost:8080", "localhost:8080"),
            ("http://localhost", "localhost"),
            ("http://localhost", "localhost:80"),
            ("HTTP://LOCALHOST:8080", "localhost:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ):
            self.assertEqual(upgrade(guarded_site(), origin, host=host).status, 200, origin)

    def test_other_pages_may_not_and_it_says_which_option_lets_them(self) -> None:
        site = guarded_site()
        for origin in (
            PAGE,
            "null",
            "https://localhost:8080",
            "http://localhost:8081",
            "http://127.0.0.1:8080",
            "http://localhost:8080.evil.example",
            "http://localhost:8080, http://localhost:8080",
            "localhost:8080",
            "",
        ):
            answer = upgrade(site, origin)
            self.assertEqual(answer.status, 403, origin)
            self.assertIn(f"--allow-origin {origin}", answer.message)
        self.assertEqual(site.inside.asked, [])

    def test_those_that_are_allowed_may(self) -> None:
        site = guarded_site(origins=f"{PAGE}, http://other.example:3000/,chrome-extension://abc")
        for origin in (
            PAGE,
            f"{PAGE}:443",
            "http://other.example:3000",
            "chrome-extension://abc",
        ):
            self.assertEqual(upgrade(site, origin).status, 200, origin)
        for origin in ("http://dashboard.example", "http://other.example", "null"):
            self.assertEqual(upgrade(site, origin).status, 403, origin)

    def test_all_may_where_all_are_allowed(self) -> None:
        for origin in (PAGE, "null", "http://evil.example"):
            self.assertEqual(upgrade(guarded_site(origins="*"), origin).status, 200, origin)

    def test_pages_of_the_public_url_are_the_servers_own(self) -> None:
        site = guarded_site(public_url="https://telemetry.example/sub")
        self.assertEqual(upgrade(site, "https://telemetry.example").status, 200)
        self.assertEqual(upgrade(site, "http://telemetry.example").status, 403)

    def test_so_are_those_of_the_host_that_a_trusted_proxy_was_asked(self) -> None:
        site = guarded_site(proxies="127.0.0.1", public_url="https://telemetry.example")
        told = {
            **UPGRADE,
            "Origin": "https://telemetry.example:8443",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "telemetry.example:8443",
        }
        for peer, status in (("127.0.0.1", 200), ("127.0.0.2", 403)):
            self.assertEqual(site.ask("/api/ws", peer=peer, headers=told).status, status)


class CrossOriginTests(SynchronousTestCase):
    """Pages that fetch (CORS)."""

    def test_what_an_allowed_page_fetches_it_may_read(self) -> None:
        answer = guarded_site(origins=PAGE).ask(headers={"Origin": PAGE})
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["access-control-allow-origin"], PAGE)
        self.assertEqual(answer.headers["vary"], "Origin")

    def test_what_others_fetch_the_browser_keeps_from_them(self) -> None:
        for origins in ("", PAGE):
            answer = guarded_site(origins=origins).ask(headers={"Origin": "http://evil.example"})
            self.assertEqual(answer.status, 200)
            self.assertNotIn("access-control-allow-origin", answer.headers)
            self.assertEqual(answer.headers["vary"], "Origin")

    def test_answers_differ_by_origin_even_where_none_was_told(self) -> None:
        self.assertEqual(guarded_site(origins=PAGE).ask().headers["vary"], "Origin")

    def test_all_may_read_where_all_are_allowed(self) -> None:
        answer = guarded_site(origins="*").ask(headers={"Origin": "null"})
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertNotIn("vary", answer.headers)

    def test_what_is_refused_is_readable_as_well(self) -> None:
        site = guarded_site(origins=PAGE)
        answer = site.ask("/api/ticket", "POST", headers={"Origin": PAGE})
        self.assertEqual(answer.status, 404)
        self.assertEqual(answer.headers["access-control-allow-origin"], PAGE)

    def test_a_browser_that_asks_before_is_told(self) -> None:
        site = guarded_site(origins=PAGE)
        answer = preflight(site, PAGE)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(answer.headers["access-control-allow-origin"], PAGE)
        self.assertIn("GET", answer.headers["access-control-allow-methods"])
        self.assertIn("Authorization", answer.headers["access-control-allow-headers"])
        self.assertEqual(answer.headers["vary"], "Origin")
        refused = preflight(site, "http://evil.example")
        self.assertEqual(refused.status, 403)
        self.assertNotIn("access-control-allow-origin", refused.headers)
        self.assertEqual(site.inside.asked, [])

    def test_options_that_no_browser_asks_are_nothing_special(self) -> None:
        site = guarded_site()
        self.assertEqual(site.ask(method="OPTIONS").body, b"inside")

    def test_what_changes_something_is_refused_before_it_does(self) -> None:
        site = guarded_site()
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = site.ask(method=method, headers={"Origin": "http://evil.example"})
            self.assertEqual(answer.status, 403, method)
        self.assertEqual(site.inside.asked, [])


class ReadingTests(SynchronousTestCase):
    """Origins and URLs as options give them."""

    def test_what_is_no_origin_is_refused(self) -> None:
        for text in ("null", "example.org", "https://example.org/path", "https://", "://x", "*x"):
            with self.assertRaisesRegex(ValueError, "expected origins separated by commas"):
                AllowedOrigins.parse(text)

    def test_a_public_url_has_an_origin_and_perhaps_a_path(self) -> None:
        for text, origin, path in (
            ("https://telemetry.example", "https://telemetry.example", ""),
            ("https://telemetry.example/", "https://telemetry.example", ""),
            ("HTTP://Telemetry.Example:8080/a/b/", "http://telemetry.example:8080", "/a/b"),
            ("http://[2001:db8::1]:80/x", "http://[2001:db8::1]", "/x"),
        ):
            url = PublicUrl.parse(text)
            self.assertEqual((str(url.origin), url.path), (origin, path))
            self.assertEqual(str(url), origin + path)

    def test_what_is_no_such_url_is_refused(self) -> None:
        for text in (
            "",
            "telemetry.example",
            "ftp://telemetry.example",
            "https://user@telemetry.example",
            "https://telemetry.example?query",
            "https://telemetry.example/#part",
            "https:///path",
            "https://telemetry.example/a//b",
            "https://[::1/",
            "https://telemetry.example/<script>",
        ):
            with self.assertRaisesRegex(ValueError, "expected an http or https URL"):
                PublicUrl.parse(text)

    @given(st.text())
    def test_whatever_is_given_is_one_or_refused(self, text: str) -> None:
        for read in (Origin.parse, PublicUrl.parse, AllowedOrigins.parse):
            with contextlib.suppress(ValueError):
                read(text)
