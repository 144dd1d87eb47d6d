"""Node information: the first message of a node.

It is one byte of protocol version, the parameters, and the fields of ``TABLE.node_information``.
The parameters have no length in front of them, each Gray Paper lays them out in its own way, and
some nodes send others. A *reading* says how many bytes they take; it *fits* if what follows them
ends exactly where the message does. There are three kinds:

1. the parameters of a known layout, of as many bytes as it has;
2. the same, preceded by their length as a natural, which is passed over and is a violation;
3. from 0 to 4,096 bytes of no known layout, kept as they are, which is a violation too. Such
   parameters are shown as ``{"core_count": 341, "raw": "0x…"}``. The core count is at byte 24 in
   every layout; where that is no number from 1 to 4,096, or not there, it is None.

A reading is *plausible* if the node ID is not zero, and the strings are within their limits and
valid UTF-8. Of the readings of known layouts that fit, plausible ones come first, then those whose
core count is from 1 to 4,096, those without a length before the parameters, those whose
``gp_version`` names their layout, and those whose strings hold no control characters; then the
first in the table. Without a layout, what is read depends on nothing but the length. So a reading
of the third kind must have strings within their limits and valid UTF-8, and is taken only if none
of a known layout fits, or if that has something odd to it and this has not, not even a
``gp_version`` that is no version number. Where two lengths are as good as each other, neither is
certain, and the message is refused.

A core count that is not from 1 to 4,096 is not believed, whatever the layout.
A node ID of zeros is refused. A protocol version above the newest known is read as the newest
known, and is a violation. Strings break the rules of :mod:`.values` as those of events do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from operator import attrgetter
from typing import Any

from attrs import frozen

from .codec import EXCERPT_BYTES, VIOLATION, Fault
from .cores import believed
from .natural import decode_natural
from .table import MAX_PARAMETERS_SIZE, NEWEST_VERSION, TABLE, Fields, Str
from .values import Reader, Violation

VERSION_TOO_NEW = "protocol version newer than the newest known"
LENGTH_PREFIXED = "parameters are length-prefixed"
NO_KNOWN_LAYOUT = "parameters of {} bytes are of no known layout"
"""Reasons of violations, beside those of :mod:`.values`."""

_CORE_COUNT_AT = 24
_VERSION_NUMBER = re.compile(r"\d+(\.\d+)+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class NodeInformationError(Exception):
    """A first message that is no node information, or that of no node, and why."""


@frozen
class NodeInformation:
    """Who a node says it is.

    ``version`` is the protocol version as it was sent, ``layout`` the name of the layout of
    ``params``, or None where it is unknown. ``cores`` is the core count, None where that is not
    known either, ``genesis`` a hash as in the JSON, ``node_id`` the Ed25519 public key as 64
    lowercase hex digits without ``0x``, ``address`` the text of the IP address and the port at
    which the node can be reached. ``faults`` are the violations, in order.
    """

    version: int
    layout: str | None
    params: Mapping[str, Any]
    cores: int | None
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

    :raises NodeInformationError: if no length of the parameters fits, or none that is certain, or
        if the node ID is zero.
    """
    known = min(_known_layouts(content), key=attrgetter("rank"), default=None)
    others = sorted(_other_lengths(content), key=attrgetter("rank"))
    if known is not None and not (known.is_odd and others and not others[0].is_odd):
        best = known
    elif others:
        best = others[0]
        if len(others) > 1 and others[1].rank == best.rank:
            raise NodeInformationError(
                "node information that cannot be decoded: parameters of no known layout may take "
                f"{best.size} or {others[1].size} bytes"
            )
    else:
        raise NodeInformationError(_why_none(content))
    if best.node_id == _NO_NODE_ID:
        raise NodeInformationError(
            "node information with an all-zero node ID, where the node's Ed25519 public key is "
            "expected"
        )
    return best.information()


class _Strings:
    """Where the strings that follow the parameters lie: ``spans``, and whether they all are within
    their limits. The message ends with the last."""

    def __init__(self, spans: list[slice]) -> None:
        self.spans = spans
        sizes = (span.stop - span.start for span in spans)
        self.in_limits = all(size <= limit for size, limit in zip(sizes, _LIMITS, strict=True))


@frozen
class _Reading:
    """Parameters of ``size`` bytes from offset ``at`` of ``content`` on, of ``layout`` or of none.

    ``strings`` are those at the end of the message.
    """

    content: bytes
    layout: str | None
    at: int
    size: int
    strings: _Strings

    @cached_property
    def rank(self) -> tuple[bool, ...]:
        """The lower, the better."""
        no_core_count = self.layout is not None and self.cores is None
        return not self._plausible, no_core_count, self.at > 1, not self._named, self._has_controls

    @property
    def is_odd(self) -> bool:
        """Whether there is something to it that a node would hardly send."""
        unnamed = self.layout is None and not self._named
        return not self._plausible or unnamed or self._has_controls

    @property
    def node_id(self) -> bytes:
        return self.content[self.at + self.size :][_NODE_ID]

    @property
    def cores(self) -> int | None:
        if self.size < _CORE_COUNT_AT + 2:
            return None
        at = self.at + _CORE_COUNT_AT
        return believed(int.from_bytes(self.content[at : at + 2], "little"))

    @cached_property
    def _texts(self) -> list[str]:
        return [self.content[span].decode("utf-8", "replace") for span in self.strings.spans]

    @property
    def _plausible(self) -> bool:
        in_order = self.strings.in_limits and _are_utf8(self.content, self.strings)
        return in_order and self.node_id != _NO_NODE_ID

    @property
    def _named(self) -> bool:
        """Whether ``gp_version``, such as ``0.7.2``, names the layout, such as ``gp-0.7``."""
        gp_version = self._texts[_GP_VERSION]
        if self.layout is None:
            return _VERSION_NUMBER.fullmatch(gp_version) is not None
        return f"gp-{gp_version}.".startswith(f"{self.layout}.")

    @property
    def _has_controls(self) -> bool:
        return any(map(_CONTROL.search, self._texts))

    def information(self) -> NodeInformation:
        reader = Reader(self.content, self.at)
        version = self.content[0]
        if version > NEWEST_VERSION:
            reader.violations.append(Violation(0, VERSION_TOO_NEW))
        if self.layout is None:
            reader.violations.append(Violation(1, NO_KNOWN_LAYOUT.format(self.size)))
            reader.offset += self.size
            raw = self.content[self.at : reader.offset]
            params = {"core_count": self.cores, "raw": f"0x{raw.hex()}"}
        else:
            if self.at > 1:
                reader.violations.append(Violation(1, LENGTH_PREFIXED))
            params = reader.read_fields(TABLE.parameters[self.layout])
        rest = reader.read_fields(TABLE.node_information)
        details = rest.pop("details")
        return NodeInformation(
            version=version,
            layout=self.layout,
            params=params,
            cores=self.cores,
            node_id=details["peer_id"].removeprefix("0x"),
            address=(details["peer_address"]["ipv6"], details["peer_address"]["port"]),
            faults=tuple(
                Fault(VIOLATION, None, *violation, self.content[:EXCERPT_BYTES])
                for violation in reader.violations
            ),
            **rest,
        )


def _known_layouts(content: bytes) -> Iterator[_Reading]:
    """The readings of the first two kinds that fit."""
    for layout, size in _SIZES.items():
        for at in (1, _after_length(content, size)):
            strings = _strings(content, at + size) if at else None
            if strings:
                yield _Reading(content, layout, at, size, strings)


def _other_lengths(content: bytes) -> Iterator[_Reading]:
    """The readings of the third kind that fit.

    Because of the limits of strings some six hundred lengths are tried, which costs milliseconds
    whatever the message holds.
    """
    longest = len(content) - 1 - _BEFORE_STRINGS - len(_LIMITS)
    shortest = longest - sum(_LIMITS) - len(_LIMITS)
    for size in range(max(shortest, 0), min(longest, MAX_PARAMETERS_SIZE) + 1):
        if size not in _SIZES.values():
            strings = _strings(content, 1 + size)
            if strings and strings.in_limits and _are_utf8(content, strings):
                yield _Reading(content, None, 1, size, strings)


def _after_length(content: bytes, size: int) -> int:
    """Where parameters begin that their ``size`` as a natural precedes, 0 if it does not."""
    try:
        length, at = decode_natural(content, 1, len(content))
    except ValueError:
        return 0
    return at if length == size else 0


def _strings(content: bytes, at: int) -> _Strings | None:
    """The strings after parameters that end at ``at``, None if they do not end with the message."""
    at += _BEFORE_STRINGS
    spans = []
    for _ in _LIMITS:
        try:
            length, at = decode_natural(content, at, len(content))
        except ValueError:
            return None
        spans.append(slice(at, at + length))
        at += length
    return _Strings(spans) if at == len(content) else None


def _why_none(content: bytes) -> str:
    sizes = ", ".join(f"{size} ({layout})" for layout, size in _SIZES.items())
    return (
        f"node information that cannot be decoded: nothing fits the {len(content)} bytes of the "
        "message: after the parameters, of "
        f"{sizes} or up to {MAX_PARAMETERS_SIZE} bytes, {_BEFORE_STRINGS} bytes and "
        f"{len(_LIMITS)} strings must end with it"
    )


def _are_utf8(content: bytes, strings: _Strings) -> bool:
    try:
        for span in strings.spans:
            content[span].decode()
    except UnicodeDecodeError:
        return False
    return True


def _size(fields: Fields) -> int:
    """The bytes that ``fields`` take when every string is empty."""
    reader = Reader(bytes(MAX_PARAMETERS_SIZE))
    reader.read_fields(fields)
    return reader.offset


_SIZES = {layout: _size(fields) for layout, fields in TABLE.parameters.items()}
_STRINGS = {name: wire.limit for name, wire in TABLE.node_information if isinstance(wire, Str)}
_LIMITS = tuple(_STRINGS.values())
_GP_VERSION = list(_STRINGS).index("gp_version")
_BEFORE_STRINGS = _size(TABLE.node_information) - len(_LIMITS)
_NODE_ID = slice(32, 64)
"""Where the node ID is in what follows the parameters, after the genesis hash."""
_NO_NODE_ID = bytes(32)
