"""Addresses as people write them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.addresses import host_and_port, host_of, plain_host


class AddressTests(SynchronousTestCase):
    def test_an_ipv4_address_is_shown_as_one_also_where_it_came_to_an_ipv6_socket(self) -> None:
        for host in ("::ffff:127.0.0.1", "::FFFF:7f00:1", "127.0.0.1"):
            self.assertEqual(plain_host(host), "127.0.0.1")
            self.assertEqual(host_and_port(host, 9000), "127.0.0.1:9000")

    def test_an_ipv6_address_is_shown_in_brackets_before_its_port(self) -> None:
        self.assertEqual(host_and_port("2001:DB8::1", 1), "[2001:db8::1]:1")
        self.assertEqual(host_and_port("fe80::1%eth0", 1), "[fe80::1]:1")

    def test_what_is_no_address_stays_as_it_is(self) -> None:
        for host in ("", "localhost", "/run/telemetry.sock"):
            self.assertEqual(plain_host(host), host)

    def test_the_host_can_be_told_from_the_port_again(self) -> None:
        for host in ("10.0.0.7", "2001:db8::1"):
            self.assertEqual(host_of(host_and_port(host, 9000)), host)
