"""What the system allows a process."""

from __future__ import annotations

import resource
import sys


def raise_descriptor_limit() -> None:
    """Allow as many open files as the system lets us: each node and subscriber is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def descriptor_limit() -> int:
    """How many files may be open once :func:`raise_descriptor_limit` was called."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard
