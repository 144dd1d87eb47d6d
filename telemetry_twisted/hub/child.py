"""What a supervisor and the hub's side of a child process have to do with each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from attrs import define, frozen

from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.transport.link import RecordHandler
from telemetry_twisted.transport.records import Chunk

from .silence import Patience


class ChildState(Enum):
    """What a supervisor knows of its child."""

    STOPPED = "stopped"
    """It does not run."""

    STARTING = "starting"
    """It was started, and nothing was heard of it so far."""

    RUNNING = "running"
    """It was heard of lately."""

    LATE = "late"
    """Nothing was heard of it for longer than it is ever silent: stopped, or stuck."""


_ADVICE = {
    ChildState.STOPPED: "another is started soon; see the log for why this comes again",
    ChildState.STARTING: "it is there in a moment; see the log if it is not",
    ChildState.LATE: "it is replaced if that lasts; see what else the machine does",
}


@define(eq=False)
class Condition:
    """How a child process fares, over all of its runs; its supervisor alone writes it.

    ``name`` is for machines, ``title`` for sentences. ``since`` is when it came to be in ``state``,
    in Unix time, None before the first start. ``restarts`` counts the runs that ended and had to be
    followed by another, starts that failed among them; ``last_end`` says how the last one ended.
    """

    name: str
    title: str
    state: ChildState = ChildState.STOPPED
    since: float | None = None
    pid: int | None = None
    restarts: int = 0
    last_end: str | None = None

    @property
    def running(self) -> bool:
        """Whether it works, as far as can be heard."""
        return self.state is ChildState.RUNNING

    @property
    def problem(self) -> str | None:
        """What keeps it from its work, since when, and what to do, if something does."""
        if self.running:
            return None
        since = "" if self.since is None else f" since {rfc3339(self.since)}"
        why = ""
        if self.state is ChildState.LATE:
            why = ": nothing is heard of it"
        elif self.last_end is not None:
            why = f": the last one ended ({self.last_end})"
        return f"{self.title} is {self.state.value}{since}{why}; {_ADVICE[self.state]}"

    def as_json(self) -> dict[str, Any]:
        """For health and metrics."""
        return {
            "name": self.name,
            "state": self.state.value,
            "since": None if self.since is None else rfc3339(self.since),
            "pid": self.pid,
            "restarts": self.restarts,
            "last_end": self.last_end,
        }


@frozen
class Launch:
    """What a run of a child process needs.

    ``arguments`` follow ``python``. ``descriptors`` are further ones of the child's, by their
    number there; they are closed here once it runs, or could not be started.
    """

    arguments: Sequence[str]
    descriptors: Mapping[int, int]


class Child(RecordHandler, Protocol):
    """The hub's side of a child process, through all of its runs."""

    condition: Condition
    patience: Patience

    @property
    def chunk_received(self) -> Callable[[Chunk], None] | None:
        """What is given the chunks that it sends; None where it sends none."""

    def launch(self) -> Launch:
        """What the next run needs; whatever it raises is a start that failed."""

    def process_started(self) -> None:
        """It runs; ``condition`` has its pid."""

    def process_ended(self, reason: str) -> None:
        """It is gone, and so is its link: all that it sent has been handed over."""

    def state_changed(self) -> None:
        """``condition`` has another state."""
