"""The ``TOTALS`` record: what came of each node, added up over types.

Its body is a row ``<H4Q`` for each node of which something came (:class:`NodeCount`). A process
sends it just before each ``COUNTS`` record and of the same events, so that the hub, which passes
that one on unread, can keep totals by node (:class:`telemetry_twisted.hub.node_totals.AllTotals`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .records import TOTALS, encode_record

_ROW = struct.Struct("<H4Q")


class NodeCount(NamedTuple):
    """What came of the node with a ``handle``.

    ``events`` were sent, ``failures`` of them report one; it said that it ``dropped`` so many
    others, and so many messages were passed over for being ``rate_limited``.
    """

    handle: int
    events: int
    failures: int
    dropped: int = 0
    rate_limited: int = 0


def encode_totals(counts: Iterable[NodeCount]) -> bytes:
    """A ``TOTALS`` record."""
    return encode_record(TOTALS, b"".join(_ROW.pack(*count) for count in counts))


def decode_totals(body: bytes) -> Iterator[NodeCount]:
    """What is in the body of a ``TOTALS`` record."""
    return map(NodeCount._make, _ROW.iter_unpack(body))
