"""What the server asks of a reactor."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorProcess,
    IReactorSocket,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
)


class IServerReactor(
    IReactorCore,
    IReactorTime,
    IReactorFDSet,
    IReactorSocket,
    IReactorTCP,
    IReactorUNIX,
    IReactorProcess,
    IReactorThreads,
):
    """A reactor that can do all that the hub and its child processes need."""
