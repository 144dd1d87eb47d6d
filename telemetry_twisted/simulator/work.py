"""Work packages and their reports.

All is a pure function of the seed, a slot and a core, so that the three guarantors of a package,
and whoever is sent its report or asks for its shards, speak of the same hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from attrs import frozen

from .blockchain import SECOND, SLOT, digest, slot_hash

_FATES = ("duplicate", "unauthorized", "unshared", "known") + 26 * ("guaranteed",)


GUARANTORS = 3
"""Validators that work on one core."""


@frozen
class Report:
    """The hashes around the work package of ``core`` in ``slot``."""

    seed: int
    core: int
    slot: int

    def _hash(self, what: str) -> bytes:
        return slot_hash(self.slot, self.seed, what, self.core)

    @property
    def package(self) -> bytes:
        """The work package hash."""
        return self._hash("package")

    @property
    def hash(self) -> bytes:
        """The work report hash."""
        return self._hash("report")

    @property
    def erasure_root(self) -> bytes:
        """The root of the shards of its bundle."""
        return self._hash("erasure")

    @property
    def segments_root(self) -> bytes:
        """The root of the segments that it exports."""
        return self._hash("segments")


@frozen
class Package:
    """A work package, submitted to a core in a slot.

    ``start`` is when it is submitted, in microseconds; ``builder`` and ``guarantors`` (primary
    first) are peer IDs; ``exporter`` is the report whose segments it imports; ``outline``,
    ``report_outline`` and ``guarantee`` are what events say of the package, its report and its
    guarantee. ``fate`` is how it ends: ``guaranteed`` for most; ``duplicate`` and ``unauthorized``
    end at the primary; ``unshared`` fails at the last secondary; ``known`` had reached the first
    secondary before; of ``stuck`` ones nothing is heard once the work is done.
    """

    report: Report
    exporter: Report
    start: int
    builder: bytes
    guarantors: tuple[bytes, bytes, bytes]
    outline: dict[str, Any]
    report_outline: dict[str, Any]
    guarantee: dict[str, Any]
    fate: str

    @property
    def imports(self) -> int:
        """How many segments it imports."""
        return sum(len(item["imports"]) for item in self.outline["work_items"])


def guarantors_of(core: int, rotation: int, validators: int) -> list[int]:
    """The indices of the validators that work on ``core`` after ``rotation`` moves.

    They are the primary in turn: the first in slot 0, the second in slot 1.
    """
    first = GUARANTORS * core - rotation
    return [(first + place) % validators for place in range(GUARANTORS)]


def make_package(
    report: Report, anchor: bytes, guarantors: Sequence[int], peer_ids: Sequence[bytes]
) -> Package:
    """The package behind ``report``; ``guarantors`` are validator indices, primary first."""
    seed, core, slot = report.seed, report.core, report.slot
    random = Random(f"{seed}/package/{slot}/{core}")
    primary, first, second = (peer_ids[index] for index in guarantors)
    exporter = Report(seed, core, slot - 2)
    before = Report(seed, core, slot - 1)
    return Package(
        report=report,
        exporter=exporter,
        start=slot * SLOT + random.randrange(4 * SECOND),
        builder=digest(seed, "builder", random.randrange(64)),
        guarantors=(primary, first, second),
        outline={
            "work_package_size": random.randrange(500, 50_000),
            "work_package_hash": report.package,
            "anchor": anchor,
            "lookup_anchor_slot": slot - 10,
            "prerequisites": random.choice(([], [], [], [before.package])),
            "work_items": [
                _work_item(random, exporter.segments_root) for _ in range(random.randrange(1, 4))
            ],
        },
        report_outline={
            "work_report_hash": report.hash,
            "bundle_size": random.randrange(5_000, 2_000_000),
            "erasure_root": report.erasure_root,
            "segments_root": report.segments_root,
        },
        guarantee={
            "work_report_hash": report.hash,
            "slot": slot,
            "guarantors": sorted(guarantors),
        },
        fate=random.choice(_FATES),
    )


def _work_item(random: Random, segments_root: bytes) -> dict[str, Any]:
    return {
        "service_id": random.randrange(1, 4_000),
        "payload_size": random.randrange(20, 5_000),
        "refine_gas_limit": random.randrange(10**6, 10**9),
        "accumulate_gas_limit": random.randrange(10**5, 10**7),
        "sum_of_extrinsic_lengths": random.randrange(0, 10_000),
        "imports": [
            {"root_identifier": {"SegmentsRoot": segments_root}, "export_index": index}
            for index in range(random.choice((0, 0, 1, 4)))
        ],
        "num_exported_segments": random.randrange(0, 8),
    }
