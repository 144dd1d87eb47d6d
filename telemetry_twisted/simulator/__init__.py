"""Simulated JAM nodes, the load of tests and benchmarks.

Without sockets: a :class:`Network`, and of each of its nodes a :class:`Node`, whose ``information``
and ``advance`` give the bytes that it sends; :func:`play` gives the events of all. With them: a
:class:`Fleet`, or the command ``telemetry-simulator``. Either way a :class:`Summary` says what was
sent.
"""

from .fleet import Fleet
from .network import Network
from .node import Node
from .play import NodeEvent, events_of, messages, play
from .summary import Summary

__all__ = [
    "Fleet",
    "Network",
    "Node",
    "NodeEvent",
    "Summary",
    "events_of",
    "messages",
    "play",
]
