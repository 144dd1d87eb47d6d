"""What networks are doing, asked of either database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from telemetry_twisted.network.journey import STAGES
from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.read import (
    assurances,
    guarantees,
    health,
    journeys,
    slots,
    work_packages,
)
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.known_networks import networks
from telemetry_twisted.store.read.networks import Network, find_network
from telemetry_twisted.store.read.spreads import Spread
from telemetry_twisted.store.write.writer import Writer
from tests.network.scene import HASH
from tests.store.conftest import NOW, Feed, genesis
from tests.store.observed import (
    ANCHOR,
    FAILED,
    FIRST_SLOT,
    OTHER,
    PACKAGE,
    REPORT,
    STUCK,
    tell,
)

Make = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("told")


@pytest.fixture
def told(
    database: Database, make_writer: Make, make_feed: Make, commit: Make, clock: Clock
) -> Writer:
    """A writer that was told a little of everything, and has written it; 60 s have passed."""
    writer: Writer = make_writer(database)
    feed: Feed = make_feed(writer)

    async def fill() -> None:
        await commit(writer)
        tell(feed)
        await commit(writer)
        clock.advance(40)
        await commit(writer)

    pytest_twisted.blockon(Deferred.fromCoroutine(fill()))
    return writer


async def first(history: History) -> Network:
    found = await find_network(history, None)
    assert found is not None
    return found


@ensureDeferred
async def test_networks(history: History) -> None:
    found = await networks(history, [Feed.node_id(1), Feed.node_id(5)])
    assert [(each.genesis, each.connected, each.newest_slot) for each in found.networks] == [
        (genesis(0), 1, FIRST_SLOT + 3),
        (genesis(1), 1, FIRST_SLOT + 1),
    ]
    assert (await first(history)).genesis == genesis(0)
    assert await find_network(history, genesis(7)) is None


@ensureDeferred
async def test_slots(history: History) -> None:
    network = await first(history)
    found = await slots.slots(history, network, NOW, NOW + 20, 0, 10)
    assert [each.slot - FIRST_SLOT for each in found.slots] == [3, 2, 1, 0]
    assert [each.empty for each in found.slots] == [False, True, False, False]
    assert [each.fork for each in found.slots] == [False, False, True, False]
    assert found.next is None
    slot = found.slots[3]
    (block,) = slot.blocks
    assert (block.hash, block.author, block.parent) == (HASH, Feed.node_id(1), OTHER)
    assert block.authored == block.authored_corrected == "2026-11-24T07:42:00.110000Z"
    assert block.contents is not None
    assert (block.contents.num_guarantees, block.nodes_best, block.nodes_finalized) == (3, 4, 1)
    best = slot.stages["best"]
    assert (best.nodes, best.off_clock) == (4, 1)
    assert best.reported is not None
    assert best.corrected is not None
    assert best.corrected.first == "2026-11-24T07:42:00.120000Z"
    assert (best.corrected.p50_ms, best.corrected.last_ms) == (120.0, 220.0)
    assert best.reported.last_ms == 2100.0
    page = await slots.slots(history, network, NOW, NOW + 20, 0, 3)
    assert page.next == FIRST_SLOT + 1
    page = await slots.slots(history, network, NOW, NOW + 20, page.next, 3)
    assert [each.slot for each in page.slots] == [FIRST_SLOT]
    assert page.next is None


@ensureDeferred
async def test_a_slot_node_by_node(history: History) -> None:
    network = await first(history)
    found = await slots.slot_nodes(history, network, FIRST_SLOT, 0, 100)
    assert found is not None
    assert [node.node_id for node in found.nodes] == [Feed.node_id(n) for n in (3, 2, 1, 4)]
    assert [node.offset_ms for node in found.nodes] == [0, 2000, 0, None]
    second = found.nodes[1]
    assert second.announced == "2026-11-24T07:41:58.200000Z"
    assert (second.finalized, second.best_block) == (None, HASH)
    for offset, page, next in ((0, found.nodes[:3], 3), (3, found.nodes[3:], None)):
        part = await slots.slot_nodes(history, network, FIRST_SLOT, offset, 3)
        assert part is not None
        assert (part.nodes, part.next) == (page, next)
    assert await slots.slot_nodes(history, network, 8, 0, 100) is None


@ensureDeferred
async def test_work_packages_and_their_funnel(history: History) -> None:
    network = await first(history)

    async def ask(limit: int = 10, before: int = 0, **more: Any) -> work_packages.WorkPackages:
        return await work_packages.work_packages(
            history, network, NOW, NOW + 20, before, limit, **more
        )

    found = await ask()
    funnel = found.funnel
    assert (funnel.packages, funnel.received, funnel.authorized) == (3, 3, 1)
    assert (funnel.distributed, funnel.failed, funnel.going_on) == (1, 1, 1)
    assert funnel.complete
    shown = {each.work_package: each for each in found.work_packages}
    assert [*shown] == [STUCK, FAILED, PACKAGE]
    assert shown[FAILED].reason == "no anchor"
    assert [each.stuck for each in found.work_packages] == [True, False, False]
    whole = shown[PACKAGE]
    assert (whole.outcome, whole.core, whole.services, whole.guarantors) == (
        *("distributed", 5, [7], 2),
    )
    assert whole.stages == [*STAGES.values()]

    async def hashes(**more: Any) -> list[str | None]:
        return [each.work_package for each in (await ask(**more)).work_packages]

    assert await hashes(core=5) == [STUCK, PACKAGE]
    assert await hashes(service=8) == [FAILED]
    assert await hashes(service=1) == []
    assert await hashes(outcome="failed") == [FAILED]
    assert await hashes(stuck=True) == [STUCK]
    assert await hashes(stuck=False) == [FAILED, PACKAGE]
    page = await ask(limit=2)
    assert page.next is not None
    assert [each.work_package for each in page.work_packages] == [STUCK, FAILED]
    assert await hashes(before=page.next) == [PACKAGE]


@ensureDeferred
async def test_a_journey(history: History) -> None:
    network = await first(history)
    found = await journeys.journey(history, network, bytes.fromhex(PACKAGE[2:]))
    assert found is not None
    # In order, though the clock of one is two seconds behind.
    assert [each.event_type for each in found.events] == [
        *(90, 94, 95, 97, 91, 94, 101, 102, 103, 105, 109),
    ]
    assert found.events[4].peer == "0x" + 64 * "4"
    assert [each.after_ms for each in found.events[:3]] == [None, 1.0, 1.0]
    assert found.events[5].node_id == Feed.node_id(2)
    assert found.guarantee is not None
    assert found.guarantee.nodes == 3
    (fetched,) = found.fetches
    assert (fetched.succeeded, fetched.failed, fetched.mean_ms) == (4, 1, 5.0)
    assert await journeys.journey(history, network, bytes(32)) is None
    other = await find_network(history, genesis(1))
    assert other is not None
    assert await journeys.journey(history, other, bytes.fromhex(PACKAGE[2:])) is None


@ensureDeferred
async def test_guarantees(history: History) -> None:
    network = await first(history)
    found = await guarantees.guarantees(history, network, NOW, NOW + 20, 0, 10)
    (guarantee,) = found.guarantees
    assert (guarantee.report, guarantee.slot, guarantee.validators) == (REPORT, FIRST_SLOT, [1, 2])
    (built,) = guarantee.builders
    assert (built.node_id, built.built) == (Feed.node_id(1), "2026-11-24T07:42:01.005000Z")
    assert (guarantee.receptions, guarantee.received.off_clock) == (3, 1)
    assert guarantee.received.corrected is not None
    assert guarantee.received.corrected.last_ms == 10.0
    assert guarantee.discarded == {"TooManyGuarantees": 1}
    none = await guarantees.guarantees(history, network, NOW, NOW + 20, 0, 10, slot=3)
    assert none.guarantees == []


@ensureDeferred
async def test_assurances(history: History) -> None:
    network = await first(history)
    found = await assurances.assurances(history, network, NOW, NOW + 30, 0, 10)
    (anchor,) = found.anchors
    assert (anchor.slot, anchor.senders, anchor.began) == (FIRST_SLOT + 1, 1, 1)
    assert (anchor.receptions, anchor.off_clock) == (3, 1)
    detail = await assurances.senders(history, network, ANCHOR, 0, 100)
    assert detail is not None
    (sender,) = detail.senders
    assert (sender.node_id, sender.in_window, sender.took_ms) == (Feed.node_id(1), True, 9.0)
    assert (sender.assured, sender.share) == (4, 0.25)
    assert sender.corrected is not None
    assert sender.corrected.greatest_ms == pytest.approx(40, rel=0.035)
    assert sender.corrected.p50_ms == pytest.approx(20, rel=0.035)
    beyond = await assurances.senders(history, network, ANCHOR, 1, 100)
    assert beyond is not None
    assert (detail.next, beyond.senders, beyond.next) == (None, [], None)
    assert await assurances.senders(history, network, bytes(32), 0, 100) is None


@ensureDeferred
async def test_health_has_reasons(history: History) -> None:
    found = await health.health(history, await first(history))
    kinds = {reason.kind: reason for reason in found.reasons}
    assert kinds["empty_slots"].severity == "degraded"
    assert kinds["empty_slots"].slots[-1] == FIRST_SLOT + 2
    assert kinds["forks"].slots == [FIRST_SLOT + 1]
    assert kinds["stuck_work_packages"].value == pytest.approx(1 / 3)
    assert kinds["off_clock"].value == 1
    assert found.verdict == "degraded"
    assert (found.newest_slot, found.newest_finalized) == (FIRST_SLOT + 3, FIRST_SLOT)


@ensureDeferred
async def test_health_of_what_was_not_heard_of_lately_is_unknown(
    history: History, clock: Clock
) -> None:
    clock.advance(900)
    found = await health.health(history, await first(history))
    assert found.verdict == "unknown"


@ensureDeferred
async def test_a_page_looks_at_so_many_packages_and_says_where_to_go_on(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_packages, "MOST_COUNTED", 2)
    network = await first(history)
    found = []
    before = 0
    for _ in range(3):
        page = await work_packages.work_packages(
            history, network, NOW, NOW + 20, before, 10, outcome="distributed"
        )
        assert not page.funnel.complete
        assert (page.funnel.packages, page.funnel.failed) == (2, 1)
        found += [each.work_package for each in page.work_packages]
        if page.next is None:
            break
        before = page.next
    assert found == [PACKAGE]
    assert page.next is None


def slot_of(number: int, importing: int, failed: int) -> slots.Slot:
    """A slot whose block so many nodes began to import, of which so many failed."""
    spread = Spread(nodes=importing, off_clock=0, reported=None, corrected=None)
    return slots.Slot(
        slot=number,
        began="",
        empty=False,
        fork=False,
        final=True,
        authors_tried=0,
        blocks=[],
        stages={"importing": spread},
        failures={"execution": failed} if failed else {},
    )


@pytest.mark.parametrize(
    ("failed", "severity"), [(20, None), (95, None), (105, "degraded"), (600, "failing")]
)
def test_a_few_nodes_of_many_that_fail_make_no_verdict(failed: int, severity: str | None) -> None:
    over = [slot_of(number, 1000, failed + number) for number in range(10)]
    found = list(health.failed_blocks(over))
    assert [reason.severity for reason in found] == ([] if severity is None else [severity])
    if found:
        assert found[0].slots[0] == 9
