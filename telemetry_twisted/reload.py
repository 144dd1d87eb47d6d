"""What an operator may change while the server runs: it is read again on SIGHUP."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure


class Reloads:
    """Knows what can be read again, and has that done."""

    _log = Logger()

    def __init__(self) -> None:
        self._reloads: list[tuple[str, Callable[[], object]]] = []

    def add(self, title: str, reload: Callable[[], object]) -> None:
        """Have ``reload`` called on SIGHUP; it may return a Deferred.

        It keeps what it has when it cannot read it anew, and raises why.

        :param title: what the log calls it, such as "API tokens".
        """
        self._reloads.append((title, reload))

    def run(self) -> Deferred[None]:
        """Read everything again, in the order in which it was added.

        What cannot be read is logged and keeps nothing else from being read. Fires when all is.
        """
        if not self._reloads:
            self._log.info("asked to read again, but there is nothing that can be")
        done = [self._reload(title, reload) for title, reload in self._reloads]
        return gatherResults(done).addCallback(lambda _: None)

    def _reload(self, title: str, reload: Callable[[], object]) -> Deferred[None]:
        def succeeded(_: object) -> None:
            self._log.info("{title}: read again", title=title)

        def failed(failure: Failure) -> None:
            # What an operator got wrong is told in a line, a mistake of ours with where it is.
            if failure.check(OSError, ValueError):
                self._log.error(
                    "{title}: cannot be read again: {reason}; what was read before stays",
                    title=title,
                    reason=failure.getErrorMessage().rstrip("."),
                )
            else:
                self._log.failure("{title}: cannot be read again", failure, title=title)

        return maybeDeferred(reload).addCallbacks(succeeded, failed)
