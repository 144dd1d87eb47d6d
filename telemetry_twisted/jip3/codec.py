"""What turns the bytes of one node into finished JSON: the interface of the two codecs.

A :class:`Codec` opens a :class:`Stream` for each node connection. The stream is given what was
read from the socket and returns whole ``event`` messages, ready for subscribers. Nothing after it
parses or encodes an event again. The compiled and the Python codec give identical bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, Protocol

from attrs import field, frozen

from .moment import Moment
from .state_types import STATE_TYPES
from .table import TABLE

DECODE_ERROR = "decode_error"
"""Kind of fault: the event was skipped."""

VIOLATION = "violation"
"""Kind of fault: the event was delivered although it breaks a rule."""

EXCERPT_BYTES = 64
"""How much of an offending message a fault keeps."""

DEFAULT_MAX_MESSAGE_SIZE = 1 << 20
"""Longest message content a stream takes unless told otherwise, in bytes."""

FAILURE_TYPES: frozenset[int] = frozenset(
    event.discriminator for event in TABLE.events.values() if event.has_reason
)
"""Discriminators of failures, which have a reason."""

FACT_TYPES: frozenset[int] = STATE_TYPES | FAILURE_TYPES
"""Discriminators whose fields history needs."""

MOST_DROPPED = 2**63 - 1
"""Events that a node can say it dropped from one :meth:`Stream.take_dropped` to the next; more are
not added, since there is no network in which that can be true and no database that holds it."""


class Fault(NamedTuple):
    """Something a node got wrong.

    ``kind`` is :data:`DECODE_ERROR` or :data:`VIOLATION`; ``discriminator`` is None where the
    message is too short to have one; ``offset`` is where in the message's content, in bytes, the
    read that failed begins (for a violation, the value that breaks the rule); ``reason`` is one of
    a small set of phrases; ``excerpt`` holds the first :data:`EXCERPT_BYTES` of the content.
    ``times`` tells how many there were: those that differ in offset and excerpt alone are one
    fault, with the offset and excerpt of the last.
    """

    kind: str
    discriminator: int | None
    offset: int
    reason: str
    excerpt: bytes
    times: int = 1

    @property
    def key(self) -> tuple[str, int | None, str]:
        """What makes two faults one: kind, discriminator and reason."""
        return self.kind, self.discriminator, self.reason


class FaultTally:
    """Adds faults up, so that there are few objects whatever a node sends."""

    def __init__(self) -> None:
        self._faults: dict[tuple[str, int | None, str], Fault] = {}

    def enter(self, faults: Iterable[Fault]) -> None:
        """Add ``faults``."""
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Add ``fault``."""
        before = self._faults.get(fault.key)
        if before is not None:
            fault = fault._replace(times=before.times + fault.times)
        self._faults[fault.key] = fault

    def take(self) -> list[Fault]:
        """What was added since the last call, in the order in which each kind of it first came."""
        faults = list(self._faults.values())
        self._faults.clear()
        return faults


class Decoded(NamedTuple):
    """What one call of :meth:`Stream.decode` made of a buffer.

    ``end`` is the offset in the buffer of the first byte that was not consumed. ``events`` holds
    whole ``event`` messages (protocol, "Server to client") joined by commas; ``types`` one
    discriminator byte for each of them; ``lengths`` their lengths in bytes without the commas, one
    little-endian u32 each. ``facts`` holds, verbatim with their length prefixes, those of the
    decoded messages whose type was asked for when the stream was opened and that are passed on
    (:mod:`.thinning`). ``newest`` holds likewise, in the order of their types, the newest message
    of each state (:data:`~.state_types.STATE_TYPES`), unless it is in ``facts``. ``faults`` is what
    was wrong, added up (:class:`FaultTally`), so that a flood of bad frames costs little.
    """

    end: int
    events: bytes
    types: bytes
    lengths: bytes
    facts: bytes
    newest: bytes
    faults: list[Fault]


class Dropped(NamedTuple):
    """What a node said it dropped (JIP-3, ``Dropped``), added up.

    ``events`` is the sum of ``num``, at most :data:`MOST_DROPPED`; ``spans`` how many ``Dropped``
    there were; ``first`` the earliest ``timestamp`` and ``last`` the latest ``last_timestamp``, in
    microseconds of the Common Era, of those whose times are both within the tolerance of the
    clock; None where there are none.
    """

    events: int
    spans: int
    first: int | None
    last: int | None


class FrameTooLong(Exception):
    """A message announces more bytes than the stream takes; the stream cannot go on."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"message of {length} bytes, at most {limit} are taken")
        self.length = length
        self.limit = limit


@frozen
class Dialect:
    """How one node's messages are laid out and shown.

    ``node_id`` is 64 lowercase hex digits, ``cores`` the core count of the node's parameters, None
    where they do not say, ``version`` its protocol version (0, 1; higher is read as 1),
    ``byte_arrays`` the ``--byte-arrays`` form, ``max_message_size`` the longest content in bytes,
    ``fact_types`` the discriminators to return as facts. ``known_layout`` says whether the
    parameters were of a layout that is known, so that ``cores`` is certain; if not, an event whose
    length does not fit the core count is an error.
    """

    node_id: str
    cores: int | None
    version: int = 0
    byte_arrays: bool = False
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    fact_types: frozenset[int] = field(default=frozenset())
    known_layout: bool = True


class Stream(Protocol):
    """The events of one node connection, in order.

    ``next_event_id`` is the ID of the next event (JIP-3, Event IDs: 0 at first, then one more for
    each event and ``num`` more for ``Dropped``, modulo 2^64), also for events that could not be
    decoded.
    """

    next_event_id: int

    @property
    def cores(self) -> int | None:
        """The core count as the node told it, or as its events did (:mod:`.cores`)."""

    def decode(
        self, data: bytes, start: int, room: int, first_id: int, id_step: int, moment: Moment
    ) -> Decoded:
        """Decode whole frames of ``data`` from offset ``start`` until ``room`` events are out.

        Stops before a frame that is not whole, and before one that is too long. The events get the
        ids ``first_id``, ``first_id + id_step``, ...; ``moment`` is when they were read, which is
        shown as their ``timestamp`` and compared with what they say. An event that cannot be
        decoded takes no id and no room.

        :raises FrameTooLong: if the frame at ``start`` itself announces more than
            ``max_message_size`` bytes.
        """

    def skip(self, data: bytes, start: int, most: int) -> tuple[int, int]:
        """Pass over at most ``most`` whole frames from offset ``start`` without decoding them.

        Their event IDs are used up. Stops where :meth:`decode` stops.

        :returns: the offset of the first byte not consumed, and the number of events passed over.
        :raises FrameTooLong: as :meth:`decode` does.
        """

    def take_counts(self) -> Mapping[int, int]:
        """Events decoded since the last call, by discriminator; only those that are not zero."""

    def take_dropped(self) -> Dropped | None:
        """What the ``Dropped`` decoded since the last call say; None where there were none."""

    def end_chains(self) -> None:
        """The connection is over: chains that are open are unfinished. Nothing is decoded after it.

        It does nothing where no chains are followed, or twice.
        """


class Gatherer(Protocol):
    """Takes what the streams of a process find by following chains (:mod:`.observations`)."""

    def take(self, began: int, ended: int, second: int, networks: Sequence[bytes]) -> bytes:
        """What was found since the last call, as the body of ``OBSERVATIONS``; empty for nothing.

        Chains that were not heard of for too long when it is ``second`` (:class:`.Moment`) have
        expired, and are among it.

        :param began: where the arrivals begin that it covers, ``ended`` where they end, in
            microseconds of Unix time.
        :param networks: genesis hashes, at the indexes that streams were told.
        """


@frozen
class Following:
    """Have a stream follow chains: what it finds goes to ``gatherer``, which the same codec made.

    ``handle`` stands for the node, ``network`` for its genesis hash.
    """

    gatherer: Gatherer
    handle: int
    network: int


class Codec(Protocol):
    """A way to decode: ``name`` is ``compiled`` or ``python``."""

    name: str

    def gatherer(self) -> Gatherer:
        """What the streams of a process may put in what they find."""

    def open(self, dialect: Dialect, following: Following | None = None) -> Stream:
        """A stream for a node that has just connected; no chains are followed by default."""


class CodecUnavailable(Exception):
    """The codec that was asked for cannot run here."""


def load_codec(choice: str = "auto") -> Codec:
    """The codec named ``choice``: ``compiled``, ``python``, or ``auto`` for the best there is.

    :raises CodecUnavailable: if ``compiled`` was asked for and was not built.
    """
    codec: Codec
    if choice in ("auto", "compiled"):
        try:
            codec = import_module("telemetry_twisted.jip3.compiled").CompiledCodec()
        except ImportError as error:
            if choice == "compiled":
                raise CodecUnavailable(
                    "the compiled codec was not built when telemetry_twisted was installed: "
                    "install a C compiler and the Python headers and install again, "
                    "or use --codec python"
                ) from error
        else:
            return codec
    codec = import_module("telemetry_twisted.jip3.python").PythonCodec()
    return codec
