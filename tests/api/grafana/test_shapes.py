"""Every path answers in the shape that JamTART gives it, with and without anything to tell."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pytest_twisted import ensureDeferred

from tests.store.observed import PACKAGE
from tests.store.test_rest import Make

from .conftest import PREFIX
from .shapes import CASES, FACTS, Case, empties

IN_PATH = {"core_id": "5", "wp_hash": PACKAGE[2:], "service_id": "7", "validator_idx": "1"}


async def answer(ask: Make, post: Make, case: Case) -> Any:
    """What is answered to a case."""
    path = case.path.removeprefix(PREFIX)
    for name, value in IN_PATH.items():
        path = path.replace(f"{{{name}}}", value)
    if case.method == "POST":
        return await post(case.path, [PACKAGE, "no hash", 7])
    return await ask(path, **case.query)


@ensureDeferred
async def test_nothing_to_tell(empty: Make, ask: Make, post: Make) -> None:
    await empty()
    for case in CASES:
        found = await answer(ask, post, case)
        case.answered.check(found)
        if case.answered.is_list and case.path not in (
            f"{PREFIX}bottlenecks",
            f"{PREFIX}event-types",
        ):
            assert found == [], case.path


QUIET = {"issues", "alerts", "cores_active", "services"}
"""Lists that may well be empty."""


@ensureDeferred
async def test_something_to_tell(filled: Make, ask: Make, post: Make) -> None:
    await filled()
    for case in CASES:
        found = await answer(ask, post, case)
        case.answered.check(found)
        if f"{PREFIX}onchain" not in case.path:
            assert found, f"nothing is told at {case}"
            assert {*empties(found)} <= QUIET, f"a list is empty at {case}"


ORDERS = {
    "timeseries": ("ts",),
    "events-by-node": ("-count",),
    "cores": ("core",),
    "blocks/convergence": ("slot", "event_type"),
    "blocks/contents": ("slot",),
    "services": ("service_id",),
    "services/timeseries": ("ts", "service_id"),
    "nodes": ("-is_connected", "-last_seen_at"),
    "node-stats": ("timestamp",),
    "node-stats-aggregate": ("bucket",),
    "guarantee-convergence": ("slot",),
    "guarantee-convergence/detail": ("slot", "built_at"),
    "assurance-convergence/senders": ("distributed_at",),
    "da-stats": ("-shards_transferred",),
    "validator-profiling-timeseries": ("ts", "node_id"),
    "event-types": ("id",),
    "guarantee-discards": ("ts", "reason"),
    "validators/cores": ("-guarantee_count",),
    "sync-timeline": ("ts",),
}
"""By which fields the rows of a path stand, those with a minus the greatest first."""

INNER = {
    "events": ("events", "-ts"),
    "failure-rates": ("by_node", "-failures"),
    "connections-timeline": ("timeline", "ts"),
    "guarantees/by-guarantor": ("guarantors", "-guarantee_count"),
    "wp-stats": ("by_core", "core"),
    "wp-active": ("work_packages", "-first_seen"),
    "blocks/summary": ("authoring_by_node", "-blocks_authored"),
    "execution": ("by_service", "-total_gas"),
    "validator-profiling": ("nodes", "-avg_total_ms"),
    "cores/5": ("recent_work_packages", "-first_seen"),
    f"wp/{PACKAGE}": ("events", "ts"),
}
"""Likewise, of a list in an answer."""


def hold(rows: list[dict[str, Any]], order: tuple[str, ...], path: str) -> None:
    """Hold rows to an order."""
    for one, next_ in pairwise(rows):
        for name in order:
            here, there = one[name.lstrip("-")], next_[name.lstrip("-")]
            if here != there:
                assert (here > there) == name.startswith("-"), f"{path} by {name}"
                break


@ensureDeferred
async def test_rows_stand_in_order(filled: Make, ask: Make) -> None:
    await filled()
    for path, order in ORDERS.items():
        hold(await ask(path), order, path)
    for path, (name, inner) in INNER.items():
        hold((await ask(path))[name], (inner,), path)


def test_no_path_is_left_out() -> None:
    assert len(CASES) > len(FACTS["endpoints"]) == 55
