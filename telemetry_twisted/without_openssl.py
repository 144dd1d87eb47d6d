"""Processes that speak no TLS, and so need no OpenSSL."""

from __future__ import annotations

import sys


def leave_out_openssl() -> None:
    """Have Twisted find that there is no OpenSSL, unless it has been imported already.

    Where pyOpenSSL is installed, ``twisted.internet`` imports it, and ``cryptography`` with it:
    8 MiB of each process, and another 10 of libraries. ``asyncio``, of which Twisted takes two
    names, imports Python's own ``ssl``: another MiB. Both go without; None stands in Python's
    module cache for what cannot be found (https://docs.python.org/3/reference/import.html). Only
    for processes in which all that runs is known, since nothing can import them afterwards.
    """
    for module in ("OpenSSL", "ssl"):
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]
