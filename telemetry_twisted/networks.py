"""Networks of the internet: what counts as one client, and sets of addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

from attrs import frozen

from .addresses import Address, read_address

Network = IPv4Network | IPv6Network

IPV6_SHARE = 64
"""Bits of an IPv6 address that tell one customer from another; the rest each picks as it likes."""


def share_of(client: str) -> str:
    """What ``client``, an address or a name for those that have none, is counted under by limits.

    Whoever has one IPv6 address has a network of them, so that network counts as one.
    """
    try:
        address = read_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, IPV6_SHARE), strict=False))


@frozen
class Networks:
    """Some networks of the internet: a bound set of addresses."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Networks:
        """Networks in CIDR notation and single addresses, separated by commas.

        :raises ValueError: with what was expected, and which part is not that.
        """
        return cls(tuple(_read_network(part.strip()) for part in text.split(",")))

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def _read_network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(
            "expected networks in CIDR notation or addresses, separated by commas, such as "
            f"10.0.0.0/8,2001:db8::/32,192.0.2.7 ({error})"
        ) from None
