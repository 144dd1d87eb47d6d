"""Processes that speak no TLS, and so need no OpenSSL."""

from __future__ import annotations

from .load_when_used import leave_out


def leave_out_openssl() -> None:
    """Have Twisted find that there is no OpenSSL, unless it has been imported already.

    Where pyOpenSSL is installed, ``twisted.internet`` imports it, and ``cryptography`` with it:
    8 MiB of each process, and another 10 of libraries. ``asyncio``, of which Twisted takes two
    names, imports Python's own ``ssl``: another MiB. Both go without.
    """
    leave_out("OpenSSL", "ssl")
