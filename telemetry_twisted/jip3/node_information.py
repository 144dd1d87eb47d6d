"""Node information: the first message of a node.

It is one byte of protocol version, the parameters, and the fields of ``TABLE.node_information``.
The parameters have no length in front of them, and each Gray Paper lays them out in its own way. A
layout *fits* if what follows it ends exactly where the message does.

- Of the known layouts that fit, the one that ``gp_version`` names is taken; if it names none of
  them, the first of the table.
- If none fits, the parameters are searched: of every length from 26 bytes (the core count is at
  byte 24 in every layout) to 4,096, the shortest that fits is taken. Such parameters are kept as
  ``{"core_count": 341, "raw": "0x…"}``.
- A protocol version above the newest known is read as the newest known, and is a violation.
- Strings break the rules of :mod:`.values` as those of events do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from .codec import EXCERPT_BYTES, VIOLATION, Fault
from .natural import decode_natural
from .table import MAX_PARAMETERS_SIZE, NEWEST_VERSION, TABLE, Fields, Str
from .values import Reader, Violation

VERSION_TOO_NEW = "protocol version newer than the newest known"
"""Reason of a violation, beside those of :mod:`.values`."""

_CORE_COUNT = slice(25, 27)


class NodeInformationError(Exception):
    """A first message that is not node information, and why."""


@frozen
class NodeInformation:
    """Who a node says it is.

    ``version`` is the protocol version as it was sent, ``layout`` the name of the layout of
    ``params``, or None where it is unknown. ``cores`` is the core count, ``genesis`` a hash as in
    the JSON, ``node_id`` the Ed25519 public key as 64 lowercase hex digits without ``0x``,
    ``address`` the text of the IP address and the port at which the node can be reached. ``faults``
    are the violations, in order.
    """

    version: int
    layout: str | None
    params: Mapping[str, Any]
    cores: int
    genesis: str
    node_id: str
    address: tuple[str, int]
    flags: int
    implementation_name: str
    implementation_version: str
    gp_version: str
    additional_info: str
    faults: tuple[Fault, ...]

    def as_json(self) -> dict[str, Any]:
        """The message as JSON: ``version``, ``layout``, and the fields in the table's order."""
        address, port = self.address
        return {
            "version": self.version,
            "layout": self.layout,
            "params": dict(self.params),
            "genesis": self.genesis,
            "details": {
                "peer_id": f"0x{self.node_id}",
                "peer_address": {"ipv6": address, "port": port},
            },
            "flags": self.flags,
            "implementation_name": self.implementation_name,
            "implementation_version": self.implementation_version,
            "gp_version": self.gp_version,
            "additional_info": self.additional_info,
        }


def decode_node_information(content: bytes) -> NodeInformation:
    """The node information in ``content``, a message without its length prefix.

    :raises NodeInformationError: if no length of the parameters fits.
    """
    misfits = {layout: _misfit(content, 1 + size) for layout, size in _SIZES.items()}
    fitting = [
        _read(content, layout, _SIZES[layout]) for layout, misfit in misfits.items() if not misfit
    ]
    if fitting:
        return next(filter(_is_named, fitting), fitting[0])
    for size in range(_CORE_COUNT.stop - 1, MAX_PARAMETERS_SIZE + 1):
        if not _misfit(content, 1 + size):
            return _read(content, None, size)
    known = "; ".join(f"with the parameters of {layout} {why}" for layout, why in misfits.items())
    raise NodeInformationError(
        f"no layout of the parameters fits the {len(content)} bytes of the message: {known}; "
        f"and no other length up to {MAX_PARAMETERS_SIZE} bytes fits"
    )


def _size(fields: Fields) -> int:
    """The bytes that ``fields`` take when every string is empty."""
    reader = Reader(bytes(MAX_PARAMETERS_SIZE))
    reader.read_fields(fields)
    return reader.offset


_SIZES = {layout: _size(fields) for layout, fields in TABLE.parameters.items()}
_STRINGS = sum(isinstance(wire, Str) for _, wire in TABLE.node_information)
_BEFORE_STRINGS = _size(TABLE.node_information) - _STRINGS


def _misfit(content: bytes, at: int) -> str | None:
    """Why what follows the parameters, from offset ``at`` on, does not end with the message.

    Only the lengths of the strings are looked at, so that a search over thousands of lengths costs
    milliseconds whatever the message holds.
    """
    at += _BEFORE_STRINGS
    for _ in range(_STRINGS):
        try:
            length, at = decode_natural(content, at, len(content))
        except ValueError:
            return "it is cut short"
        at += length
    if at == len(content):
        return None
    return f"{len(content) - at} bytes are left over" if at < len(content) else "it is cut short"


def _is_named(read: NodeInformation) -> bool:
    """Whether ``gp_version``, such as ``0.7.2``, names the layout, such as ``gp-0.7``."""
    return f"gp-{read.gp_version}.".startswith(f"{read.layout}.")


def _read(content: bytes, layout: str | None, size: int) -> NodeInformation:
    reader = Reader(content)
    version = content[0]
    if version > NEWEST_VERSION:
        reader.violations.append(Violation(0, VERSION_TOO_NEW))
    reader.offset = 1
    cores = int.from_bytes(content[_CORE_COUNT], "little")
    if layout is None:
        reader.offset += size
        params = {"core_count": cores, "raw": f"0x{content[1 : reader.offset].hex()}"}
    else:
        params = reader.read_fields(TABLE.parameters[layout])
    rest = reader.read_fields(TABLE.node_information)
    details = rest.pop("details")
    return NodeInformation(
        version=version,
        layout=layout,
        params=params,
        cores=cores,
        node_id=details["peer_id"].removeprefix("0x"),
        address=(details["peer_address"]["ipv6"], details["peer_address"]["port"]),
        faults=tuple(
            Fault(VIOLATION, None, *violation, content[:EXCERPT_BYTES])
            for violation in reader.violations
        ),
        **rest,
    )
