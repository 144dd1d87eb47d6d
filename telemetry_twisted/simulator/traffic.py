"""The traffic between validators that fills a node's time: most of it availability.

:data:`KINDS` says how much there is of each kind of exchange. The shares follow a full network at
work, where in each slot a validator swaps assurances with all others and fetches its shards of the
report of every core.
"""

from __future__ import annotations

from collections.abc import Callable

from .availability import (
    audit,
    fetch_shard,
    serve_bundle,
    serve_bundle_shard,
    serve_segment_shards,
    serve_segments,
    serve_shard,
)
from .context import Begin, Context, Kind
from .networking import connect, misbehave, refuse
from .preimages import announce_preimage, fetch_preimage, serve_preimage
from .requests import Asked
from .schedule import Exchange
from .spreading import (
    announce_block,
    receive_assurance,
    receive_guarantee,
    send_assurance,
    transfer_ticket,
)


def _request(ask: Callable[[Context, int, str | None], Asked]) -> Begin:
    def begin(context: Context, time: int, fate: str) -> Exchange:
        yield from ask(context, time, None if fate == "done" else fate)

    return begin


_REQUEST_FATES = ("done", "early", "late")
_FAILING_FATES = ("late", "early", "done")


def _kinds(served: tuple[str, ...]) -> tuple[Kind, ...]:
    """All kinds of traffic; ``served`` are the fates of what others ask for."""
    return (
        Kind(1_000, send_assurance, ("done", "failed")),
        Kind(1_000, receive_assurance, ("done", "failed")),
        Kind(330, _request(fetch_shard), _REQUEST_FATES),
        Kind(300, _request(serve_shard), served),
        Kind(
            60,
            receive_guarantee,
            (
                "done",
                "failed",
                "PackageReportedOnChain",
                "ReplacedByBetter",
                "CannotReportOnChain",
                "TooManyGuarantees",
                "Other",
            ),
        ),
        Kind(40, announce_block, ("Remote", "Local")),
        Kind(20, transfer_ticket, ("done", "failed")),
        Kind(4, audit, ("shards", "whole", "early", "late")),
        Kind(10, _request(serve_bundle_shard), served),
        Kind(3, _request(serve_bundle), served),
        Kind(10, _request(serve_segment_shards), served),
        Kind(3, _request(serve_segments), served),
        Kind(
            3,
            announce_preimage,
            (
                "done",
                "failed",
                "ProvidedOnChain",
                "NotRequestedOnChain",
                "FailedToAcquire",
                "TooManyAnnounced",
                "BadLength",
                "Other",
            ),
        ),
        Kind(
            2,
            fetch_preimage,
            (
                "done",
                "early",
                "late",
                "ProvidedOnChain",
                "NotRequestedOnChain",
                "TooManyPreimages",
                "Other",
            ),
        ),
        Kind(2, _request(serve_preimage), served),
        Kind(1, connect, ("out", "in", "out failed", "in failed")),
        Kind(1, refuse),
        Kind(1, misbehave, ("invalid signature", "malformed message", "invalid ticket proof")),
    )


KINDS = _kinds(_REQUEST_FATES)
"""The traffic of a validator, most of it assurances (JIP-3 126-131) and shards (120-125)."""

FAILING_KINDS = _kinds(_FAILING_FATES)
"""The same, where most of what others ask for fails."""
