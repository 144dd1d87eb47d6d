"""What stands in every answer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from .site import Answer, guarded_site

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
