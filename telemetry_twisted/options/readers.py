"""What makes an option's value of the text that was given, and says what was expected."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from telemetry_twisted.api.access.tokens import read_token_file
from telemetry_twisted.api.access.urls import PublicUrl
from telemetry_twisted.hub.allowed import read_node_list
from telemetry_twisted.jip3.codec import CodecUnavailable, load_codec
from telemetry_twisted.networks import Networks
from telemetry_twisted.notify.address import ReceiverUrl
from telemetry_twisted.reading import UNITS, one_of
from telemetry_twisted.store.database.opening import require_driver

SHORTEST_SECRET, LONGEST_SECRET = 16, 256
"""Bytes of the secret that alerts are signed with. A shorter one could be guessed."""

Read = Callable[[str], Any]
"""Makes an option's value of its text; raises ValueError with what was expected."""


def duration(text: str) -> int:
    """A number and a unit of time, in seconds."""
    match = re.fullmatch(r"(\d{1,9})([smhd])|0", text, re.ASCII)
    if match is None:
        raise ValueError("expected a number and one of s, m, h, d, such as 90s or 1h, or 0")
    return 0 if match[1] is None else int(match[1]) * UNITS[match[2]]


def endpoint(*kinds: str) -> Read:
    """A Twisted server endpoint, of one of ``kinds`` if there are any."""
    example = "such as tcp:9000:interface=127.0.0.1"

    def read(text: str) -> str:
        if kinds and text.partition(":")[0] not in kinds:
            raise ValueError(
                f"expected a {' or '.join(f'{kind}:' for kind in kinds)} endpoint, {example}"
            )
        # Not before a value is looked at: it brings OpenSSL, which not every process needs.
        from .endpoints import check_endpoint

        try:
            check_endpoint(text)
        except Exception as error:
            raise ValueError(f"expected a Twisted server endpoint, {example} ({error})") from error
        return text

    return read


def codec(text: str) -> str:
    """The name of a codec that can run here."""
    one_of("auto", "compiled", "python")(text)
    try:
        load_codec(text)
    except CodecUnavailable as error:
        raise ValueError(str(error)) from error
    return text


def database(text: str) -> str:
    """The address of a database."""
    require_driver(text)
    return text


def token_file(text: str) -> str | None:
    """A file of tokens, by its whole path; None if there is to be none."""
    if not text:
        return None
    read_token_file(text)
    return os.path.abspath(text)


def node_list(text: str) -> str | None:
    """A file of node IDs, by its whole path; None if all nodes may connect."""
    if not text:
        return None
    read_node_list(text)
    return os.path.abspath(text)


def networks(text: str) -> str:
    """Networks and addresses, separated by commas; empty if there are none."""
    if text:
        Networks.parse(text)
    return text


def receivers(text: str) -> tuple[ReceiverUrl, ...]:
    """Where alerts are sent, separated by commas; nowhere if empty."""
    return tuple(ReceiverUrl.parse(part.strip()) for part in text.split(",")) if text else ()


def secret_file(text: str) -> bytes | None:
    """The first line of a file, which is what alerts are signed with; None if there is no file."""
    if not text:
        return None
    try:
        with open(text, "rb") as file:
            secret = file.read(LONGEST_SECRET + 2).partition(b"\n")[0].strip()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        raise ValueError(
            f"its first line has {len(secret)} bytes; expected a secret of {SHORTEST_SECRET} to "
            f"{LONGEST_SECRET} bytes"
        )
    return secret


def public_urls(text: str) -> tuple[PublicUrl, ...]:
    """Where the public finds the server, separated by commas; nowhere in particular if empty."""
    return tuple(PublicUrl.parse(part.strip()) for part in text.split(",")) if text else ()
