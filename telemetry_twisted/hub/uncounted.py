"""What an ingestion process handed over and had not counted yet when it died."""

from __future__ import annotations

from collections import Counter
from typing import Any

from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.codec import FAILURE_TYPES
from telemetry_twisted.transport.records import Chunk, Facts, decode_runs

MOST_CHUNKS = 4096
"""Chunks that are remembered as they came; the oldest of more are counted and let go of."""

CHUNKS_AT_ONCE = 256
"""How many are counted then, so that it takes no more than a few milliseconds."""

_ROOTS = bytes(CHAINS.roots)
"""The types of events with which chains begin."""


class Uncounted:
    """Remembers what came over a link since its last ``COUNTS`` record.

    A process counts its events once a second. When it is killed meanwhile, the hub has received
    events that nobody has counted, and counts them from this. It holds types and handles alone,
    of some seconds at the most: a process that sends chunks sends ``COUNTS`` as well.

    ``begun`` is how many chains have begun in what was counted, by anybody.
    """

    def __init__(self) -> None:
        self.begun = 0
        self._chunks: list[tuple[bytes, bytes, int]] = []
        self._facts: list[bytes] = []  # thinned by the process, so few
        self._counts: dict[int, Counter[int]] = {}

    def chunk(self, chunk: Chunk) -> None:
        """``chunk`` has come."""
        self._chunks.append((chunk.run_table, chunk.types, chunk.received))
        if len(self._chunks) >= MOST_CHUNKS:
            self._count(CHUNKS_AT_ONCE)

    def facts(self, body: bytes) -> None:
        """A ``FACTS`` record has come."""
        self._facts.append(body)

    def counted(self) -> None:
        """A ``COUNTS`` record has come, which counts all that came before it."""
        types = b"".join(types for _, types, _ in self._chunks)
        self.begun += len(types) - len(types.translate(None, _ROOTS))
        for by_type in self._counts.values():
            self.begun += sum(by_type[root] for root in _ROOTS)
        self._chunks.clear()
        self._facts.clear()
        self._counts = {}

    def take(self) -> dict[str, Any] | None:
        """What came since then, in the form of a ``COUNTS`` record; None if there was nothing.

        It is as of when the last of it was read, and counts as ``unread`` the failures whose
        messages have not come.
        """
        if not self._chunks:
            return None
        received = self._chunks[-1][2]
        self._count(len(self._chunks))
        counts = self._counts
        failures: Counter[int] = Counter()
        for by_type in counts.values():
            failures.update({kind: by_type[kind] for kind in FAILURE_TYPES & by_type.keys()})
        for body in self._facts:
            failures.subtract(content[8] for _, content in Facts.decode(body).messages)
        self.counted()
        return {"received": received / 1_000_000, "counts": counts, "unread": +failures}

    def _count(self, number: int) -> None:
        """Count the oldest ``number`` chunks and let go of them."""
        types_by_handle: dict[int, list[bytes]] = {}
        for run_table, types, _ in self._chunks[:number]:
            at = 0
            for handle, count in decode_runs(run_table):
                types_by_handle.setdefault(handle, []).append(types[at : at + count])
                at += count
        for handle, pieces in types_by_handle.items():
            self._counts.setdefault(handle, Counter()).update(b"".join(pieces))
        del self._chunks[:number]
