"""Sends what the nodes of a reactor turn said: their events as chunks, and facts beside them.

None waits longer than the turn that read it. A turn of the pool is one; what transports read in an
iteration of the reactor is another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.clock import Now
from telemetry_twisted.jip3.codec import Fault, Stream
from telemetry_twisted.jip3.frames import each_frame
from telemetry_twisted.jip3.state_types import STATE_TYPES
from telemetry_twisted.transport.records import Facts

from .chunks import ChunkWriter
from .faults import FaultLedger
from .intake import Intake
from .moments import Moments
from .pool import NodePool

SEND_BYTES = 1 << 16
"""How much is in hand before it is sent although the turn goes on, so that pressure is felt."""


class Source:
    """An admitted node: its ``connection``, the ``handle`` that stands for it, its ``stream``, its
    ``faults``, and the ``intake`` of what its transport reads.

    What follows is since history was told: ``rate_limited`` counts messages that were passed over,
    ``failures`` by discriminator those that were passed on as facts; ``latest`` holds the newest of
    each state, as message contents by discriminator, and ``waiting`` those of them that were not
    passed on.
    """

    def __init__(
        self, connection: int, handle: int, stream: Stream, faults: FaultLedger, intake: Intake
    ) -> None:
        self.connection = connection
        self.handle = handle
        self.stream = stream
        self.faults = faults
        self.intake = intake
        self.rate_limited = 0
        self.failures: Counter[int] = Counter()
        self.latest: dict[int, bytes] = {}
        self.waiting: dict[int, bytes] = {}

    def passed_on(self, facts: bytes) -> None:
        """Frames of facts are sent."""
        for content in each_frame(facts):
            kind = content[8]
            if kind in STATE_TYPES:
                self.latest[kind] = content
                self.waiting.pop(kind, None)
            else:
                self.failures[kind] += 1

    def held_back(self, newest: bytes) -> None:
        """Frames of the newest states are not sent, or not yet."""
        for content in each_frame(newest):
            self.latest[content[8]] = self.waiting[content[8]] = content


class Assembler:
    """Opens and ends turns, and knows the sources of which something came.

    ``rate_limited`` counts messages that were passed over, as far as :meth:`take_changed` was told;
    ``moments`` makes those at which turns begin.

    :param send: takes records, or pieces of them.
    :param writer: writes the chunks.
    :param pool: reads into ``writer`` as well, in turns that :meth:`begin_turn` opens; or None.
    :param clock: tells when an iteration of the reactor is over.
    :param now: tells the time that events are stamped with.
    """

    def __init__(
        self,
        send: Callable[..., None],
        writer: ChunkWriter,
        pool: NodePool | None,
        clock: IReactorTime,
        now: Now,
    ) -> None:
        self.rate_limited = 0
        self._send = send
        self._writer = writer
        self._pool = pool
        self._clock = clock
        self.moments = Moments(now, clock)
        self._turn_open = False
        self._received_micros = 0
        self._facts: list[tuple[int, bytes]] = []
        self._sources: dict[int, Source] = {}
        self._changed: dict[Source, None] = {}  # one for each node; emptied every second

    @property
    def events(self) -> int:
        """How many events were given ids."""
        return self._writer.events

    def begin_after(self, last_id: int) -> None:
        """Give only ids above ``last_id`` from now on, in the same steps."""
        self._writer.begin_after(last_id)

    def add(self, source: Source) -> None:
        """There will be something of ``source``."""
        self._sources[source.connection] = source

    def forget(self, source: Source) -> None:
        """There will be nothing more of ``source``, and what there was has been told."""
        del self._sources[source.connection]

    def feed(self, source: Source, data: bytes) -> int:
        """Take the whole frames of ``data``, which a transport has read.

        :returns: the offset of the first byte not consumed.
        :raises FrameTooLong: if the first frame is too long.
        """
        if not self._turn_open:
            self.begin_turn()
            self._clock.callLater(0, self.end_turn)
        self._changed[source] = None
        end, _, facts, newest, faults = source.intake.feed(data, self._clock.seconds())
        self._tell(source, facts, newest, faults)
        if self._writer.size >= SEND_BYTES:
            self._send(*self._writer.take())
        return end

    def tell(self, connection: int, facts: bytes, newest: bytes, faults: list[Fault]) -> None:
        """What the pool saw of a source (:class:`.pool.Told`)."""
        self._tell(self._sources[connection], facts, newest, faults)

    def _tell(self, source: Source, facts: bytes, newest: bytes, faults: list[Fault]) -> None:
        if facts:
            self._facts.append((source.handle, facts))
            source.passed_on(facts)
        if newest:
            source.held_back(newest)
        if faults:
            source.faults.enter(faults)

    def take_changed(self) -> Iterable[Source]:
        """The nodes of which something came since the last call."""
        changed, self._changed = self._changed, {}
        for source in changed:
            self._pass_over(source, source.intake.take_passed_over())
        for connection, passed_over in self._pool.take_changed() if self._pool is not None else ():
            known = self._sources.get(connection)
            if known is not None:
                changed[known] = None
                self._pass_over(known, passed_over)
        return changed

    def _pass_over(self, source: Source, messages: int) -> None:
        source.rate_limited += messages
        self.rate_limited += messages

    def begin_turn(self) -> None:
        """What is read from now on was read now, unless a turn is open already."""
        if self._turn_open:
            return
        self._turn_open = True
        moment, self._received_micros, read = self.moments.now()
        self._writer.begin_turn(moment, self._received_micros, read)

    def turn_began(self, received: int) -> None:
        """The turn that is open began later than that, at ``received`` in microseconds."""
        self._received_micros = received

    def end_turn(self) -> None:
        """Send what this turn has gathered."""
        self._turn_open = False
        pieces = self._writer.take()
        if self._facts:
            pieces.append(Facts(self._received_micros, tuple(self._facts)).encode())
            self._facts = []
        if pieces:
            self._send(*pieces)
