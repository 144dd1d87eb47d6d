"""Work packages one by one."""

from __future__ import annotations

import re

from telemetry_twisted.api.rest.asked import BadRequest
from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.store.read.journeys import journey
from telemetry_twisted.store.read.networks import Network
from telemetry_twisted.store.read.packages import (
    REACHED,
    Tracked,
    newest_in,
    package_counts,
    packages_in,
    packages_named,
)
from telemetry_twisted.store.read.shapes import micros
from telemetry_twisted.store.read.sums import Subject

from .funnels import SHARES, STAGES, TIMED, reached_in_all, told
from .given import Given, RangeGiven, Text
from .latencies import seen_over
from .routes import Row, Rows, grafana
from .scope import scope_of

MOST_LISTED = 100
"""Packages of a list, at most."""

MOST_REASONS = 50
"""Reasons for which packages failed that are listed, at most."""

MOST_NAMED = 500
"""Packages that may be asked for at once; of more the first are answered."""


def service_id(number: int) -> str:
    """A service as answers name it."""
    return f"0x{number:08x}"


def package_row(package: Tracked) -> Row:
    """What all answers tell of a package."""
    ordered = [kind for kind in REACHED if kind != STAGES["failed"]]
    return {
        "wp_hash": package.hash.hex(),
        "first_seen": micros(package.first),
        "last_updated": micros(package.last),
        "stage": max((ordered.index(kind) for kind in package.times if kind in ordered), default=0),
        "received_by": package.received_by,
        "guaranteed_by": package.guaranteed_by,
        "service_ids": [service_id(number) for number in package.services],
        **{
            f"{name}_at": micros(package.times[kind]) if kind in package.times else None
            for name, kind in STAGES.items()
        },
    }


@grafana("wp-active")
async def active(sources: Sources, given: RangeGiven) -> Row:
    """The newest packages, finished ones too, and what became of all of the range. What refining
    one of them took is not kept."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    subject = Subject(scope.network)
    found = await packages_in(history, subject, *given.range, MOST_LISTED)
    reached = await reached_in_all(sources, subject, *given.range)
    names = [name for name in TIMED.values() if name not in ("distribute", "pipeline")]
    seen = await seen_over(history, subject, *given.range, names)
    newest = await newest_in(history, scope.network, *given.range)
    reasons = await package_counts(history, newest, ("reason",), outcome="failed")
    ordered = [*STAGES.values()][:-1]
    durations: Row = {}
    for name in names:
        p50, p95 = seen.at(name, SHARES)
        durations |= {f"{name}_p50_ms": p50, f"{name}_p95_ms": p95}
    return {
        "work_packages": [
            {
                **package_row(package),
                "core": package.core,
                "node_id": package.receiver,
                "refine_gas_used": None,
                "failure_reason": package.reason,
                "elapsed_ms": (package.last - package.first) / 1000,
            }
            for package in found
            if package.core is not None
        ],
        "summary": {
            "total": reached[0],
            **{
                f"at_{name}": max(reached[kind] - reached[after], 0)
                for (name, kind), after in zip(STAGES.items(), ordered[1:], strict=False)
            },
        },
        "reached": told(reached),
        "stage_duration_percentiles": durations,
        "failure_breakdown": [
            {"reason": reason, "count": count}
            for reason, count, _ in sorted(
                (row for row in reasons if row[0]), key=lambda row: (-row[1], row[0])
            )[:MOST_REASONS]
        ],
    }


class PackageInPath(Given, frozen=True, kw_only=True):
    """A request about a package."""

    wp_hash: Text


def hash_of(text: str) -> bytes | None:
    """The hash that ``text`` says in hexadecimal, None if it says none."""
    text = text.removeprefix("0x")
    if len(text) % 2 or not re.fullmatch("[0-9a-fA-F]{1,128}", text):
        return None
    return bytes.fromhex(text)


@grafana("wp/{wp_hash}")
async def package(sources: Sources, given: PackageInPath) -> Row:
    """One package, and its events as far as journeys tell of them."""
    hash = hash_of(given.wp_hash)
    if hash is None:
        raise BadRequest("wp_hash: expected a hash in hexadecimal")
    scope = await scope_of(sources, given.network)
    found = await packages_named(sources.history, scope.network, [hash])
    return {
        "summary": package_row(found[0]) if found else None,
        "events": await package_events(sources, scope.network, hash),
    }


async def package_events(sources: Sources, network: Network, hash: bytes) -> Rows:
    """The events of a package, the oldest first."""
    found = await journey(sources.history, network, hash)
    if found is None:
        return []
    rows: Rows = [
        {
            "ts": event.time,
            "node_id": event.node_id,
            "event_type": event.event_type,
            "data": {event.event or "Unknown": _said(event.reason, event.peer)},
            "created_at": event.arrived,
        }
        for event in found.events
        if event.node_id is not None
    ]
    return sorted(rows, key=lambda row: str(row["ts"]))


def _said(reason: str | None, peer: str | None) -> Row:
    return {name: text for name, text in (("reason", reason), ("peer", peer)) if text is not None}


async def batch(sources: Sources, network: str | None, hashes: list[str]) -> Rows:
    """Those of some packages that are known, the newest first."""
    scope = await scope_of(sources, network)
    wanted = [hash for text in hashes if (hash := hash_of(text)) is not None]
    found = await packages_named(sources.history, scope.network, wanted[:MOST_NAMED])
    return [package_row(each) for each in found]


ENDPOINTS: tuple[Endpoint, ...] = (active, package)
