"""The kinds of alerts: how one of a kind is told, how many are in one line, and what to do."""

from __future__ import annotations

from typing import Any

from attrs import Factory, define, frozen

EXAMPLES = 3
"""How many subjects of an alert are named. With this, its size is bounded, whatever nodes do."""


@frozen
class Kind:
    """A kind of alert: ``name`` is for machines, ``advice`` says what an operator may do.

    ``one`` and ``many`` are formats for what holds of one ``{subject}``, or of ``{count}`` of them.
    ``{value}`` is the subject's figure, or the largest of them, ``{note}`` what else there is to
    say. What holds of the server has no subject, and is ``one``.
    """

    name: str
    one: str
    many: str
    advice: str


NODE_GONE = Kind(
    "node_gone",
    "node {subject} has been gone for {value:.0f} s",
    "{count} nodes have been gone for up to {value:.0f} s",
    "see whether it runs and can reach this server",
)
NOT_SYNCED = Kind(
    "not_synced",
    "node {subject} has not been in sync for {value:.0f} s",
    "{count} nodes have not been in sync for up to {value:.0f} s",
    "see its log, and whether it has peers",
)
BEHIND = Kind(
    "behind",
    "node {subject} is {value} slots behind the network's best block",
    "{count} nodes are up to {value} slots behind the network's best block",
    "see its log, and whether it has peers",
)
AHEAD = Kind(
    "ahead",
    "node {subject} reports a block {value} slots ahead of the clock",
    "{count} nodes report blocks up to {value} slots ahead of the clock",
    "set the clock, of the node or of this server; until then the block counts for nothing else",
)
FINALITY_STALLED = Kind(
    "finality_stalled",
    "no block of network {subject} after slot {note} has been finalized for {value:.0f} s",
    "no block of {count} networks has been finalized for up to {value:.0f} s",
    "see whether two thirds of the validators are up and in sync",
)
NO_BLOCK = Kind(
    "no_block",
    "no block after slot {note} has been the best of network {subject} for {value} slots",
    "{count} networks have had no new best block for up to {value} slots",
    "see whether authors are up and in sync",
)
DECODE_ERRORS = Kind(
    "decode_errors",
    "{value} events of the last minute could not be decoded",
    "",
    "see /api/protocol-errors for which nodes send them, and what is wrong with them",
)
SUBSCRIBER_LAGGING = Kind(
    "subscriber_lagging",
    "subscriber {subject} missed {value} events in the last minute",
    "{count} subscribers missed up to {value} events each in the last minute",
    "it reads too slowly: have it subscribe to less, or read faster",
)
STORE_BEHIND = Kind(
    "store_behind",
    "history has not been written as it should for {value:.0f} s (the store is {note})",
    "",
    "see the store's last error in /api/health/detailed",
)
FORK = Kind(
    "fork",
    "nodes of network {subject} have taken different blocks for best for {value} slots in a row, "
    "since slot {note}",
    "nodes of {count} networks have taken different blocks for best for up to {value} slots in a "
    "row",
    "see /api/slots for the blocks, and /api/slots/SLOT/nodes for who is on which",
)
STUCK = Kind(
    "work_packages_stuck",
    "work packages of network {subject} have been stuck for up to {value:.0f} s: {note}",
    "work packages of {count} networks have been stuck for up to {value:.0f} s",
    "see /api/work-packages for which they are, and what their guarantors did last",
)
ASSURANCES_LATE = Kind(
    "assurances_late",
    "node {subject} sent {value} assurances too late within two minutes",
    "{count} nodes sent up to {value} assurances each too late within two minutes",
    "see /api/assurances, and whether these nodes get their shards in time",
)
CLOCK_OFF = Kind(
    "clock_off",
    "the clock of node {subject} is off by {value} ms",
    "the clocks of {count} nodes are off by up to {value} ms",
    "set them; it is from the clocks of the other nodes that they are off",
)
LATE_NODE = Kind(
    "late_node",
    "node {subject} had {value} of the last twenty blocks late or not at all",
    "{count} nodes had up to {value} of the last twenty blocks late or not at all",
    "see its log, whether it has peers, and /api/slots/SLOT/nodes for when it has blocks",
)
SLOW_GUARANTOR = Kind(
    "slow_guarantor",
    "node {subject} takes {value:.0f} ms to refine a work package, far longer than others",
    "{count} nodes take up to {value:.0f} ms to refine a work package, far longer than others",
    "see /api/latencies/refine/nodes, and what else uses its processors",
)
FAILING_SERVER = Kind(
    "failing_server",
    "node {subject} fails {value:.0f} % of the requests that others make of it",
    "{count} nodes fail up to {value:.0f} % of the requests that others make of them",
    "see /api/chains?node=ID and /api/failures for what fails and why, and whether its network is "
    "overloaded",
)
BROKEN_ENCODER = Kind(
    "broken_encoder",
    "node {subject} sent {value} messages that are wrong within two minutes",
    "{count} nodes sent up to {value} messages each that are wrong within two minutes",
    "see /api/protocol-errors?node=ID for what is wrong with which events, and in which bytes",
)
NODE_SILENT = Kind(
    "node_silent",
    "node {subject} is connected and has said nothing for {value:.0f} s",
    "{count} nodes are connected and have said nothing for up to {value:.0f} s",
    "see whether it hangs, or what is between it and this server",
)
UNFINISHED = Kind(
    "chains_unfinished",
    "{value:.0f} % of what nodes of network {subject} began and was over within five minutes came "
    "to no end, {note}",
    "up to {value:.0f} % of what nodes of {count} networks began and was over within five minutes "
    "came to no end",
    "see /api/chains for which, and /api/losses for what nodes did not tell",
)
KINDS = (
    NODE_GONE,
    NOT_SYNCED,
    BEHIND,
    AHEAD,
    FINALITY_STALLED,
    NO_BLOCK,
    DECODE_ERRORS,
    SUBSCRIBER_LAGGING,
    STORE_BEHIND,
    FORK,
    STUCK,
    ASSURANCES_LATE,
    CLOCK_OFF,
    LATE_NODE,
    SLOW_GUARANTOR,
    FAILING_SERVER,
    BROKEN_ENCODER,
    NODE_SILENT,
    UNFINISHED,
)


@define
class Found:
    """What holds of a kind: the figure of each subject, None being the server or the network."""

    threshold: float
    values: dict[str | None, float] = Factory(dict)
    note: str = ""


@define
class Group:
    """Subjects of a kind that are told of together, since the first of them began."""

    count: int = 0
    examples: list[str | None] = Factory(list)
    value: float = 0
    started: str = ""

    def add(self, subject: str | None, value: float, started: str) -> None:
        """One more, whose figure is ``value``, and which began at ``started``, in RFC 3339."""
        self.count += 1
        if self.count <= EXAMPLES:
            self.examples.append(subject)
        self.value = max(self.value, value)
        if not self.started or started < self.started:
            self.started = started

    def alert(self, kind: Kind, found: Found, ended: str | None = None) -> dict[str, Any]:
        """It as one alert. ``subject`` is None where there are several."""
        subject = self.examples[0] if self.count == 1 else None
        if self.count == 1:
            message = kind.one.format(subject=subject, value=self.value, note=found.note)
        else:
            message = kind.many.format(count=self.count, value=self.value)
            message += f": {', '.join(map(str, self.examples))}"
            if self.count > EXAMPLES:
                message += f" and {self.count - EXAMPLES} more"
        return {
            "kind": kind.name,
            "subject": subject,
            "count": self.count,
            "examples": [example for example in self.examples if example is not None],
            "value": int(self.value),
            "threshold": found.threshold,
            "message": message,
            "advice": kind.advice,
            "started": self.started,
            "ended": ended,
        }
