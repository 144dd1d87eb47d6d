"""Keeps every core busy for a part of the time, as other programs on a machine do.

``python -m bench.busy --share 0.5`` starts a process for each core and ties it there. Each takes a
millisecond of the processor, if it gets it, and rests as its share says, until it is told to stop.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from multiprocessing import get_context

BUSY_SECONDS = 0.001


def burn(core: int, share: float) -> None:
    """Keep ``core`` busy for ``share`` of the time."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.sched_setaffinity(0, {core})
    rest = BUSY_SECONDS * (1 - share) / share
    while True:
        end = time.thread_time() + BUSY_SECONDS
        while time.thread_time() < end:
            pass
        time.sleep(rest)


def main() -> None:
    """Keep the cores busy as the command line says."""
    parser = argparse.ArgumentParser(prog="bench.busy", description=__doc__)
    parser.add_argument("--share", type=float, default=0.5, help="of each core (default 0.5)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    context = get_context("fork")
    # Daemons end with the process that started them.
    for core in os.sched_getaffinity(0):
        context.Process(target=burn, args=(core, options.share), daemon=True).start()
    print("ready", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
