"""The signals of operators, which the hub's child processes leave to the hub."""

from __future__ import annotations

import signal

TO_END = (signal.SIGINT, signal.SIGTERM)
OF_OPERATORS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def leave_signals_to_hub() -> None:
    """Have this process, a child of the hub, ignore what its operators signal.

    A terminal and a service manager signal all processes of the server, but what that means is the
    hub's to act on: it ends its children one after another, so that what each has left still finds
    the next.
    """
    for number in (*TO_END, *OF_OPERATORS):
        signal.signal(number, signal.SIG_IGN)
