"""Streams that a token has opened, which end with it."""

from __future__ import annotations

from collections import Counter
from typing import Any
from weakref import WeakKeyDictionary

from twisted.logger import Logger

from .tokens import Holder, TokenSet


class OpenStreams:
    """Knows by whose token a connection became a stream, for as long as there is the connection."""

    _log = Logger()

    def __init__(self) -> None:
        self._holders: WeakKeyDictionary[Any, Holder] = WeakKeyDictionary()

    def opened(self, channel: Any, holder: Holder) -> None:
        """``holder`` was let in on ``channel``, an HTTP connection, to something that goes on."""
        self._holders[channel] = holder

    def end_those_without(self, tokens: TokenSet) -> None:
        """Close those whose token is not good any more."""
        ended = [
            (channel, holder)
            for channel, holder in self._holders.items()
            if not tokens.still_has(holder)
        ]
        names = Counter(holder.name for _, holder in ended)
        for name, count in names.items():
            self._log.info("{count} streams end with the token of {name}", count=count, name=name)
        for channel, _ in ended:
            del self._holders[channel]
            # One that has ended meanwhile has no transport any more.
            if channel.transport is not None:
                channel.transport.abortConnection()
