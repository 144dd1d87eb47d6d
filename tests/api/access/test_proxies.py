"""Where a request comes from: whose word is taken, and how chains of proxies are read."""

from __future__ import annotations

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.test.requesthelper import DummyRequest

from telemetry_twisted.addresses import read_address
from telemetry_twisted.api.access.proxies import (
    Hop,
    Malformed,
    Origination,
    TrustedProxies,
    read_forwarded,
)
from telemetry_twisted.networks import Networks, share_of

PROXY = "10.0.0.1"
CLIENT = "192.0.2.7"


def request(peer: str = PROXY, headers: dict[bytes, str] | None = None) -> DummyRequest:
    made = DummyRequest([b""])
    if peer == "unix":
        made.client = UNIXAddress(None)
    else:
        kind = IPv6Address if ":" in peer else IPv4Address
        made.client = kind("TCP", peer, 4711)
    made.requestHeaders = Headers(
        {name: [value.encode("latin-1")] for name, value in (headers or {}).items()}
    )
    return made


def client(trusted: str, peer: str = PROXY, **headers: str) -> str:
    """The client of a request with ``headers``, whose underscores are hyphens."""
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return TrustedProxies.parse(trusted).client_of(request(peer, named))


class ClientTests(SynchronousTestCase):
    """Who the client of a request is."""

    def test_who_is_connected_where_no_proxy_is_trusted(self) -> None:
        for trusted in ("", "10.0.0.2", "unix"):
            self.assertEqual(client(trusted, x_forwarded_for=CLIENT), PROXY)
            self.assertEqual(client(trusted, forwarded=f"for={CLIENT}"), PROXY)

    def test_a_unix_socket_has_no_address(self) -> None:
        self.assertEqual(client("", "unix", x_forwarded_for=CLIENT), "unix")
        self.assertEqual(client("10.0.0.0/8", "unix", x_forwarded_for=CLIENT), "unix")
        self.assertEqual(client("unix", "unix", x_forwarded_for=CLIENT), CLIENT)
        self.assertEqual(client("unix", "unix"), "unix")

    def test_an_ipv4_client_of_an_ipv6_port_is_an_ipv4_client(self) -> None:
        self.assertEqual(client("", f"::ffff:{CLIENT}"), CLIENT)
        self.assertEqual(client(PROXY, f"::ffff:{PROXY}", x_forwarded_for=CLIENT), CLIENT)

    def test_a_chain_is_read_from_the_right_past_those_that_are_trusted(self) -> None:
        for chain, expected in (
            (CLIENT, CLIENT),
            (f"203.0.113.9, {CLIENT}", CLIENT),
            (f"203.0.113.9,{CLIENT},10.9.9.9", CLIENT),
            (f"nonsense, {CLIENT}, 10.9.9.9", CLIENT),
            ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
            (f"{CLIENT}:50123", CLIENT),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:DB8:0::7]:443", "2001:db8::7"),
            ("::ffff:192.0.2.7", CLIENT),
        ):
            self.assertEqual(client("10.0.0.0/8", x_forwarded_for=chain), expected, chain)

    def test_so_is_a_chain_in_the_form_of_the_standard(self) -> None:
        for chain, expected in (
            (f"for={CLIENT}", CLIENT),
            (f"For={CLIENT};Proto=https;By=10.0.0.1", CLIENT),
            (f'for="{CLIENT}:50123"', CLIENT),
            (f"for=203.0.113.9, for={CLIENT} ; proto=https , for=10.9.9.9", CLIENT),
            ('for="[2001:db8::7]:4711"', "2001:db8::7"),
            ('for="[2001:db8::7]:_port"', "2001:db8::7"),
            (r'for="192.0.\2.7"', CLIENT),
        ):
            self.assertEqual(client("10.0.0.0/8", forwarded=chain), expected, chain)

    def test_what_is_malformed_says_nothing(self) -> None:
        for header in (
            {"x_forwarded_for": chain}
            for chain in ("unknown", "", "nonsense", f"{CLIENT}, ", "1.2.3", "[::1", "1.2.3.4:x")
        ):
            self.assertEqual(client(PROXY, **header), PROXY, header)
        for chain in (
            "for",
            "for=",
            "for=unknown",
            "for=_hidden",
            "proto=https",
            f'for="{CLIENT}',
            f"for={CLIENT} for={CLIENT}",
            f"for={CLIENT};for={CLIENT}",
            f'for="x, for={CLIENT}',
            f'for="x, for="[{CLIENT}]"',
        ):
            self.assertEqual(client(PROXY, forwarded=chain), PROXY, chain)

    def test_a_header_that_the_proxy_has_passed_on_unread_is_not_believed(self) -> None:
        """A proxy that writes one of the two headers passes the other on as its client wrote it."""
        self.assertEqual(client(PROXY, x_forwarded_for=CLIENT, forwarded="for=203.0.113.9"), PROXY)
        self.assertEqual(client(PROXY, x_forwarded_for=CLIENT, forwarded=f"for={CLIENT}"), CLIENT)

    def test_a_chain_without_end_is_not_followed(self) -> None:
        self.assertEqual(client("10.0.0.0/8", x_forwarded_for=",".join(["10.0.0.2"] * 99)), PROXY)

    @given(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)))
    @example("," * 10_000, " " * 10_000)
    @example('for="' * 2_000, "\\" * 10_000)
    def test_whatever_is_in_them_a_client_is_an_address(self, one: str, other: str) -> None:
        for headers in ({"x_forwarded_for": one}, {"forwarded": other}):
            read_address(client(PROXY, **headers))

    @given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")))
    def test_what_a_client_writes_does_not_hide_it(self, written: str) -> None:
        """The proxy has added the client to what it was sent; nothing there may win over that."""
        told = client(PROXY, x_forwarded_for=f"{written}, {CLIENT}")
        self.assertEqual(told, CLIENT)
        told = client(PROXY, forwarded=f"{written}, for={CLIENT}")
        self.assertIn(told, (CLIENT, PROXY))


class WhatWasAskedForTests(SynchronousTestCase):
    """By which scheme and at which host a client asked."""

    def origination(self, **headers: str) -> Origination:
        named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        return TrustedProxies.parse(PROXY).origination(request(PROXY, named))

    def test_as_the_nearest_proxy_says(self) -> None:
        told = self.origination(
            x_forwarded_for=CLIENT, x_forwarded_proto="http, https", x_forwarded_host="a, b:8443"
        )
        self.assertEqual(told, Origination(CLIENT, "https", "b:8443"))

    def test_as_the_proxy_says_that_has_seen_the_client(self) -> None:
        told = self.origination(
            forwarded=f'for={CLIENT};proto=wss;host="b:8443", for={PROXY};proto=http;host=inside'
        )
        self.assertEqual(told, Origination(CLIENT, "https", "b:8443"))

    def test_a_proxy_may_tell_of_the_scheme_alone(self) -> None:
        self.assertEqual(self.origination(x_forwarded_proto="https").scheme, "https")
        self.assertEqual(self.origination(), Origination(PROXY))

    def test_a_scheme_that_is_none_of_the_webs_says_nothing(self) -> None:
        told = self.origination(x_forwarded_for=CLIENT, x_forwarded_proto="gopher")
        self.assertEqual(told, Origination(PROXY))

    def test_nobody_else_may_say(self) -> None:
        asked = request(CLIENT, {b"x-forwarded-proto": "https", b"x-forwarded-host": "b"})
        self.assertEqual(TrustedProxies.parse(PROXY).origination(asked), Origination(CLIENT))


class ForwardedTests(SynchronousTestCase):
    """The header of RFC 7239."""

    def test_the_examples_of_the_standard(self) -> None:
        for text, hops in (
            ('for="_gazonk"', [Hop("_gazonk")]),
            ('For="[2001:db8:cafe::17]:4711"', [Hop("[2001:db8:cafe::17]:4711")]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", [Hop("192.0.2.60", "http")]),
            ("for=192.0.2.43, for=198.51.100.17", [Hop("192.0.2.43"), Hop("198.51.100.17")]),
            ("", []),
            (" , ,; ", []),
        ):
            self.assertEqual(read_forwarded(text), hops)

    @given(st.text('for="\\ ,;aß[]:.\t'))
    def test_it_is_read_or_malformed(self, text: str) -> None:
        with contextlib.suppress(Malformed):
            read_forwarded(text)


class NetworksTests(SynchronousTestCase):
    """Networks as an option gives them."""

    def test_they_hold_addresses_of_either_kind(self) -> None:
        networks = Networks.parse("10.0.0.0/8, 2001:db8::/32,192.0.2.7")
        for inside in ("10.1.2.3", "2001:db8::1", "192.0.2.7", "::ffff:10.1.2.3"):
            self.assertIn(read_address(inside), networks)
        for outside in ("11.1.2.3", "2001:db9::1", "192.0.2.8"):
            self.assertNotIn(read_address(outside), networks)

    def test_what_is_no_network_is_refused(self) -> None:
        for text in ("", "10.0.0.1/8", "proxy", "10.0.0.0/8,", "10.0.0.0/33"):
            with self.assertRaisesRegex(ValueError, "expected networks in CIDR notation"):
                Networks.parse(text)

    def test_a_network_of_ipv6_counts_as_one_client(self) -> None:
        self.assertEqual(share_of("2001:db8::1:2:3"), share_of("2001:db8::ffff"))
        self.assertNotEqual(share_of("2001:db8::1"), share_of("2001:db8:0:1::1"))
        self.assertEqual(share_of("::ffff:192.0.2.7"), share_of("192.0.2.7"))
        self.assertNotEqual(share_of("192.0.2.7"), share_of("192.0.2.8"))
        self.assertEqual(share_of("unix"), "unix")
