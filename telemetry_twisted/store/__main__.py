"""``python -m telemetry_twisted.store``: the store process, started by the hub."""

from __future__ import annotations

import gc
import os

from telemetry_twisted.load_when_used import import_deferreds_without_asyncio, load_when_used
from telemetry_twisted.without_openssl import leave_out_openssl

NICENESS = 3
"""How far history stands back: when the machine is busy, the stream comes first.

It gets half of what another has that wants all it can get, so that beside two busy loops on two
cores it writes what 1,024 nodes send. At 10 it gets a tenth, which is not enough, and a stream that
goes as fast as it can is no faster for it: there history gives way by taking fewer raw events.
"""

GARBAGE_OBJECTS = 10_000
"""After how many new objects cycles are looked for: a record is decoded into as many, which go by
themselves, and would each time be gone through with all that is kept."""


def main() -> None:
    """Run until the hub says so, or is gone."""
    os.nice(NICENESS)
    gc.set_threshold(GARBAGE_OBJECTS)
    leave_out_openssl()
    load_when_used("http.cookiejar")
    import_deferreds_without_asyncio()
    # Not before: both import Twisted.
    from telemetry_twisted.store.write.process import StoreProcess
    from telemetry_twisted.transport.child import run_child

    run_child(StoreProcess)


if __name__ == "__main__":
    main()
