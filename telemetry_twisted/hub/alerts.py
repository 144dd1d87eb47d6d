"""What an operator should look at: conditions that begin, hold, and end."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from telemetry_twisted.jip3.moment import SLOT, SLOTS_AHEAD
from telemetry_twisted.majority import majority_slot
from telemetry_twisted.turns import pieces

from . import kinds
from .kinds import KINDS, Found, Group, Kind
from .missed import MissedNodes
from .network_alerts import Since, look_at_networks, look_for_silent
from .situation import Situation, Thresholds

MARK_SECONDS = 5.0
"""How often it is noted what was counted so far, of which alerts take the last minute."""


Newest = dict[str, tuple[int, float]]
"""By network, the newest slot of most of its nodes, and since when it is."""


class AlertBook:
    """Keeps the alerts that hold, one of a kind, and knows since when each subject is among them.

    What it remembers is of nodes that are connected or missed, of their networks, and of
    subscribers: of each there is a bound. After each look, ``current`` are the alerts that hold,
    and ``begun`` and ``ended`` tell of the subjects that were not among them, or are not any more.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self.current: list[dict[str, Any]] = []
        self.begun: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []
        self._thresholds = thresholds
        self._open: dict[Kind, tuple[Found, dict[str | None, str]]] = {}
        self._missed = MissedNodes()
        self._unsynced: dict[str, float] = {}
        self._best: Newest = {}
        self._finalized: Newest = {}
        self._differing: Since = {}
        self._minute: list[tuple[float, int, dict[str, int]]] = []

    @property
    def changed(self) -> bool:
        """Whether the last look found that anything has begun or ended."""
        return bool(self.begun or self.ended)

    def counts(self) -> dict[str, int]:
        """Of each kind of alert, how many nodes, subscribers or others it holds of now."""
        held = {alert["kind"]: alert["count"] for alert in self.current}
        return {kind.name: held.get(kind.name, 0) for kind in KINDS}

    def look(self, situation: Situation) -> Iterator[None]:
        """Begin and end alerts, in steps; one look at a time."""
        found: dict[Kind, Found] = {}
        for steps in (self._nodes, self._rates, self._store):
            yield from steps(situation, found)
        yield from look_at_networks(self._thresholds, situation, found, self._differing)
        yield from look_for_silent(self._thresholds, situation, found)
        kept, current, begun, ended = {}, [], [], []
        for kind in KINDS:
            held = found.get(kind, Found(0))
            before, since = self._open.get(kind, (held, {}))
            holding: dict[str | None, str] = {}
            whole, new, over = Group(), Group(), Group()
            for piece in pieces(held.values.items()):
                for subject, value in piece:
                    holding[subject] = started = since.get(subject, situation.time)
                    whole.add(subject, value, started)
                    if subject not in since:
                        new.add(subject, value, started)
                yield
            for subjects in pieces(since):
                for subject in subjects:
                    if subject not in holding:
                        over.add(subject, before.values[subject], since[subject])
                yield
            if whole.count:
                kept[kind] = held, holding
                current.append(whole.alert(kind, held))
            if new.count:
                begun.append(new.alert(kind, held))
            if over.count:
                ended.append(over.alert(kind, before, situation.time))
        self._open, self.current, self.begun, self.ended = kept, current, begun, ended

    def _nodes(self, situation: Situation, found: dict[Kind, Found]) -> Iterator[None]:
        """What holds of nodes, and of the networks that they make."""
        now = situation.now
        present: dict[str, None] = {}  # a set that keeps their order
        unsynced: dict[str, float] = {}
        best: dict[str, dict[str, int]] = {}
        finalized: dict[str, list[int]] = {}
        ahead = Found(SLOTS_AHEAD)
        for piece in pieces(situation.nodes):
            for node in piece:
                node_id = node.node_id
                present[node_id] = None
                if node.synced is False:
                    unsynced[node_id] = self._unsynced.get(node_id, now)
                slots = [
                    block["slot"] for block in (node.best, node.finalized) if block is not None
                ]
                if slots and max(slots) > situation.newest_slot:
                    ahead.values[node_id] = max(slots) - situation.newest_slot + SLOTS_AHEAD
                    continue
                if node.best is not None:
                    best.setdefault(node.network, {})[node_id] = node.best["slot"]
                if node.finalized is not None:
                    finalized.setdefault(node.network, []).append(node.finalized["slot"])
            yield
        self._unsynced = unsynced
        if self._thresholds.behind:
            found[kinds.AHEAD] = ahead
            yield from self._behind(best, found)
        yield from self._gone(present, now, found)
        yield from self._not_synced(now, found)
        self._best = _newest({of: each.values() for of, each in best.items()}, now, self._best)
        self._no_block(now, found)
        self._finalized = _newest(finalized, now, self._finalized)
        self._finality(now, found)

    def _behind(self, best: dict[str, dict[str, int]], found: dict[Kind, Found]) -> Iterator[None]:
        """Each node is behind the others of its own network."""
        behind = found[kinds.BEHIND] = Found(self._thresholds.behind)
        for of_network in best.values():
            newest = majority_slot(of_network.values())
            for piece in pieces(of_network.items()):
                for node_id, slot in piece:
                    if newest is not None and newest - slot > behind.threshold:
                        behind.values[node_id] = newest - slot
                yield

    def _gone(
        self, present: Collection[str], now: float, found: dict[Kind, Found]
    ) -> Iterator[None]:
        yield from self._missed.look(present, now)
        gone = found[kinds.NODE_GONE] = Found(self._thresholds.node_gone)
        for node_id, seconds in self._missed.gone(now):
            if 0 < gone.threshold <= seconds:
                gone.values[node_id] = seconds

    def _not_synced(self, now: float, found: dict[Kind, Found]) -> Iterator[None]:
        not_synced = found[kinds.NOT_SYNCED] = Found(self._thresholds.not_synced)
        for piece in pieces(self._unsynced.items()):
            for node_id, since in piece:
                if 0 < not_synced.threshold <= now - since:
                    not_synced.values[node_id] = now - since
            yield

    def _no_block(self, now: float, found: dict[Kind, Found]) -> None:
        no_block = found[kinds.NO_BLOCK] = Found(self._thresholds.no_block)
        for network, (newest, since) in self._best.items():
            missed = int((now - since) * 1_000_000) // SLOT
            if 0 < no_block.threshold < missed:
                no_block.values[network] = missed
                no_block.note = str(newest)

    def _finality(self, now: float, found: dict[Kind, Found]) -> None:
        stalled = found[kinds.FINALITY_STALLED] = Found(self._thresholds.finality)
        for network, (newest, since) in self._finalized.items():
            if 0 < stalled.threshold <= now - since:
                stalled.values[network] = now - since
                stalled.note = str(newest)

    def _rates(self, situation: Situation, found: dict[Kind, Found]) -> Iterator[None]:
        now, minute = situation.now, self._minute
        if not minute or now - minute[-1][0] >= MARK_SECONDS:
            lagged = {peer: total for peer, total in situation.lagged.items() if total}
            minute.append((now, situation.decode_errors, lagged))
        while now - minute[0][0] > 60 and len(minute) > 1:
            del minute[0]
        _, errors_before, lagged_before = minute[0]
        errors = situation.decode_errors - errors_before
        if 0 < self._thresholds.decode_errors <= errors:
            found[kinds.DECODE_ERRORS] = Found(self._thresholds.decode_errors, {None: errors})
        lagging = found[kinds.SUBSCRIBER_LAGGING] = Found(self._thresholds.lagging)
        for piece in pieces(situation.lagged.items()):
            for peer, total in piece:
                events = total - lagged_before.get(peer, 0)
                if 0 < lagging.threshold <= events:
                    lagging.values[peer] = events
            yield

    def _store(self, situation: Situation, found: dict[Kind, Found]) -> Iterator[None]:
        seconds = situation.store_trouble
        if 0 < self._thresholds.store <= seconds:
            found[kinds.STORE_BEHIND] = Found(
                self._thresholds.store, {None: seconds}, situation.store_state
            )
        yield


def _newest(slots: Mapping[str, Collection[int]], now: float, before: Newest) -> Newest:
    """The newest slot of most nodes of each network, and since when, which were ``before``."""
    found: Newest = {}
    for network, of_nodes in slots.items():
        newest = majority_slot(of_nodes)
        assert newest is not None
        known = before.get(network, (-1, now))
        found[network] = (newest, now) if newest > known[0] else known
    return found
