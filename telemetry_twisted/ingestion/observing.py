"""What history is told of chains: what all streams of a process found in a second."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.clock import Now
from telemetry_twisted.jip3.codec import Codec, Following
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link

from .network_indexes import NetworkIndexes

SET_FROM = 500_000
"""By how many microseconds both clocks went on differently where the wall clock was set: less may
pass between looking at one and at the other."""


class ObservationReports:
    """Sends ``OBSERVATIONS``, and tells streams where to put them.

    :param codec: what the streams are of.
    :param clock: the one by which moments count seconds (:class:`~.moments.Moments`).
    :param now: tells the time that is written down.
    """

    def __init__(self, link: Link, codec: Codec, clock: IReactorTime, now: Now) -> None:
        self._link = link
        self._gatherer = codec.gatherer()
        self._clock = clock
        self._now = now
        self._networks = NetworkIndexes()
        self._told = self._microseconds()
        self._lasted = self._lasting()

    def following(self, connection: int, handle: int, genesis: str) -> Following:
        """For the stream of a connection: of the node with ``handle``, in the network of
        ``genesis`` (``0x`` and 64 hex digits)."""
        return Following(self._gatherer, handle, self._networks.enter(connection, genesis))

    def ended(self, connection: int) -> None:
        """A connection is over, and all that was found of it has been sent."""
        self._networks.leave(connection)

    def send(self) -> None:
        """Send what was found since the last call, if anything was; the turn is over."""
        began, self._told = self._told, self._microseconds()
        before, self._lasted = self._lasted, self._lasting()
        second = int(self._clock.seconds())
        body = self._gatherer.take(began, self._told, second, self._networks.hashes)
        clock_set = self._told - began - (self._lasted - before)
        if abs(clock_set) >= SET_FROM:
            told = Observations.decode(body) if body else Observations(began, self._told)
            body = evolve(told, clock_set=(clock_set,)).encode()
        if body:
            self._link.send(records.encode_record(records.OBSERVATIONS, body))

    def _microseconds(self) -> int:
        return int(self._now() * 1_000_000)

    def _lasting(self) -> int:
        return int(self._clock.seconds() * 1_000_000)
