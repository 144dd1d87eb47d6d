"""The codec alone, on one core: bytes of a node to finished messages."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import orjson
import ujson

from telemetry_twisted.jip3.codec import Codec, Dialect, Following, load_codec
from telemetry_twisted.jip3.moment import COMMON_ERA, Moment

from .baselines.node import NodeReader, now
from .rows import Measure, Report, Sample, Target, interleave
from .settings import Settings
from .traffic import CORES, Traffic

READ_BYTES = 65536
"""What a server takes from a socket at once."""

ROOM = 100
"""Events that are decoded at once."""

CASE = "realistic mix"
CHAINS = ", following chains"
CODECS = ("A", "B", "python", f"python{CHAINS}", "compiled", f"compiled{CHAINS}")
NETWORKS = (bytes(32),)


def run(settings: Settings) -> Report:
    """Events per second of processor time."""
    traffic = Traffic.load(settings.traffic)
    measures: dict[tuple[str, str], Measure] = {
        (CASE, system): measure_of(system, traffic, settings.seconds / 8) for system in CODECS
    }
    for measure in measures.values():
        measure()
    return Report(
        "codec_mix",
        "Codec, a realistic mix of all groups, one core",
        interleave(settings.repeats, "events/s", measures),
        (
            Target(CASE, "compiled", 25, against=(CASE, "A")),
            Target(CASE, "python", 1.8, against=(CASE, "A")),
            Target(CASE, f"compiled{CHAINS}", 0.85, against=(CASE, "compiled")),
        ),
        about="events a second of processor time that become finished messages.",
    )


def measure_of(system: str, traffic: Traffic, seconds: float) -> Measure:
    """Measures how fast ``system`` turns ``traffic`` into messages, for about ``seconds``."""
    convert: Callable[[], int]
    match system:
        case "A":
            convert = baseline(
                traffic, lambda message: ujson.dumps(message, escape_forward_slashes=False)
            )
        case "B":
            convert = baseline(traffic, orjson.dumps)
        case _:
            convert = ours(traffic, load_codec(system.removesuffix(CHAINS)), CHAINS in system)

    def measure() -> Sample:
        # What lives on in this process is not what a server would have to look through.
        gc.collect()
        gc.freeze()
        events = 0
        start = time.process_time()
        while (spent := time.process_time() - start) < seconds or not events:
            events += convert()
        return Sample(events / spent) if spent else measure()

    return measure


def baseline(traffic: Traffic, dumps: Callable[[dict[str, Any]], object]) -> Callable[[], int]:
    """Decode to a dict and dump it."""
    reads = _reads(traffic.block.data)

    def convert() -> int:
        reader = NodeReader(count(1))
        reader.feed(traffic.informations[0])
        return sum(len([dumps(event) for event in reader.feed(read)]) for read in reads)

    return convert


def ours(traffic: Traffic, codec: Codec, chains: bool = False) -> Callable[[], int]:
    """Decode straight to messages; with ``chains``, take what is found after all."""
    block = traffic.block
    gatherer = codec.gatherer()
    ends = [index for index, _ in block.firsts[1:]] + [block.count]
    nodes = [
        (first_id, _reads(block.data[block.offsets[begin] : block.offsets[end]]))
        for (begin, first_id), end in zip(block.firsts, ends, strict=True)
    ]
    # At a time at which the nodes could have sent it, since what is off the clock is left out.
    sent = (int.from_bytes(block.data[4:12], "little") + COMMON_ERA) / 1_000_000

    def convert_node(number: int, first_id: int, reads: list[bytes]) -> int:
        dialect = Dialect(traffic.node_ids[number], CORES)
        stream = codec.open(dialect, Following(gatherer, number, 0) if chains else None)
        stream.next_event_id = first_id
        events = 0
        rest = b""
        for read in reads:
            data = rest + read
            at, before = 0, -1
            moment = Moment.at(sent, now().encode())
            while at != before:
                before = at
                decoded = stream.decode(data, at, ROOM, events + 1, 1, moment)
                at = decoded.end
                events += len(decoded.types)
            rest = data[at:]
        stream.end_chains()
        return events

    def convert() -> int:
        events = sum(convert_node(number, *node) for number, node in enumerate(nodes))
        gatherer.take(0, 1, 0, NETWORKS)
        return events

    return convert


def _reads(data: bytes) -> list[bytes]:
    return [data[begin : begin + READ_BYTES] for begin in range(0, len(data), READ_BYTES)]
