"""The work packages that are under way, each a journey through all its guarantors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from telemetry_twisted.jip3.natural import decode_natural
from telemetry_twisted.jip3.observed import Sighting
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.jip3.values import DecodeError, decode_event

from .fields import TYPE, picker, time_of
from .going_on import GoingOn, Link
from .journey import (
    DISTRIBUTED,
    DUPLICATE,
    FAILED,
    SHARE,
    SIGNED,
    SUBMISSION,
    Journey,
    Part,
)
from .opened import Opened
from .recent import Recent
from .reporters import Reporter

MOST_JOURNEYS = 40_000
"""Journeys that are open at once, of all networks: a full one begins 57 in a second."""

MOST_CHAINS = 4096
"""Submissions and shares of one connection that go on at once, as many as are followed."""

MOST_SERVICES = 16
"""Services of a work package; it has no more items."""

JourneyKey = tuple[str, bytes]
"""A genesis hash, and the hash of a work package. While that is not known there is more in its
place: the bytes of the node ID, the connection, and the ID of the event that began it."""

_RECEIVED, _BUILT_REPORT, _BUILT = 94, 102, 105
_TELLING = frozenset((SUBMISSION, _BUILT_REPORT, _BUILT, _RECEIVED))
_ENDING = frozenset((FAILED, DUPLICATE, SIGNED, DISTRIBUTED))
_submission = picker(SUBMISSION, "builder")
_received = picker(_RECEIVED, "core", "work_package_hash")
_duplicate = picker(DUPLICATE, "core", "hash")
_report = picker(_BUILT_REPORT, "work_report_hash", "erasure_root")
_built = picker(_BUILT, "slot")

_PEERS = {
    kind: picker(kind, name)
    for kind, name in {
        SHARE: "primary",
        98: "secondary",
        99: "secondary",
        100: "secondary",
        104: "secondary",
        106: "recipient",
        162: "assurer",
    }.items()
}
"""Picks the other node of an event that has one."""


def _places_of_reasons() -> Mapping[int, int]:
    """Where in a message's content the text begins that says why something failed, by type."""
    return {
        kind: place
        for kind, event in TABLE.events.items()
        if event.has_reason and (place := event.offset_of("reason")) is not None
    }


_REASONS = _places_of_reasons()


def _text(content: bytes, place: int) -> str:
    size, begin = decode_natural(content, place, len(content))
    text = content[begin : begin + min(size, 4 * 128)].decode("utf-8", "replace")
    return text.replace("\0", "\ufffd")[:128]


class Journeys(Opened[JourneyKey, Journey]):
    """The journeys that are under way.

    ``ended`` counts those that ended lately, by the stages that they had reached and their outcome.

    :param lost: where is counted what cannot be taken.
    """

    def __init__(self, lost: Counter[str]) -> None:
        super().__init__("journeys", MOST_JOURNEYS, lost)
        self.ended: Recent[tuple[int, str]] = Recent()
        self._chains: GoingOn[tuple[JourneyKey, Part]] = GoingOn(MOST_CHAINS)

    def see(self, reporter: Reporter, sighting: Sighting) -> None:
        """Take an event of a node, of a chain whose top is a work package's.

        :raises struct.error: if its content is too short.
        :raises ValueError: if a text in it is cut short.
        """
        chain = self._chains.get(reporter.link, sighting.top_id)
        if chain is None:
            if sighting.event_id != sighting.top_id:
                # Its beginning was withheld, or the journey is over.
                self._lost["journey_sightings"] += 1
                return
            chain = self._begin(reporter, sighting)
        key, part = chain
        kind, content = sighting.content[TYPE], sighting.content
        journey = self.get(key)
        if journey is None or journey.closed is not None:
            self._lost["late_journeys"] += 1
            return
        if kind in (_RECEIVED, DUPLICATE):
            pick = _received if kind == _RECEIVED else _duplicate
            _, core, hash = pick(content)
            named = self._named(reporter, key, part, journey, hash, sighting.arrived)
            if named is None:
                return
            key, journey = named
            journey.core = core
        if kind in _TELLING:
            self._learn(journey, reporter, kind, content)
        elif kind in _ENDING:
            self._end(journey, part, kind, content)
        note = self._note(journey, kind, content)
        journey.add(reporter, kind, note, time_of(content), sighting.arrived, sighting.event_id)
        self.changed(key, sighting.arrived)

    def _begin(self, reporter: Reporter, sighting: Sighting) -> tuple[JourneyKey, Part]:
        """A part of a journey begins: its key, which does not tell the package yet, and itself."""
        part = Part(reporter.node, reporter.connection, sighting.top_id, sighting.top_type)
        key = (
            reporter.network,
            b"".join(
                (
                    bytes.fromhex(reporter.node),
                    reporter.connection.to_bytes(8, "big"),
                    sighting.top_id.to_bytes(8, "big"),
                )
            ),
        )
        arrived = sighting.arrived
        self.open(key, Journey(arrived, arrived, parts=[part]), arrived)
        self._chains.put(reporter.link, sighting.top_id, (key, part))
        return key, part

    def _named(
        self,
        reporter: Reporter,
        key: JourneyKey,
        part: Part,
        journey: Journey,
        hash: bytes,
        arrived: int,
    ) -> tuple[JourneyKey, Journey] | None:
        """The journey of the package ``hash``, which ``part`` of another turned out to be about;
        None if that is over."""
        named = key[0], hash
        if named == key:
            return key, journey
        if len(key[1]) == len(hash):
            return key, journey  # a second name for what has one
        there = self.get(named)
        if there is None:
            if self.is_late(named):
                return None
            there = Journey(journey.first, arrived)
            self.open(named, there, arrived)
        elif there.closed is not None:
            self._lost["late_journeys"] += 1
            return None
        there.absorb(journey)
        self.supersede(key)
        self._chains.put(reporter.link, part.top, (named, part))
        return named, there

    def _learn(self, journey: Journey, reporter: Reporter, kind: int, content: bytes) -> None:
        if kind == SUBMISSION:
            _, journey.builder = _submission(content)
        elif kind == _BUILT_REPORT:
            _, journey.report, journey.erasure_root = _report(content)
        elif kind == _BUILT:
            _, journey.slot = _built(content)
        elif kind == _RECEIVED and not journey.services:
            try:
                event = decode_event(content, reporter.cores, reporter.version)
            except DecodeError:
                return  # not all of it is here
            items = event.fields["outline"]["work_items"]
            services = [item["service_id"] for item in items]
            journey.services = services[:MOST_SERVICES]

    def _end(self, journey: Journey, part: Part, kind: int, content: bytes) -> None:
        if kind == FAILED:
            part.outcome = "failed"
            journey.reason = _text(content, _REASONS[FAILED])
        elif kind == DUPLICATE:
            if part.top_type == SUBMISSION:  # a share goes on
                part.outcome = "duplicate"
        elif kind == SIGNED:
            part.outcome = "shared"
        elif kind == DISTRIBUTED:
            part.outcome = "distributed"

    def _note(self, journey: Journey, kind: int, content: bytes) -> int:
        if kind in _REASONS:
            return journey.note(_text(content, _REASONS[kind]))
        pick = _PEERS.get(kind)
        return journey.note(pick(content)[1].hex()) if pick is not None else 0

    def gone(self, link: Link, now: int) -> None:
        """The connection of a node has ended, and all that went on in it."""
        for key, part in self._chains.gone(link):
            if not part.outcome:
                part.outcome = "unfinished"
                journey = self.get(key)
                if journey is not None and journey.closed is None:
                    self.changed(key, max(journey.last, now))

    def _close(self, key: JourneyKey, now: int) -> None:
        super()._close(key, now)
        journey = self._open[key]
        if not journey.superseded:
            self.ended.add(key[0], (journey.stages, journey.outcome or ""), 1, now)

    def settle(self, now: float) -> None:
        """Let go of what is over at ``now``, in seconds."""
        super().settle(now)
        self._chains.settle(lambda chain: chain[0] in self)

    def go_on(self, key: JourneyKey, journey: Journey) -> None:
        """Go on with a journey that a run before has written; nothing was taken of it since."""
        self.resume(key, journey)
        for part in journey.parts:
            if not part.outcome:
                self._chains.put((part.node, part.connection), part.top, (key, part))
