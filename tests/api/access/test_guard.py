"""What stands in every answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from .site import CLIENT, Answer, guarded_site

EXPECTED = {
    "server": "telemetry_twisted",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}


class SecurityHeaderTests(SynchronousTestCase):
    """What browsers are told to be careful with."""

    def check(self, answer: Answer) -> None:
        for name, value in EXPECTED.items():
            self.assertEqual(answer.headers.get(name), value, name)
        policy = answer.headers["content-security-policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertIn("frame-ancestors 'none'", policy)

    def test_they_are_in_what_is_answered_and_in_what_is_refused(self) -> None:
        site = guarded_site()
        self.check(site.ask())
        self.check(site.ask(host="evil.example"))
        self.check(site.ask(host=".."))
        self.check(site.ask(method="POST", headers={"Origin": "http://evil.example"}))
        self.check(site.ask("/api/ticket", "POST"))

    def test_browsers_are_bound_to_tls_only_where_the_public_comes_by_it(self) -> None:
        for public, proxies, scheme, bound in (
            ("https://telemetry.example", "127.0.0.1", "https", True),
            ("https://telemetry.example", "127.0.0.1", "http", False),
            ("https://telemetry.example", "127.0.0.2", "https", False),
            ("http://telemetry.example", "127.0.0.1", "https", False),
            ("", "127.0.0.1", "https", False),
        ):
            site = guarded_site(public_url=public, proxies=proxies)
            answer = site.ask(peer="127.0.0.1", headers={"X-Forwarded-Proto": scheme})
            self.assertEqual(
                answer.headers.get("strict-transport-security"),
                "max-age=31536000" if bound else None,
            )


HEADERS = (
    "Host",
    "Origin",
    "Authorization",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "Sec-WebSocket-Protocol",
    "Upgrade",
    "Access-Control-Request-Method",
)
VALUES = st.sampled_from(
    (
        "localhost",
        "evil.example",
        "http://localhost",
        "null",
        "Bearer",
        "Bearer x",
        "Basic eDp5",
        'for="[::1]:5";proto=https;host=localhost',
        "for=unknown",
        "1.2.3.4, [::1]:x",
        "https",
        "telemetry, bearer.x",
        "bearer.",
        "websocket",
    )
) | st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"))


class AnyHeadTests(SynchronousTestCase):
    """Heads of requests as nobody would send them."""

    @given(
        st.lists(st.tuples(st.sampled_from(HEADERS), VALUES)),
        st.sampled_from(("GET", "HEAD", "POST", "OPTIONS", "X")),
        st.sampled_from(("/api/health", "/api/ws?ticket=%FF", "/api/ticket", "//", "/%2e%2e", "*")),
        st.sampled_from((CLIENT, "unix", "::1")),
    )
    def test_whatever_is_in_it_it_is_answered(
        self, headers: list[tuple[str, str]], method: str, path: str, peer: str
    ) -> None:
        site = guarded_site(
            proxies=f"{CLIENT},unix", origins="https://a.example", public_url="https://b.example"
        )
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        answer = site.send(head, peer, "unix" if peer == "unix" else peer)
        self.assertIn(answer.status, (200, 204, 400, 403, 404, 405, 421))
        self.assertEqual(self.flushLoggedErrors(), [])
