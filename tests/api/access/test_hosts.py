"""By which names a server may be asked."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.access.hosts import Host

from .site import SERVER, GuardedSite, guarded_site

KNOWN = (
    "localhost",
    "localhost:8080",
    "LocalHost.:8080",
    "telemetry.localhost",
    "127.0.0.1:8080",
    "127.0.0.9",
    "[::1]:8080",
    "[::ffff:127.0.0.1]",
    "0.0.0.0:8080",
    SERVER,
    f"{SERVER}:9999",
    "machine.example:8080",
    "MACHINE.example",
)
"""What a server on all addresses of ``machine.example`` is asked as, the ports as forwarded."""

STRANGE = (
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "notlocalhost",
    "198.51.100.9:8080",
    "[2001:db8::9]",
)

MALFORMED = (
    "",
    "..",
    "a..b",
    "a" * 70,
    "\xff",
    "user@localhost",
    "localhost/path",
    "localhost:http",
    "localhost:99999",
    "[::1",
    "[nonsense]",
    "localhost localhost",
    "-a.example",
)


class HostTests(SynchronousTestCase):
    """What ``Host`` may say."""

    def check(self, site: GuardedSite, host: str | None, status: int, **others: str) -> None:
        self.assertEqual(site.ask(host=host, **others).status, status, (host, others))  # type: ignore[arg-type]

    def test_the_names_that_it_listens_on_are_good(self) -> None:
        for host in KNOWN:
            self.check(guarded_site(), host, 200)

    def test_every_other_name_is_refused_with_the_option_that_would_let_it_in(self) -> None:
        site = guarded_site()
        for host in STRANGE:
            answer = site.ask(host=host)
            self.assertEqual(answer.status, 421, host)
            self.assertIn(f"--public-url http://{host}", answer.message)
        self.assertEqual(site.inside.asked, [])

    def test_what_names_no_host_is_refused(self) -> None:
        for host in MALFORMED:
            self.check(guarded_site(), host, 400)

    def test_there_is_one_host_but_in_old_requests(self) -> None:
        site = guarded_site()
        self.check(site, None, 400)
        self.check(site, None, 200, version="1.0")
        two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
        self.assertEqual(site.send(two).status, 400)

    def test_the_address_that_was_connected_to_is_good(self) -> None:
        site = guarded_site()
        for local, host in (
            ("198.51.100.9", "198.51.100.9:8080"),
            ("2001:db8::9", "[2001:DB8::0:9]:8080"),
            ("::ffff:198.51.100.9", "198.51.100.9"),
            ("fe80::1%eth0", "[fe80::1]"),
        ):
            self.check(site, host, 200, local=local)
        self.check(site, "198.51.100.9", 421, local="198.51.100.8")

    def test_the_public_url_names_it_at_any_port(self) -> None:
        site = guarded_site(public_url="https://telemetry.example:8443/sub")
        for host in ("telemetry.example", "Telemetry.Example:8443", "telemetry.example:80"):
            self.check(site, host, 200)
        for host in KNOWN:
            self.check(site, host, 200)
        for host in STRANGE:
            self.check(site, host, 421)

    def test_several_urls_name_it_each(self) -> None:
        site = guarded_site(public_url="https://telemetry.example,http://inside:8080")
        for host in ("telemetry.example", "inside:8080"):
            self.check(site, host, 200)
        self.check(site, "outside", 421)

    def test_any_name_is_good_at_a_unix_socket_that_no_public_url_stands_for(self) -> None:
        for host in ("unix", "docker", "localhost", *KNOWN, *STRANGE):
            self.check(guarded_site(), host, 200, peer="unix", local="unix")
        site = guarded_site(public_url="https://telemetry.example")
        self.check(site, "telemetry.example", 200, peer="unix", local="unix")
        self.check(site, "evil.example", 421, peer="unix", local="unix")

    def test_what_a_trusted_proxy_was_asked_has_to_be_good_as_well(self) -> None:
        site = guarded_site(proxies="127.0.0.1", public_url="https://telemetry.example")
        for told, peer, status in (
            ("telemetry.example", "127.0.0.1", 200),
            ("evil.example", "127.0.0.1", 421),
            ("evil.example", "127.0.0.2", 200),
            ("e v i l", "127.0.0.1", 400),
        ):
            answer = site.ask(peer=peer, headers={"X-Forwarded-Host": told})
            self.assertEqual(answer.status, status, (told, peer))

    @given(st.text(st.characters(max_codepoint=255)))
    def test_it_is_a_host_or_none(self, text: str) -> None:
        with contextlib.suppress(ValueError):
            host = Host.parse(text)
            self.assertEqual(Host.parse(host.shown).name, host.name)

    @given(st.ip_addresses())
    def test_an_address_is_an_address(self, address: object) -> None:
        shown = f"[{address}]" if ":" in str(address) else str(address)
        host = Host.parse(f"{shown}:8080")
        self.assertIsNotNone(host.address)
        self.assertEqual(host.port, 8080)
