"""The codec alone, on one core, for each of the 115 events."""

from __future__ import annotations

from attrs import evolve

from telemetry_twisted.jip3.table import TABLE

from .codec_mix import measure_of
from .one_type import block_of_type
from .rows import Measure, Report, Target, interleave
from .settings import Settings
from .traffic import Traffic

EVENTS = 500
SECONDS = 0.004
CODECS = ("A", "python", "compiled")


def run(settings: Settings) -> Report:
    """Events per second of processor time, an event at a time."""
    cases = {f"{number} {event.name}": number for number, event in TABLE.events.items()}
    traffic = Traffic.load(settings.traffic)
    measures: dict[tuple[str, str], Measure] = {}
    for case, number in cases.items():
        one_type = evolve(traffic, block=block_of_type(number, EVENTS))
        for system in CODECS:
            measures[case, system] = measure_of(system, one_type, SECONDS)
    return Report(
        "codec_each",
        "Codec, each event, one core",
        interleave(settings.repeats, "events/s", measures),
        tuple(Target(case, "compiled", 10, against=(case, "A")) for case in cases),
        about="events of this type a second of processor time that become finished messages.",
    )
