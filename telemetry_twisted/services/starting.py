"""What is said when the server cannot start, and to whom."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from types import TracebackType

STANDARD_ERROR = 2


class CannotStart(Exception):
    """What keeps the server from starting, and what to do about it, in words for its operator."""


class Terminal:
    """Where whoever starts the server reads why it did not.

    It is standard error as it was when this was made: ``twistd`` sends what is written there to the
    log, and a daemon has none any more when its ports are bound.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        with suppress(OSError):  # There may be no standard error at all.
            self._descriptor = os.dup(STANDARD_ERROR)

    def refuse(self, error: CannotStart) -> None:
        """Say why it does not start; ``error`` is to be raised and needs no traceback as well."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.write(self._descriptor, f"telemetry: {error}\n".encode())
        self.close()
        others = sys.excepthook

        def hook(
            kind: type[BaseException], value: BaseException, traceback: TracebackType | None
        ) -> None:
            if not issubclass(kind, CannotStart):
                others(kind, value, traceback)

        sys.excepthook = hook

    def close(self) -> None:
        """Let go of it: the server has started, and nobody waits for its terminal to end."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def exit_as_failed() -> None:
    """Have this process end with exit code 1 when the reactor has stopped.

    ``twistd`` takes a reactor that stops for a server that ended well.
    """

    def leave() -> None:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        os._exit(1)

    atexit.register(leave)
