"""Fuzzes what is compiled with mutated messages, against what does the same in Python.

::

    python -m bench.fuzz 60

takes seconds, and ends with an error if they differ in anything. Under the sanitizers, which also
see a read or a write that is out of bounds and changes nothing::

    CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -g" \\
        python setup.py build --build-base build/asan --build-lib build/asan/lib
    cd build/asan/lib
    LD_PRELOAD="$(gcc -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 \\
        PYTHONMALLOC=malloc PYTHONPATH=../../.. nice -n 19 python -m bench.fuzz 900

``PYTHONMALLOC=malloc`` gives each ``bytes`` object a block of its own with guards around it. Work
is done in rounds that depend on nothing but the seed and their number; where a sanitizer ends the
program, ``--first`` with the round that was last reported, and ``--every 1``, leads there again.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from itertools import count
from random import Random

from telemetry_twisted.jip3 import _kernel
from telemetry_twisted.jip3.compiled import CompiledCodec
from telemetry_twisted.jip3.python import PythonCodec

from . import chained, kernel, pool


def main() -> None:
    """Run rounds until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("seconds", type=float, help="how long to run")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--only", choices=("kernel", "pool", "chains"), help="this alone")
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--every", type=int, default=20_000, help="rounds between two reports")
    options = parser.parse_args()
    shared, python, tally = CompiledCodec(), PythonCodec(), kernel.Tally()
    pool_rounds = pool_bytes = chain_rounds = found_bytes = 0
    sanitized = "libasan" in os.environ.get("LD_PRELOAD", "")
    print(
        f"kernel {os.path.relpath(_kernel.__file__)}, Python {platform.python_version()}, "
        f"seed {options.seed}, {'with' if sanitized else 'without'} address sanitizer",
        flush=True,
    )
    began = time.monotonic()
    for number in count(options.first):
        if time.monotonic() - began >= options.seconds:
            break
        if number % options.every == 0:
            print(f"from round {number:,} on", file=sys.stderr, flush=True)
        try:
            random = Random(f"{options.seed}/{number}")
            if options.only in (None, "kernel"):
                kernel.fuzz(random, shared, python, tally)
                tally.rounds += 1
            if options.only in (None, "pool"):
                pool_bytes += pool.fuzz(random)
                pool_rounds += 1
            if options.only == "chains" or (options.only is None and number % 10 == 0):
                found_bytes += chained.fuzz(random)
                chain_rounds += 1
        except BaseException:
            print(f"in round {number}:", file=sys.stderr)
            raise
    print(
        f"{time.monotonic() - began:.0f} s, {tally}",
        f"{pool_rounds:,} rounds of the pool ({pool_bytes:,} bytes)",
        f"{chain_rounds:,} rounds of chains ({found_bytes:,} bytes of observations)",
        "no difference, no error",
        sep="\n",
    )


if __name__ == "__main__":
    main()
