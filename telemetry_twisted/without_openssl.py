"""Processes that speak no TLS, and so need no OpenSSL."""

from __future__ import annotations

import sys


def leave_out_openssl() -> None:
    """Have Twisted, which is not imported yet, find that pyOpenSSL is not installed.

    Where it is, ``twisted.internet`` imports it together with ``cryptography``: 8 MiB of each
    process, and as much of libraries. Twisted goes without; None stands in Python's module cache
    for what cannot be found (https://docs.python.org/3/reference/import.html#the-module-cache).

    :raises RuntimeError: if it is too late.
    """
    if "OpenSSL" in sys.modules or "twisted.internet.reactor" in sys.modules:
        raise RuntimeError("OpenSSL was imported before it was left out; leave it out first")
    sys.modules["OpenSSL"] = None  # type: ignore[assignment]
