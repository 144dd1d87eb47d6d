"""What a run has sent, as JSON and as text, to compare with what a server received."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define

from .accounting import Accounting
from .network import Network
from .prepared import Failure
from .sums import Sums
from .tally import Tally
from .telling import tell_sums


@define
class Summary:
    """A run that took ``seconds``, and how its connections ended.

    ``tallies`` holds the index of the node and what it sent, for each of the ``connected``
    connections. ``refused`` ones were never made; ``lost`` ones ended before their nodes had
    finished, so that some of what was handed to them may not have arrived.
    """

    network: Network
    seconds: float
    tallies: Sequence[tuple[int, Tally]] = ()
    refused: int = 0
    lost: int = 0

    @property
    def connected(self) -> int:
        """Connections that were made."""
        return len(self.tallies)

    @property
    def events(self) -> int:
        """Events of all nodes."""
        return sum(tally.events for _, tally in self.tallies)

    @property
    def bytes(self) -> int:
        """Bytes of the events of all nodes, with their lengths, without node information."""
        return sum(tally.bytes for _, tally in self.tallies)

    def names(self) -> Counter[str]:
        """How many events of each type, over all nodes."""
        return self._together().names()

    def failures(self) -> Counter[Failure]:
        """How many failures of each type and reason, over all nodes."""
        return self._together().failures()

    def best(self) -> dict[int, list[int]]:
        """For each slot, when nodes reported ``BestBlockChanged``; microseconds, in order."""
        return _by_slot(tally.best for _, tally in self.tallies)

    def finalized(self) -> dict[int, list[int]]:
        """For each slot, when nodes reported ``FinalizedBlockChanged``; microseconds, in order."""
        return _by_slot(tally.finalized for _, tally in self.tallies)

    def sums(self) -> Sums:
        """What the events of all nodes add up to, of those that kept an account."""
        return Accounting.sums_of(
            tally.accounting for _, tally in self.tallies if tally.accounting is not None
        )

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON, times in microseconds of the JAM Common Era."""
        best, finalized = self.best(), self.finalized()
        return {
            "seed": self.network.seed,
            "start": self.network.start,
            "nodes": self.network.nodes,
            "seconds": round(self.seconds, 3),
            "events": self.events,
            "bytes": self.bytes,
            "connections": {
                "connected": self.connected,
                "refused": self.refused,
                "lost": self.lost,
            },
            "counts": dict(sorted(self.names().items())),
            "failures": _failures(self.failures()),
            "node_events": self._node_events(),
            "slots": {
                str(slot): {
                    "best": best.get(slot, []),
                    "finalized": finalized.get(slot, []),
                }
                for slot in sorted({*best, *finalized})
            },
            **tell_sums(self.sums()),
            "sent": [self._sent(index, tally) for index, tally in self.tallies],
        }

    def as_text(self) -> str:
        """A few lines for people."""
        rate = self.events / self.seconds if self.seconds else 0
        lines = [
            f"{self.events:,} events ({self.bytes / 1e6:,.1f} MB) from {self.connected:,} nodes "
            f"in {self.seconds:,.1f} s: {rate:,.0f} events/s"
        ]
        names = self.names()
        most = names.most_common(10)
        lines += [f"{count:>14,}  {name}" for name, count in most]
        if others := len(names) - len(most):
            rest = sum(names.values()) - sum(count for _, count in most)
            lines.append(f"{rest:>14,}  in {others} other event types")
        lines.append(f"{sum(self.failures().values()):>14,}  with a reason, most of them failures")
        return "\n".join(lines)

    def _sent(self, index: int, tally: Tally) -> dict[str, Any]:
        """What was sent on one connection."""
        return {
            "node_id": self.network.node_id(index),
            "clock_offset": self.network.clock_offset(index),
            "whole": tally.is_whole,
            "ended": tally.ended,
            "counts": dict(sorted(tally.names().items())),
            "failures": _failures(tally.failures()),
            "best": {str(slot): time for slot, time in tally.best.items()},
            "finalized": {str(slot): time for slot, time in tally.finalized.items()},
            "dropped": dict(tally.dropped),
            "faults": [
                {"kind": fault.kind, "event_type": fault.discriminator, "count": count}
                for fault, count in sorted(tally.faults.items())
            ],
        }

    def _node_events(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for index, tally in self.tallies:
            counts[self.network.node_id(index)] += tally.events
        return dict(counts)

    def _together(self) -> Tally:
        together = Tally()
        for _, tally in self.tallies:
            together.absorb(tally)
        return together


def _failures(counts: Mapping[Failure, int]) -> list[dict[str, Any]]:
    return [
        {"event_type": name, "reason": reason, "count": count}
        for (name, reason), count in sorted(counts.items())
    ]


def _by_slot(times: Iterable[Mapping[int, int]]) -> dict[int, list[int]]:
    slots: defaultdict[int, list[int]] = defaultdict(list)
    for by_slot in times:
        for slot, time in by_slot.items():
            slots[slot].append(time)
    return {slot: sorted(slots[slot]) for slot in sorted(slots)}
