"""What an operator should look at: conditions that begin, hold, and end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import define, frozen

from .missed import MissedNodes
from .nodes import Node


@frozen
class Thresholds:
    """When each kind of alert begins; 0 means never.

    ``node_gone``, ``not_synced`` and ``finality`` are in seconds, ``behind`` in slots,
    ``decode_errors`` and ``lagging`` in events per minute, ``store`` in seconds of trouble.
    """

    node_gone: int = 30
    not_synced: int = 60
    behind: int = 5
    finality: int = 60
    decode_errors: int = 10
    lagging: int = 1
    store: int = 30


@define
class Alert:
    """Something that holds now. ``kind`` and ``subject`` say what it is the same as before."""

    kind: str
    subject: str | None
    value: float
    threshold: float
    message: str


@frozen
class Situation:
    """What alerts are made of at a moment, ``now`` by the clock of durations, ``time`` as shown.

    ``decode_errors`` and ``lagged`` are counted from the server's start in events, the latter by
    subscriber; ``store_trouble`` is for how many seconds history has not been written as it should.
    """

    now: float
    time: str
    nodes: Iterable[Node]
    decode_errors: int
    lagged: dict[str, int]
    store_trouble: float
    store_state: str


class AlertBook:
    """Keeps the alerts that hold, and knows since when."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._open: dict[tuple[str, str | None], dict[str, Any]] = {}
        self.ended: list[dict[str, Any]] = []
        self._missed = MissedNodes()
        self._unsynced: dict[str, float] = {}
        self._finalized: tuple[int, float] = (-1, 0.0)
        self._minute: list[tuple[float, int, dict[str, int]]] = []

    @property
    def current(self) -> list[dict[str, Any]]:
        """The alerts that hold now, oldest first."""
        return list(self._open.values())

    def look(self, situation: Situation) -> bool:
        """Begin and end alerts; True if the set of them has changed.

        Those that ended are in ``ended`` until the next call.
        """
        holding = {(each.kind, each.subject): each for each in self._conditions(situation)}
        time = situation.time
        self.ended = [
            {**self._open.pop(key), "ended": situation.time}
            for key in self._open.keys() - holding.keys()
        ]
        begun = holding.keys() - self._open.keys()
        for key, condition in holding.items():
            alert = self._open.setdefault(
                key,
                {"kind": condition.kind, "subject": condition.subject, "started": time},
            )
            alert.update(
                value=condition.value,
                threshold=condition.threshold,
                message=condition.message,
                ended=None,
            )
        return bool(begun or self.ended)

    def _conditions(self, situation: Situation) -> Iterator[Alert]:
        nodes = list(situation.nodes)
        yield from self._gone(nodes, situation.now)
        yield from self._not_synced(nodes, situation.now)
        yield from self._behind(nodes)
        yield from self._finality(nodes, situation.now)
        yield from self._rates(situation)
        yield from self._store(situation)

    def _gone(self, nodes: list[Node], now: float) -> Iterator[Alert]:
        self._missed.look((node.node_id for node in nodes), now)
        for node_id, seconds in self._missed.gone(now):
            if 0 < self._thresholds.node_gone <= seconds:
                yield Alert(
                    "node_gone",
                    node_id,
                    int(seconds),
                    self._thresholds.node_gone,
                    f"node {node_id} has been gone for {seconds:.0f} s",
                )

    def _not_synced(self, nodes: list[Node], now: float) -> Iterator[Alert]:
        unsynced = {node.node_id for node in nodes if node.synced is False}
        self._unsynced = {node_id: self._unsynced.get(node_id, now) for node_id in unsynced}
        for node_id, since in self._unsynced.items():
            seconds = now - since
            if 0 < self._thresholds.not_synced <= seconds:
                yield Alert(
                    "not_synced",
                    node_id,
                    int(seconds),
                    self._thresholds.not_synced,
                    f"node {node_id} has not been in sync for {seconds:.0f} s",
                )

    def _behind(self, nodes: list[Node]) -> Iterator[Alert]:
        slots = {node.node_id: node.best["slot"] for node in nodes if node.best is not None}
        if not slots or not self._thresholds.behind:
            return
        best = _network_slot(slots.values())
        for node_id, slot in slots.items():
            if best - slot > self._thresholds.behind:
                yield Alert(
                    "behind",
                    node_id,
                    best - slot,
                    self._thresholds.behind,
                    f"node {node_id} is {best - slot} slots behind the network's best block",
                )

    def _finality(self, nodes: list[Node], now: float) -> Iterator[Alert]:
        slots = [node.finalized["slot"] for node in nodes if node.finalized is not None]
        if not slots:
            self._finalized = (-1, now)
            return
        newest = _network_slot(slots)
        if newest > self._finalized[0]:
            self._finalized = (newest, now)
        seconds = now - self._finalized[1]
        if 0 < self._thresholds.finality <= seconds:
            yield Alert(
                "finality_stalled",
                None,
                int(seconds),
                self._thresholds.finality,
                f"no block after slot {newest} has been finalized for {seconds:.0f} s",
            )

    def _rates(self, situation: Situation) -> Iterator[Alert]:
        self._minute.append((situation.now, situation.decode_errors, dict(situation.lagged)))
        while situation.now - self._minute[0][0] > 60:
            del self._minute[0]
        _, errors_before, lagged_before = self._minute[0]
        errors = situation.decode_errors - errors_before
        if 0 < self._thresholds.decode_errors <= errors:
            yield Alert(
                "decode_errors",
                None,
                errors,
                self._thresholds.decode_errors,
                f"{errors} events of the last minute could not be decoded",
            )
        for peer, total in situation.lagged.items():
            events = total - lagged_before.get(peer, 0)
            if 0 < self._thresholds.lagging <= events:
                yield Alert(
                    "subscriber_lagging",
                    peer,
                    events,
                    self._thresholds.lagging,
                    f"subscriber {peer} missed {events} events in the last minute",
                )

    def _store(self, situation: Situation) -> Iterator[Alert]:
        seconds = situation.store_trouble
        if 0 < self._thresholds.store <= seconds:
            yield Alert(
                "store_behind",
                None,
                int(seconds),
                self._thresholds.store,
                f"history has not been written for {seconds:.0f} s ({situation.store_state})",
            )


def _network_slot(slots: Iterable[int]) -> int:
    """The slot that a twentieth of the nodes have reached, so that one liar does not set it."""
    ordered = sorted(slots, reverse=True)
    return ordered[len(ordered) // 20]
