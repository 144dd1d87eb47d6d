"""Tokens: who holds which, and what it lets them do.

A file of them has one a line, with the name of who holds it and a role::

    # name      role     token
    dashboard   read     5f0c8e6b6d1f4c7e9a3b2d10
    prometheus  metrics  c2a91e0d7b8844f5b6a0e3f9

Only digests are kept in memory, and all of them are compared, each in a time that does not depend
on how much of it is right.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable
from enum import Enum

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from telemetry_twisted.files import WatchedFiles

SHORTEST, LONGEST = 16, 256
"""Characters of a token. Shorter ones could be guessed."""

MOST_TOKENS = 1000
"""Tokens in a file."""

LARGEST_FILE = 1 << 20
"""Bytes of a file."""

_TOKEN = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
_NAME = re.compile(r"[\w.@-]{1,64}", re.ASCII)


class Role(Enum):
    """What the holder of a token may do."""

    READ = "read"
    METRICS = "metrics"


@frozen
class Holder:
    """Who holds a token. ``digest`` is the token's."""

    name: str
    role: Role
    digest: bytes


@frozen
class TokenSet:
    """The tokens that are good."""

    holders: tuple[Holder, ...]

    @classmethod
    def parse(cls, text: str) -> TokenSet:
        """The tokens in a file.

        :raises ValueError: with the number of the line, and what was expected there. Tokens are
            never told.
        """
        holders: dict[bytes, Holder] = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            try:
                holder = _read_line(words)
                if holder.digest in holders:
                    raise ValueError("the same token stands in an earlier line; expected another")
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            holders[holder.digest] = holder
        if not 0 < len(holders) <= MOST_TOKENS:
            raise ValueError(f"{len(holders)} tokens; expected 1 to {MOST_TOKENS}")
        return cls(tuple(holders.values()))

    def holder_of(self, token: str) -> Holder | None:
        """Who holds ``token``, or None if nobody does."""
        return self._with_digest(digest_of(token))

    def still_has(self, holder: Holder) -> bool:
        """Whether the token of ``holder`` is still good, and for the same."""
        return self._with_digest(holder.digest) == holder

    def _with_digest(self, digest: bytes) -> Holder | None:
        found = None
        for holder in self.holders:
            if hmac.compare_digest(holder.digest, digest):
                found = holder
        return found


def digest_of(token: str) -> bytes:
    """What a token is known by."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _read_line(words: list[str]) -> Holder:
    if len(words) != 3:
        raise ValueError("expected a name, a role and a token, separated by spaces")
    # Whatever stands there may be a token, so none of it is repeated.
    name, role, token = words
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            "the name, which stands first, is expected to be of letters, digits and . _ @ -, "
            "64 of them at most"
        )
    if role not in (known.value for known in Role):
        raise ValueError("the role, which stands second, is expected to be read or metrics")
    if not SHORTEST <= len(token) <= LONGEST or _TOKEN.fullmatch(token) is None:
        raise ValueError(
            "the token, which stands third, is expected to be of letters, digits and . _ ~ -, "
            f"{SHORTEST} to {LONGEST} of them, as `openssl rand -hex 32` makes one"
        )
    return Holder(name, Role(role), digest_of(token))


class TokenFile:
    """The tokens in a file, read again when it changes.

    What is there then but is not as it should be is told in the log, and the tokens stay as they
    were.

    :raises ValueError: from the start, if the file cannot be read or is not as it should be.
    """

    _log = Logger()

    def __init__(self, path: str, clock: IReactorTime) -> None:
        self._path = path
        self._watched = WatchedFiles([path], clock)
        self._tokens = read_token_file(path)
        self._warn_of_readers()
        self._changed: list[Callable[[TokenSet], object]] = []

    def when_changed(self, callback: Callable[[TokenSet], object]) -> None:
        """Have ``callback`` told of the tokens that are good, each time they were read again."""
        self._changed.append(callback)

    @property
    def current(self) -> TokenSet:
        """The tokens that are good now."""
        if self._watched.changed:
            self._reread()
        return self._tokens

    def _reread(self) -> None:
        try:
            self.reload()
        except ValueError as error:
            self._log.error("tokens stay as they were: {error}", error=error)
        else:
            number = len(self._tokens.holders)
            self._log.info("{path} has changed: {number} tokens", path=self._path, number=number)

    def reload(self) -> None:
        """Read the file again.

        :raises ValueError: with what is wrong with it; the tokens stay as they were.
        """
        self._watched.reading()
        try:
            self._tokens = read_token_file(self._path)
        except ValueError as error:
            raise ValueError(f"{self._path}: {error}") from None
        self._warn_of_readers()
        for callback in self._changed:
            callback(self._tokens)

    def _warn_of_readers(self) -> None:
        try:
            mode = os.stat(self._path).st_mode
        except OSError:
            return
        if mode & 0o044:
            self._log.warn(
                "{path} can be read by others than its owner; chmod 600 {path} keeps its tokens "
                "from them",
                path=self._path,
            )


def read_token_file(path: str) -> TokenSet:
    """The tokens in the file at ``path``.

    :raises ValueError: with what is wrong with it.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_FILE:
        raise ValueError(f"more than {LARGEST_FILE} bytes; expected tokens, one a line")
    try:
        return TokenSet.parse(content.decode())
    except UnicodeDecodeError:
        raise ValueError("no UTF-8 text; expected tokens, one a line") from None
