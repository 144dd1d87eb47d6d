"""One simulated node: which events it sends, in which order, with which IDs."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .blockchain import EPOCH_SLOTS, SECOND, SLOT, Block
from .blocks import author, fail_to_author, finalize, import_block, serve_block
from .guaranteeing import guarantee_as_secondary
from .losses import Losses
from .mistakes import make_mistakes
from .network import Network
from .receipts import primary_of, receive_sent
from .requests import delay
from .routine import (
    OPENING,
    distribute_assurances,
    generate_tickets,
    lose_sync,
    open_up,
    report_status,
)
from .schedule import NEVER, Exchange, Schedule
from .sending import Sender
from .tally import Tally
from .troubles import (
    FAILING_SHARDS,
    LAG,
    LAGGING_IMPORTER,
    PARTITIONED_GROUP,
    SLOW_GUARANTOR,
    is_cut_off,
    slowed,
)

_MILLISECOND = 1_000


class Node:
    """Validator ``index`` of ``network``, in simulated time.

    It ``begins`` when its turn to connect is, or later if told so, and ``ends`` after the network's
    duration; ``now`` is where it is. All are in microseconds of the JAM Common Era, by a right
    clock: what it sends has the times of its own. It sends as many ``events`` as the network says,
    or is told.

    What follows from slots goes through a schedule of exchanges, event by event; the rest of the
    rate is filled with prepared pieces. The sequence depends on the network and the index alone,
    however it is asked for. ``tally`` counts what :meth:`advance` has given out.
    """

    def __init__(
        self, network: Network, index: int, begins: int | None = None, events: int | None = None
    ) -> None:
        turn = network.start + int(index * SECOND / network.connect_rate)
        self.network = network
        self.index = index
        self.begins = turn if begins is None else begins
        self.tally = Tally(self.begins)
        self.ends = NEVER
        if network.duration is not None:
            self.ends = turn + int(network.duration * SECOND)
        self.now = self.begins
        self.finished = False
        self._random = Random(f"{network.seed}/node/{index}")
        self._latency = self._random.lognormvariate(0, 0.5) * 120 * _MILLISECOND
        self._import_time = int(self._random.lognormvariate(0, 0.3) * 120 * _MILLISECOND)

        events = network.events if events is None else events
        self._limit = NEVER if events is None else events
        losses = Losses(network.drops, Random(f"{network.seed}/drops/{index}"))
        self._sender = Sender(network, index, self._limit, self.tally, losses)
        self._period = SECOND / network.rate
        self._schedule = Schedule()
        self._slot = self.begins // SLOT
        self._slot_begins = self.begins
        self._best_slot = -1
        self._best_time = 0
        self._finalized_slot = -1
        self._finalized_time = 0
        self._assurance_id: int | None = None

        self._pieces = network.pieces(index % 2, self._has(FAILING_SHARDS))
        self._piece_index = self._random.randrange(len(self._pieces))
        self._choose_piece()
        for exchange in (
            open_up(network, self.begins, self._choose_peer),
            report_status(self._random, network, self.begins),
            self._generate_tickets(self.begins),
            distribute_assurances(self._random, network, self.begins, self._distributing),
        ):
            self._schedule.begin(exchange)
        if mistakes := network.mistakes_of(index):
            chance = Random(f"{network.seed}/mistakes/{index}")
            self._schedule.begin(make_mistakes(chance, self.begins, mistakes))

    @property
    def information(self) -> bytes:
        """The first message, length prefix included."""
        return self.network.node_information(self.index)

    def advance(self, until: int, most: int = NEVER) -> bytes:
        """The messages of the events before ``until`` that have not been given out yet.

        ``until`` is in microseconds of the JAM Common Era. No more is begun once there are ``most``
        bytes. ``finished`` is set once there is nothing left to come.
        """
        pieces: list[bytes] = []
        size = 0
        until = min(until, self.ends)
        while size < most and not self.finished:
            piece = self._next(until)
            if piece is None:
                self.finished = until == self.ends
                break
            pieces.append(piece)
            size += len(piece)
            self.finished = self.tally.events == self._limit
        return b"".join(pieces)

    def _next(self, until: int) -> bytes | None:
        """The next event or prepared piece, if it begins before ``until``.

        A piece is not cut, so it waits until nothing else falls due within it.
        """
        while True:
            turn = min(self._schedule.time, self._slot_begins)
            piece_time = max(self._piece_due(), self.now)
            if piece_time + self._piece.span <= min(turn, self.ends):
                return self._take_piece(piece_time) if piece_time < until else None
            if turn >= until:
                return None
            if turn < self._slot_begins:
                return self._take_event()
            self._enter_slot()

    def _take_event(self) -> bytes:
        event = self._schedule.emit(self._sender.next_id)
        self.now = event.time
        return self._sender.send(event)

    def _take_piece(self, time: int) -> bytes:
        piece = self._piece
        self.now = time + piece.span
        self._choose_piece()
        return self._sender.send_piece(piece, time, self._assurance_id or 0)

    def _choose_piece(self) -> None:
        self._piece_index = (self._piece_index + 1) % len(self._pieces)
        self._piece = self._pieces[self._piece_index]
        self._lead = self._random.uniform(-0.5, 1.5) * len(self._piece)

    def _piece_due(self) -> int:
        if self._assurance_id is None:
            return NEVER
        return self.begins + int((self._sender.happened + self._lead) * self._period)

    def _distributing(self, assurance_id: int | None) -> None:
        self._assurance_id = assurance_id

    def _generate_tickets(self, time: int) -> Exchange:
        return generate_tickets(self._random, self.network, self.index, time, self._choose_peer)

    def _choose_peer(self) -> int:
        index = self._random.randrange(self.network.validators - 1)
        return index + (index >= self.index)

    def _peer(self) -> bytes:
        return self.network.peer_ids[self._choose_peer()]

    def _peers(self, count: int) -> Sequence[bytes]:
        return [self._peer() for _ in range(count)]

    def _enter_slot(self) -> None:
        random = self._random
        slot = self._slot
        begins = max(slot * SLOT, self.begins + OPENING)
        self._slot = slot + 1
        self._slot_begins = (slot + 1) * SLOT
        self._take_blocks(slot, begins)
        self._work(slot, begins)
        if slot % EPOCH_SLOTS == 0 and begins == slot * SLOT:
            self._schedule.begin(self._generate_tickets(begins))
        if random.random() < 0.003:
            self._schedule.begin(lose_sync(random, begins + random.randrange(SECOND)))
        self._sender.losses.enter_slot(begins)

    def _has(self, trouble: str) -> bool:
        return self.index in self.network.troubled(trouble)

    def _take_blocks(self, slot: int, begins: int) -> None:
        """Author or import the block of ``slot``, and the other one if there are two."""
        blockchain = self.network.blockchain
        if self._has(PARTITIONED_GROUP) and is_cut_off(slot, self.network.start // SLOT):
            return
        fork = blockchain.fork(slot)
        follows_fork = blockchain.follows_fork(slot, self.index)
        best = fork if fork and follows_fork else blockchain.head(slot)
        turn = fork.author if fork and follows_fork else blockchain.author(slot)
        if turn == self.index and begins == slot * SLOT:
            self._author(slot, fork if follows_fork else blockchain.block(slot))
        elif best.slot > self._best_slot:
            self._import(best, begins)
        if fork:
            other = blockchain.head(slot) if follows_fork else fork
            arrives = max(begins, other.ready + int(2 * self._latency))
            took, source = self._import_time, self._peer()
            self._schedule.begin(
                import_block(self._random, arrives, took, other, source, (), is_best=False)
            )

    def _author(self, slot: int, block: Block | None) -> None:
        random = self._random
        time = slot * SLOT + random.randrange(5 * _MILLISECOND)
        if block is None:
            parent = self.network.blockchain.head(slot - 1).hash
            self._schedule.begin(fail_to_author(random, time, slot, parent))
            return
        self._schedule.begin(author(random, time, block, self._peers(3)))
        self._follow(block, block.ready + 600 * _MILLISECOND)

    def _import(self, block: Block, begins: int) -> None:
        random = self._random
        arrives = block.ready + int(self._latency * random.lognormvariate(0, 0.4))
        if random.random() < 0.01:
            arrives += random.randrange(SECOND // 2, 3 * SECOND)
        if self._has(LAGGING_IMPORTER):
            arrives += LAG
        arrives = max(arrives, begins, self._best_time + 1)
        took = int(self._import_time * random.lognormvariate(0, 0.2))
        trouble = None
        if random.random() < 0.02:
            trouble = random.choice(("request", "verification", "execution"))
        peers = self._peers(2)
        self._schedule.begin(
            import_block(random, arrives, took, block, self._peer(), peers, trouble)
        )
        self._follow(block, arrives + took)
        if random.random() < 0.3:
            time = self._best_time + delay(random, 20 * _MILLISECOND)
            self._schedule.begin(serve_block(random, time, block, self._peer()))

    def _follow(self, block: Block, time: int) -> None:
        """``block`` is the best one from ``time`` on; an older one may become final after it."""
        self._best_slot, self._best_time = block.slot, time
        final = self.network.blockchain.finalized(block.slot)
        if final.slot > self._finalized_slot:
            time += delay(self._random, 300 * _MILLISECOND)
            self._finalized_slot = final.slot
            self._finalized_time = max(time, self._finalized_time + 1)
            self._schedule.begin(finalize(self._finalized_time, final))

    def _work(self, slot: int, begins: int) -> None:
        network = self.network
        for sent in network.sent(slot).get(self.index, ()):
            if sent.began >= begins:
                self._schedule.begin(receive_sent(sent))
        assignment = network.assignment(self.index, slot)
        package = assignment and network.package(slot, assignment[0])
        if not assignment or not package or package.start < begins:
            return
        if assignment[1]:
            self._schedule.begin(primary_of(network, package))
        else:
            own = network.peer_ids[self.index]
            exchange = guarantee_as_secondary(self._random, package, own)
            self._schedule.begin(slowed(exchange) if self._has(SLOW_GUARANTOR) else exchange)
