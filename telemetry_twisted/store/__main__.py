"""``python -m telemetry_twisted.store``: the store process, started by the hub."""

from __future__ import annotations

import os

from telemetry_twisted.store.write.process import StoreProcess
from telemetry_twisted.transport.child import run_child

NICENESS = 10
"""How far history stands back: when the machine is busy, the stream comes first."""

if __name__ == "__main__":
    os.nice(NICENESS)
    run_child(StoreProcess)
