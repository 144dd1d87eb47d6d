"""The log file of ``twistd`` and ``twist``: begun anew when somebody asks for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from io import TextIOWrapper
from typing import Any, Protocol

from twisted.logger import ILogObserver, textFileLogObserver
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile


class ServerLog(Protocol):
    """Where the server logs."""

    def reopen(self) -> None:
        """Write to the file of that name, after somebody has moved the present one away.

        :raises OSError: if it cannot be opened; the present one is kept then.
        """

    def rotate(self) -> None:
        """Begin a new file if that is ours to do, and keep the present one beside it."""

    def adopt(self, application: object) -> None:
        """Have ``application`` log here, if it does not."""


class RotatedLog:
    """The log file at ``path``, as ``twistd --logfile`` has it, in our hands.

    ``twistd`` knows how to rotate the one that it makes, but lets nobody reopen it.
    """

    def __init__(self, path: str) -> None:
        self._file = LogFile.fromFullPath(path)

    def reopen(self) -> None:
        with open(self._file.path, "ab"):
            pass
        self._file.reopen()

    def rotate(self) -> None:
        self._file.rotate()

    def adopt(self, application: object) -> None:
        if isinstance(application, Componentized):
            application.setComponent(ILogObserver, textFileLogObserver(self._file))


class StreamLog:
    """The log file of ``twist --log-file``, a stream that is open already."""

    def __init__(self, stream: TextIOWrapper) -> None:
        self._stream = stream

    def reopen(self) -> None:
        anew = os.open(self._stream.name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            self._stream.flush()
            os.dup2(anew, self._stream.fileno(), inheritable=False)
        finally:
            os.close(anew)

    def rotate(self) -> None:
        pass

    def adopt(self, application: object) -> None:
        pass


def server_log(options: Mapping[str, Any] | None) -> ServerLog | None:
    """The log file by the ``options`` of ``twistd`` or ``twist``, if there is one."""
    if options is None or options.get("syslog") or options.get("logger"):
        return None
    stream = options.get("logFile")
    if isinstance(stream, TextIOWrapper) and stream not in (sys.__stdout__, sys.__stderr__):
        return StreamLog(stream)
    if "logfile" not in options:
        return None
    path = options["logfile"] or ("-" if options["nodaemon"] else "twistd.log")
    return None if path == "-" else RotatedLog(path)
