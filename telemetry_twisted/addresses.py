"""Internet addresses as people write them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address


def read_address(host: str) -> Address:
    """An address without the guise in which an IPv4 address comes to an IPv6 socket.

    ``::ffff:127.0.0.1`` is ``127.0.0.1`` (RFC 4291, 2.5.5.2); the zone of a link-local address is
    dropped, since it means something on this machine alone.

    :raises ValueError: if it is none.
    """
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def plain_host(host: str) -> str:
    """``host`` as :func:`read_address` has it, if it is an address; all else stays as it is."""
    try:
        return str(read_address(host))
    except ValueError:
        return host


def host_and_port(host: str, port: int) -> str:
    """``host:port``, an IPv6 host in brackets (RFC 3986, 3.2.2)."""
    host = plain_host(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_of(place: str) -> str:
    """The host of what :func:`host_and_port` made."""
    return place.rpartition(":")[0].strip("[]")
