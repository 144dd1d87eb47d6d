"""What alerts are made of: when each kind begins, and what the server is like at a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import Factory, frozen

from .nodes import Node
from .store.networks import Summaries


@frozen
class Thresholds:
    """When each kind of alert begins; 0 means never.

    ``node_gone``, ``not_synced`` and ``finality`` are in seconds, ``behind`` and ``no_block`` in
    slots, ``decode_errors`` and ``lagging`` in events per minute, ``store`` in seconds of trouble.
    Of what is told of networks, ``fork`` is in slots, ``stuck`` and ``silent`` in seconds,
    ``assurances_late`` in assurances of two minutes, ``clock`` in milliseconds, ``unfinished`` in
    percent of the chains that ended within five minutes. Of nodes that are worse than others,
    ``late_blocks`` is in blocks of the last twenty, ``slow_guarantor`` says how many times as long
    one takes, ``failing_server`` is in percent of requests, ``broken_encoder`` in messages of two
    minutes.
    Where there are alerts of nodes that are behind, there are some of nodes ahead of the clock.
    """

    node_gone: int = 30
    not_synced: int = 60
    behind: int = 5
    finality: int = 60
    no_block: int = 5
    decode_errors: int = 10
    lagging: int = 1
    store: int = 30
    fork: int = 3
    stuck: int = 120
    assurances_late: int = 10
    clock: int = 3000
    silent: int = 30
    unfinished: int = 20
    late_blocks: int = 5
    slow_guarantor: int = 3
    failing_server: int = 50
    broken_encoder: int = 20


@frozen
class Situation:
    """What alerts are made of at a moment, ``now`` by the clock of durations, ``time`` as shown.

    ``newest_slot`` is the last slot that a node may be at. ``decode_errors`` and ``lagged`` are
    counted from the server's start in events, the latter by subscriber; ``store_trouble`` is for
    how many seconds history has not been written as it should. ``silent`` are the nodes that are
    connected and have said nothing for so many seconds, ``networks`` what is told of networks.
    """

    now: float
    time: str
    newest_slot: int
    nodes: Sequence[Node]
    decode_errors: int
    lagged: dict[str, int]
    store_trouble: float
    store_state: str
    silent: Mapping[str, float] = Factory(dict)
    networks: Summaries = Factory(dict)
