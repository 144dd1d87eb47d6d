"""Every path answers in the shape that JamTART gives it, with and without anything to tell."""

from __future__ import annotations

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


def test_no_path_is_left_out() -> None:
    assert len(CASES) > len(FACTS["endpoints"]) == 55
