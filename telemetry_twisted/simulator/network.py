"""The network whose validators the simulated nodes are.

A :class:`Network` knows everything that nodes have in common and nothing that changes: the
blockchain, the validators and their cores, the work packages, the traffic. It is a function of its
settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from random import Random
from typing import Any

from attrs import evolve, field, frozen
from attrs.validators import deep_iterable, ge, gt, in_, le, optional

from .. import __version__
from ..jip3.encoder import encode_event, encode_node_information, frame
from ..jip3.table import TABLE
from .blockchain import ASSURED, EPOCH_SLOTS, SECOND, SLOT, Blockchain, digest, has_share
from .context import Context, Moment, peer_address
from .prepared import PreparedPiece, prepare_pieces
from .receipts import Sent, sent_in
from .schedule import Event
from .traffic import FAILING_KINDS, KINDS
from .troubles import BROKEN_ENCODER, BROKEN_RATE, TROUBLES, troubled
from .work import GUARANTORS, Package, Report, guarantors_of, make_package

MAX_NODES = 65_000
"""Most nodes; the index of a validator is 16 bits."""

MAX_CORES = 4_096
"""Most cores."""

MIN_RATE = 0.1
"""Lowest rate, in events per second and node."""

MAX_RATE = 10_000
"""Highest rate, in events per second and node."""

EARLIEST_START = 60 * SECOND
"""Earliest start, in microseconds of the JAM Common Era; a few slots go before it."""

MAX_CLOCK_SKEW = 30_000
"""Most milliseconds that a clock is ahead or behind."""

_ROTATION = 10
_IMPLEMENTATIONS = ("sim-alder", "sim-birch", "sim-cedar")

_IDLE_RATE = 3.0
_BUSY_RATE = 30.0

_PIECE_EXCHANGES = 32
_PIECE_SPAN = 20_000


@frozen(kw_only=True, eq=False)
class Network:
    """A JAM network of which ``nodes`` validators are simulated.

    ``seed`` and the other settings fix every byte that a node sends. ``cores`` is the core count;
    there are three validators to a core, or as many as nodes if that is more. ``rate`` is in events
    per second and node. ``start`` is when the first node begins, in microseconds of the JAM Common
    Era; the others follow, ``connect_rate`` in a second. A node goes on for ``duration`` seconds,
    or until it has sent exactly ``events`` events; without either, for ever. ``mistakes`` is how
    many messages in a second it gets wrong, on average. Clocks are up to ``clock_skew``
    milliseconds ahead or behind; ``forks`` is the share of slots with two blocks, ``stuck`` that of
    work packages that come to no end, ``drops`` that of slots in which a node drops what happens
    for up to a second, and says so; ``trouble`` names what is wrong with some nodes, of
    :data:`.troubles.TROUBLES`. ``gp`` is the version of the Gray Paper that node information
    is laid out by, ``version`` the protocol version.

    :raises ValueError: if a setting is out of range.
    """

    nodes: int = field(validator=[ge(1), le(MAX_NODES)])
    seed: int = 0
    cores: int = field(default=341, validator=[ge(1), le(MAX_CORES)])
    rate: float = field(default=600.0, validator=[ge(MIN_RATE), le(MAX_RATE)])
    start: int = field(default=7 * 24 * 3600 * SECOND, validator=ge(EARLIEST_START))
    connect_rate: float = field(default=500.0, validator=gt(0))
    duration: float | None = field(default=None, validator=optional(gt(0)))
    events: int | None = field(default=None, validator=optional(ge(1)))
    mistakes: float = field(default=0.0, validator=[ge(0), le(MAX_RATE)])
    clock_skew: float = field(default=0.0, validator=[ge(0), le(MAX_CLOCK_SKEW)])
    forks: float = field(default=0.0, validator=[ge(0), le(1)])
    stuck: float = field(default=0.0, validator=[ge(0), le(1)])
    drops: float = field(default=0.003, validator=[ge(0), le(1)])
    trouble: Sequence[str] = field(default=(), validator=deep_iterable(in_(TROUBLES)))
    gp: str = field(default="0.7", validator=in_(("0.7", "0.8")))
    version: int = field(default=0, validator=in_((0, 1)))

    blockchain: Blockchain = field(init=False)
    """The blockchain that all nodes follow."""

    validators: int = field(init=False)
    """How many validators there are; the first of them are the simulated nodes."""

    peer_ids: Sequence[bytes] = field(init=False, repr=False)
    """The Ed25519 keys of the validators."""

    index_of: Mapping[bytes, int] = field(init=False, repr=False)
    """The index of each of those keys."""

    package: Callable[[int, int], Package | None] = field(init=False, repr=False)
    """The work package of a slot and a core, if there is one."""

    sent: Callable[[int], Mapping[int, Sequence[Sent]]] = field(init=False, repr=False)
    """The guarantees of a slot's packages that nodes send, by whom they send each to."""

    _moment: Callable[[int, bool], Moment] = field(init=False, repr=False)

    pieces: Callable[..., Sequence[PreparedPiece]] = field(init=False, repr=False)
    """The prepared pieces of the nodes with even (0) and odd (1) indices, none of which meets
    itself; with ``failing`` those of a node that fails to serve others."""

    _troubled: Mapping[str, frozenset[int]] = field(init=False, repr=False)

    @blockchain.default
    def _make_blockchain(self) -> Blockchain:
        return Blockchain(self.seed, self.nodes, self.forks)

    @validators.default
    def _count_validators(self) -> int:
        return max(self.nodes, GUARANTORS * self.cores)

    @peer_ids.default
    def _make_peer_ids(self) -> Sequence[bytes]:
        return [digest(self.seed, "peer", index) for index in range(self.validators)]

    @index_of.default
    def _make_index(self) -> Mapping[bytes, int]:
        return {peer_id: index for index, peer_id in enumerate(self.peer_ids)}

    @package.default
    def _cache_packages(self) -> Callable[[int, int], Package | None]:
        return lru_cache(maxsize=4 * self.cores)(self._package)

    @sent.default
    def _cache_sent(self) -> Callable[[int], Mapping[int, Sequence[Sent]]]:
        return lru_cache(maxsize=64)(partial(sent_in, self))

    @_troubled.default
    def _choose_troubled(self) -> Mapping[str, frozenset[int]]:
        return {name: troubled(name, self.seed, self.nodes) for name in self.trouble}

    @_moment.default
    def _cache_moments(self) -> Callable[[int, bool], Moment]:
        return lru_cache(maxsize=64)(self._make_moment)

    @pieces.default
    def _cache_pieces(self) -> Callable[[int], Sequence[PreparedPiece]]:
        return lru_cache(maxsize=None)(self._prepare)

    def troubled(self, name: str) -> frozenset[int]:
        """The indices of the nodes that have the trouble ``name``, none if nobody should."""
        return self._troubled.get(name, frozenset())

    def mistakes_of(self, index: int) -> float:
        """How many messages in a second node ``index`` gets wrong, on average."""
        return self.mistakes + BROKEN_RATE * (index in self.troubled(BROKEN_ENCODER))

    def clock_offset(self, index: int) -> int:
        """By how many microseconds the clock of node ``index`` is ahead."""
        most = self.clock_skew * 1_000
        return round(Random(f"{self.seed}/clock/{index}").uniform(-most, most))

    def node_id(self, index: int) -> str:
        """The ID of node ``index`` as the server shows it."""
        return self.peer_ids[index].hex()

    def encode(self, event: Event) -> bytes:
        """The message of ``event``, length prefix included."""
        return frame(
            encode_event(
                event.name, event.time, event.fields, cores=self.cores, version=self.version
            )
        )

    def node_information(self, index: int) -> bytes:
        """The first message of node ``index``, length prefix included."""
        layout = f"gp-{self.gp}"
        values = {**_PARAMETERS, "core_count": self.cores, "val_count": self.validators}
        information = {
            "params": {name: values[name] for name, _ in TABLE.parameters[layout]},
            "genesis": digest(self.seed, "genesis"),
            "details": {
                "peer_id": self.peer_ids[index],
                "peer_address": peer_address(index),
            },
            "flags": index % 2,
            "implementation_name": _IMPLEMENTATIONS[index % len(_IMPLEMENTATIONS)],
            "implementation_version": __version__,
            "gp_version": {"0.7": "0.7.2", "0.8": "0.8.0"}[self.gp],
            "additional_info": f"simulated validator {index}, seed {self.seed}",
        }
        return frame(encode_node_information(information, layout=layout, version=self.version))

    def moment(self, time: int) -> Moment:
        """The moment that ``time`` belongs to, its own ``time`` and IDs 0."""
        slot, since = divmod(time, SLOT)
        return self._moment(slot, since >= ASSURED)

    def assignment(self, index: int, slot: int) -> tuple[int, bool] | None:
        """The core that validator ``index`` works on in ``slot``, and whether as the primary."""
        core, place = divmod((index + slot // _ROTATION) % self.validators, GUARANTORS)
        return (core, place == slot % GUARANTORS) if core < self.cores else None

    def _package(self, slot: int, core: int) -> Package | None:
        load = min(1.0, max(0.0, self.rate - _IDLE_RATE) / (_BUSY_RATE - _IDLE_RATE))
        if not has_share(load, self.seed, "load", slot, core):
            return None
        of_core = guarantors_of(core, slot // _ROTATION, self.validators)
        turn = slot % GUARANTORS
        guarantors = of_core[turn:] + of_core[:turn]
        anchor = self.blockchain.head(slot - 1).hash
        package = make_package(Report(self.seed, core, slot), anchor, guarantors, self.peer_ids)
        is_stuck = has_share(self.stuck, self.seed, "stuck", slot, core)
        return evolve(package, fate="stuck") if is_stuck else package

    def _make_moment(self, slot: int, assured: bool) -> Moment:
        head = self.blockchain.head(slot - 1)
        anchor = head if assured else self.blockchain.head(slot - 2)
        return Moment(
            time=0,
            first_id=0,
            assurance_id=0,
            slot=slot,
            epoch=slot // EPOCH_SLOTS,
            head_slot=head.slot,
            head=int.from_bytes(head.hash, "little"),
            anchor=int.from_bytes(anchor.hash, "little"),
            rotation=(slot - 1) // _ROTATION,
        )

    def _prepare(self, parity: int, failing: bool = False) -> Sequence[PreparedPiece]:
        strangers = list(enumerate(self.peer_ids))[1 - parity :: 2]

        def context(random: Random, moment: Moment) -> Context:
            return Context(
                random=random,
                moment=moment,
                seed=self.seed,
                peers=strangers,
                cores=self.cores,
                validators=self.validators,
                version=self.version,
            )

        exchanges = int(min(_PIECE_EXCHANGES, max(4, self.rate / 4)))
        return prepare_pieces(
            context,
            self.encode,
            FAILING_KINDS if failing else KINDS,
            seed=f"{self.seed}/pieces/{parity}",
            size=exchanges,
            span=int(min(_PIECE_SPAN, 0.4 * SECOND * exchanges / self.rate)),
        )


_PARAMETERS: Mapping[str, Any] = {
    "deposit_per_item": 10,
    "deposit_per_byte": 1,
    "deposit_per_account": 100,
    "min_turnaround_period": 19_200,
    "epoch_period": EPOCH_SLOTS,
    "max_accumulate_gas": 10_000_000,
    "max_is_authorized_gas": 50_000_000,
    "max_refine_gas": 5_000_000_000,
    "block_gas_limit": 3_500_000_000,
    "recent_block_count": 8,
    "max_work_items": 16,
    "max_dependencies": 8,
    "max_tickets_per_block": 16,
    "max_lookup_anchor_age": 14_400,
    "tickets_attempts_number": 2,
    "auth_window": 8,
    "slot_period_sec": SLOT // SECOND,
    "auth_queue_len": 80,
    "rotation_period": _ROTATION,
    "max_extrinsics": 128,
    "availability_timeout": 5,
    "max_authorizer_code_size": 64_000,
    "max_input": 13_794_305,
    "max_service_code_size": 4_000_000,
    "basic_piece_len": 684,
    "max_imports": 3_072,
    "segment_piece_count": 6,
    "max_report_elective_data": 49_152,
    "transfer_memo_size": 128,
    "max_exports": 3_072,
    "epoch_tail_start": 500,
}
