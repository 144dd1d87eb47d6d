"""Turns what happens at a node into the messages that it sends, and counts them."""

from __future__ import annotations

from attrs import define, field

from .context import Moment
from .losses import Losses
from .mistakes import MISTAKES
from .network import Network
from .prepared import PreparedPiece
from .schedule import Event, by_clock
from .tally import Tally


@define(eq=False)
class Sender:
    """Sends the events of node ``index``, which have true times and get those of its clock here.

    No more than ``limit`` events are sent; they are counted in ``tally``. ``losses`` says which are
    dropped, ``next_id`` is the event ID of the next one.
    """

    network: Network
    index: int
    limit: int
    tally: Tally
    losses: Losses
    next_id: int = 0
    _clock_offset: int = field(init=False)

    @_clock_offset.default
    def _find_clock_offset(self) -> int:
        return self.network.clock_offset(self.index)

    @property
    def happened(self) -> int:
        """How many events there were, those that were dropped among them."""
        told = self.tally.dropped["spans"]
        return self.tally.events - told + self.losses.total

    def send(self, event: Event) -> bytes:
        """The message of ``event``, nothing if it is dropped; before it what is to be said of
        others that were."""
        event_id = self.next_id
        self.next_id += 1
        if self.losses.drop(event, event_id):
            return b""
        dropped = self.losses.told()
        before = b"" if dropped is None else self._message(*dropped)
        if self.tally.events == self.limit:
            return before
        if self.losses.is_orphan(event):
            self.tally.orphans += 1
            event = self.losses.alone(event, event_id)
        return before + self._message(event, event_id)

    def send_piece(self, piece: PreparedPiece, time: int, assurance_id: int) -> bytes:
        """The messages of ``piece``, used at ``time`` while an assurance is distributed."""
        moment = self.network.moment(time)._replace(
            time=time, first_id=self.next_id, assurance_id=assurance_id
        )
        if self.losses.affect(time, time + piece.span):
            return self._one_by_one(piece, moment)
        self.next_id += len(piece)
        moment = moment._replace(time=time + self._clock_offset)
        messages = piece.at(moment)
        part = min(len(piece), self.limit - self.tally.events)
        if self.losses.has(assurance_id):
            self.tally.orphans += piece.assurances(part)
        if part < len(piece):
            self.tally.add_part(piece, moment, part)
            return messages[: piece.ends[part - 1]]
        self.tally.add_piece(piece, time)
        return messages

    def _one_by_one(self, piece: PreparedPiece, moment: Moment) -> bytes:
        """The messages of a piece, some events of which may be dropped."""
        messages = []
        for event in piece.events(moment):
            if self.tally.events == self.limit:
                break
            messages.append(self.send(event))
        return b"".join(messages)

    def _message(self, event: Event, event_id: int) -> bytes:
        if self._clock_offset:
            event = by_clock(event, self._clock_offset)
        if event.name in MISTAKES:
            return self._mistake(event, event_id)
        message = self.network.encode(event)
        self.tally.add_event(event, len(message), event_id)
        return message

    def _mistake(self, event: Event, event_id: int) -> bytes:
        mistake = MISTAKES[event.name]
        meant = event._replace(name=mistake.event)
        message = mistake.encode(self.network.encode(meant))
        self.tally.faults[mistake.fault] += 1
        if mistake.is_delivered:
            self.tally.add_event(meant, len(message), event_id)
        return message
