"""One simulated node: which events it sends, in which order, with which IDs."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .agenda import NEVER, Agenda, Event, Exchange
from .blocks import author, fail_to_author, finalize, import_block, serve_block
from .chain import EPOCH_SLOTS, SECOND, SLOT, Block, digest
from .guaranteeing import guarantee_as_primary, guarantee_as_secondary
from .mistakes import MISTAKES, make_mistakes
from .network import Network
from .requests import delay
from .tally import Tally
from .traffic import peer_address

_OPENING = 120_000
_STATUS_PERIOD = 2 * SECOND
_MILLISECOND = 1_000
_FEW = bytes(value % 4 for value in range(256))


class Node:
    """Validator ``index`` of ``network``, in simulated time.

    It ``begins`` when its turn to connect is, or later if told so, and ``ends`` after the network's
    duration; ``now`` is where it is. All are in microseconds of the JAM Common Era.

    What follows from slots goes through an agenda of exchanges, event by event; the rest of the
    rate is filled with passages. The sequence depends on the network and the index alone, however
    it is asked for. ``tally`` counts what :meth:`advance` has given out.
    """

    def __init__(self, network: Network, index: int, begins: int | None = None) -> None:
        turn = network.start + int(index * SECOND / network.connect_rate)
        self.network = network
        self.index = index
        self.tally = Tally()
        self.begins = turn if begins is None else begins
        self.ends = NEVER
        if network.duration is not None:
            self.ends = turn + int(network.duration * SECOND)
        self.now = self.begins
        self.finished = False
        self._random = Random(f"{network.seed}/node/{index}")
        self._latency = self._random.lognormvariate(0, 0.5) * 120 * _MILLISECOND
        self._import_time = int(self._random.lognormvariate(0, 0.3) * 120 * _MILLISECOND)

        self._next_id = 0
        self._period = SECOND / network.rate
        self._limit = NEVER if network.events is None else network.events
        self._agenda = Agenda()
        self._slot = self.begins // SLOT
        self._slot_begins = self.begins
        self._best_slot = -1
        self._best_time = 0
        self._finalized_slot = -1
        self._finalized_time = 0
        self._assurance_id: int | None = None

        self._deck = network.deck(index % 2)
        self._card = self._random.randrange(len(self._deck))
        self._draw()
        for exchange in (
            self._open(),
            self._report_status(),
            self._generate_tickets(self.begins),
            self._distribute_assurances(),
        ):
            self._agenda.begin(exchange)
        if network.mistakes:
            chance = Random(f"{network.seed}/mistakes/{index}")
            self._agenda.begin(make_mistakes(chance, self.begins, network.mistakes))

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
        """The next event or passage, if it begins before ``until``.

        A passage is one piece, so it waits until nothing else falls due within it.
        """
        while True:
            turn = min(self._agenda.time, self._slot_begins)
            passage_time = max(self._passage_due(), self.now)
            if passage_time + self._passage.span <= min(turn, self.ends):
                return self._take_passage(passage_time) if passage_time < until else None
            if turn >= until:
                return None
            if turn < self._slot_begins:
                return self._take_event()
            self._enter_slot()

    def _take_event(self) -> bytes:
        event = self._agenda.emit(self._next_id)
        self._next_id += event.fields["num"] if event.name == "Dropped" else 1
        self.now = event.time
        if event.name in MISTAKES:
            return self._take_mistake(event)
        message = self.network.encode(event)
        self.tally.add_event(event, len(message))
        return message

    def _take_mistake(self, event: Event) -> bytes:
        mistake = MISTAKES[event.name]
        meant = event._replace(name=mistake.event)
        message = mistake.encode(self.network.encode(meant))
        self.tally.faults[mistake.fault] += 1
        if mistake.is_delivered:
            self.tally.add_event(meant, len(message))
        return message

    def _take_passage(self, time: int) -> bytes:
        passage = self._passage
        messages = passage.at(
            self.network.moment(time // SLOT)._replace(
                time=time, first_id=self._next_id, assurance_id=self._assurance_id or 0
            )
        )
        left = self._limit - self.tally.events
        if left < len(passage):
            self.tally.add_part(passage, left)
            return messages[: passage.ends[left - 1]]
        self.tally.add_passage(passage)
        self._next_id += len(passage)
        self.now = time + passage.span
        self._draw()
        return messages

    def _draw(self) -> None:
        self._card = (self._card + 1) % len(self._deck)
        self._passage = self._deck[self._card]
        self._lead = self._random.uniform(-0.5, 1.5) * len(self._passage)

    def _passage_due(self) -> int:
        if self._assurance_id is None:
            return NEVER
        return self.begins + int((self.tally.events + self._lead) * self._period)

    def _peer(self) -> bytes:
        index = self._random.randrange(self.network.validators - 1)
        return self.network.peer_ids[index + (index >= self.index)]

    def _peers(self, count: int) -> Sequence[bytes]:
        return [self._peer() for _ in range(count)]

    def _open(self) -> Exchange:
        random, network = self._random, self.network
        time = self.begins
        yield Event(time, "SyncStatusChanged", {"synced": False})
        step = _OPENING // 20
        for _ in range(3):
            index = random.randrange(network.validators - 1)
            index += index >= self.index
            peer_id = network.peer_ids[index]
            details = {"peer_id": peer_id, "peer_address": peer_address(index)}
            time += step
            connecting_id = yield Event(time, "ConnectingOut", {"to": details})
            time += step
            yield Event(time, "ConnectedOut", {"connecting_id": connecting_id})
            time += step
            opened = {"peer": peer_id, "opener": "Local"}
            yield Event(time, "BlockAnnouncementStreamOpened", opened)
        yield Event(self.begins + _OPENING, "SyncStatusChanged", {"synced": True})

    def _report_status(self) -> Exchange:
        random, network = self._random, self.network
        time = self.begins + random.randrange(_OPENING)
        shards = random.randrange(10_000, 50_000)
        while True:
            peers = network.validators - 1 - random.randrange(1 + network.validators // 50)
            preimages = random.randrange(20)
            yield Event(
                time,
                "Status",
                {
                    "num_peers": peers,
                    "num_val_peers": peers,
                    "num_sync_peers": peers - random.randrange(1 + peers // 50),
                    "num_guarantees": random.randbytes(network.cores).translate(_FEW),
                    "num_shards": shards,
                    "shards_size": shards * 4_104,
                    "num_preimages": preimages,
                    "preimages_size": preimages * 1_500,
                },
            )
            time += _STATUS_PERIOD + random.randrange(-_MILLISECOND, _MILLISECOND)
            shards += random.randrange(-500, 600)

    def _generate_tickets(self, time: int) -> Exchange:
        random = self._random
        epoch = time // SLOT // EPOCH_SLOTS + 1
        time += random.randrange(_OPENING)
        generating = {"generating_id": (yield Event(time, "GeneratingTickets", {"epoch": epoch}))}
        time += delay(random, 50 * _MILLISECOND)
        if random.random() < 0.05:
            failure = {**generating, "reason": "ring proof failed"}
            yield Event(time, "TicketGenerationFailed", failure)
            return
        ids = [digest(self.network.seed, "ticket", self.index, epoch, n) for n in range(2)]
        yield Event(time, "TicketsGenerated", {**generating, "ids": ids})
        for attempt, ticket in enumerate(ids):
            time += delay(random, SECOND)
            to = {"peer": self._peer(), "sender": "Local", "from_proxy": False}
            what = {"epoch": epoch, "attempt": attempt, "id": ticket}
            yield Event(time, "TicketTransferred", {**to, **what})

    def _distribute_assurances(self) -> Exchange:
        random, network = self._random, self.network
        time = self.begins + _OPENING
        while True:
            slot = time // SLOT
            statement = {
                "anchor": network.chain.head(slot - 1).hash,
                "bitfield": random.randbytes((network.cores + 7) // 8),
            }
            distributing = Event(time, "DistributingAssurance", {"statement": statement})
            self._assurance_id = yield distributing
            time = (slot + 1) * SLOT + random.randrange(200 * _MILLISECOND, 2 * SECOND)
            distributed = {"distributing_id": self._assurance_id}
            yield Event(time - _MILLISECOND, "AssuranceDistributed", distributed)

    def _enter_slot(self) -> None:
        random, chain = self._random, self.network.chain
        slot = self._slot
        begins = max(slot * SLOT, self.begins + _OPENING)
        self._slot = slot + 1
        self._slot_begins = (slot + 1) * SLOT
        head = chain.head(slot)
        if chain.author(slot) == self.index and begins == slot * SLOT:
            self._author(slot)
        elif head.slot > self._best_slot:
            self._import(head, begins)
        self._work(slot, begins)
        if slot % EPOCH_SLOTS == 0 and begins == slot * SLOT:
            self._agenda.begin(self._generate_tickets(begins))
        if random.random() < 0.003:
            self._agenda.begin(self._lose_sync(begins + random.randrange(SECOND)))
        if random.random() < 0.003:
            self._agenda.begin(self._drop(begins + random.randrange(SECOND)))

    def _author(self, slot: int) -> None:
        random, chain = self._random, self.network.chain
        time = slot * SLOT + random.randrange(5 * _MILLISECOND)
        block = chain.block(slot)
        if block is None:
            parent = chain.head(slot - 1).hash
            self._agenda.begin(fail_to_author(random, time, slot, parent))
            return
        self._agenda.begin(author(random, time, block, self._peers(3)))
        self._follow(block, block.ready + 600 * _MILLISECOND)

    def _import(self, block: Block, begins: int) -> None:
        random = self._random
        arrives = block.ready + int(self._latency * random.lognormvariate(0, 0.4))
        if random.random() < 0.01:
            arrives += random.randrange(SECOND // 2, 3 * SECOND)
        arrives = max(arrives, begins, self._best_time + 1)
        took = int(self._import_time * random.lognormvariate(0, 0.2))
        trouble = None
        if random.random() < 0.02:
            trouble = random.choice(("request", "verification", "execution"))
        peers = self._peers(2)
        self._agenda.begin(import_block(random, arrives, took, block, self._peer(), peers, trouble))
        self._follow(block, arrives + took)
        if random.random() < 0.3:
            time = self._best_time + delay(random, 20 * _MILLISECOND)
            self._agenda.begin(serve_block(random, time, block, self._peer()))

    def _follow(self, block: Block, time: int) -> None:
        """``block`` is the best one from ``time`` on; an older one may become final after it."""
        self._best_slot, self._best_time = block.slot, time
        final = self.network.chain.finalized(block.slot)
        if final.slot > self._finalized_slot:
            time += delay(self._random, 300 * _MILLISECOND)
            self._finalized_slot = final.slot
            self._finalized_time = max(time, self._finalized_time + 1)
            self._agenda.begin(finalize(self._finalized_time, final))

    def _work(self, slot: int, begins: int) -> None:
        network = self.network
        assignment = network.assignment(self.index, slot)
        package = assignment and network.package(slot, assignment[0])
        if not assignment or not package or package.start < begins:
            return
        if assignment[1]:
            authors = {network.chain.author(slot + ahead) for ahead in (1, 2, 3)} - {self.index}
            recipients = [network.peer_ids[index] for index in sorted(authors)] + [self._peer()]
            exchange = guarantee_as_primary(self._random, package, recipients, self._peers(3))
        else:
            own = network.peer_ids[self.index]
            exchange = guarantee_as_secondary(self._random, package, own)
        self._agenda.begin(exchange)

    def _lose_sync(self, time: int) -> Exchange:
        yield Event(time, "SyncStatusChanged", {"synced": False})
        time += delay(self._random, SECOND)
        yield Event(time, "SyncStatusChanged", {"synced": True})

    def _drop(self, time: int) -> Exchange:
        dropped = {"last_timestamp": time + 500, "num": self._random.randrange(1, 100)}
        yield Event(time, "Dropped", dropped)
