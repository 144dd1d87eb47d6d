"""The options of the command ``telemetry-simulator``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime, timezone

from .blockchain import era_time
from .network import EARLIEST_START, MAX_CLOCK_SKEW, MAX_CORES, MAX_NODES, MAX_RATE, MIN_RATE
from .troubles import TROUBLES

DESCRIPTION = """\
Simulated validators of a JAM network that send telemetry (JIP-3) to a server.

They share one chain of 6-second slots and report what real nodes would: status, blocks, tickets,
work packages and their guarantees, and most of all assurances and shards, with event IDs that refer
to one another. Without --duration and --events they go on until Ctrl-C.
"""

EPILOG = """\
The same options, --seed and --start-time give the same events, byte for byte.

The summary goes to standard output, all else to standard error. The exit code is 1 if a connection
was refused, or lost before everything was sent; 2 if an option is wrong.

examples:
  telemetry-simulator
      one node, to a server on this machine
  telemetry-simulator --nodes 1024 --rate 600 --duration 30 192.0.2.7:9000
      a full network for half a minute
  telemetry-simulator --nodes 64 --events 200 --json
      exactly 12,800 events, and what they were
  telemetry-simulator --nodes 64 --profile flood --duration 3600
      the events of an hour, as fast as the server takes them
"""


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="telemetry-simulator",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "server",
        nargs="?",
        type=_host_and_port,
        default="127.0.0.1:9000",
        metavar="HOST:PORT",
        help="where the server takes nodes; [HOST]:PORT for an IPv6 address (default: %(default)s)",
    )
    network = parser.add_argument_group("the network")
    network.add_argument(
        "--nodes",
        type=_within(int, 1, MAX_NODES),
        default=1,
        metavar="N",
        help="how many validators send telemetry (default: %(default)s)",
    )
    network.add_argument(
        "--rate",
        type=_within(float, MIN_RATE, MAX_RATE),
        default=600.0,
        metavar="R",
        help="events per second of each node, on average. What slots bring about makes some 3 and "
        "is always sent, so a lower rate is not reached; traffic between validators fills the rest "
        f"({MIN_RATE} to {MAX_RATE:,}; default: %(default)g, a busy full network)",
    )
    network.add_argument(
        "--cores",
        type=_within(int, 1, MAX_CORES),
        default=341,
        metavar="C",
        help="cores of the network; there are three validators to a core, or as many as nodes "
        "(default: %(default)s)",
    )
    network.add_argument(
        "--gp",
        choices=("0.7", "0.8"),
        default="0.7",
        help="Gray Paper version that fixes the parameters in node information "
        "(default: %(default)s)",
    )
    network.add_argument(
        "--protocol-version",
        type=int,
        choices=(0, 1),
        default=0,
        help="JIP-3 protocol version (default: %(default)s)",
    )
    network.add_argument(
        "--clock-skew",
        type=_within(float, 0, MAX_CLOCK_SKEW),
        default=0.0,
        metavar="MS",
        help="the clock of each node is off by up to so many milliseconds, either way, and by the "
        "same all the time (default: %(default)g)",
    )
    network.add_argument(
        "--forks",
        type=_within(float, 0, 1),
        default=0.0,
        metavar="SHARE",
        help="share of slots that have two blocks; half of the nodes take either for the best "
        "until the next slot (default: %(default)g)",
    )
    network.add_argument(
        "--stuck",
        type=_within(float, 0, 1),
        default=0.0,
        metavar="SHARE",
        help="share of work packages of which nothing is heard any more once the work is done "
        "(default: %(default)g)",
    )
    network.add_argument(
        "--drops",
        type=_within(float, 0, 1),
        default=0.003,
        metavar="SHARE",
        help="share of slots in which a node drops all events for up to a second, and then says "
        "how many there were (default: %(default)g)",
    )
    network.add_argument(
        "--trouble",
        type=_troubles,
        default=(),
        metavar="NAME,...",
        help=f"what is wrong with some of the nodes: {', '.join(TROUBLES)}",
    )
    network.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="what everything random follows from (default: %(default)s)",
    )
    network.add_argument(
        "--start-time",
        type=_start_time,
        metavar="TIME",
        help="when the first node begins, as 2026-01-31T12:00:00Z (default: now)",
    )
    sending = parser.add_argument_group("sending")
    sending.add_argument(
        "--profile",
        choices=("paced", "flood"),
        default="paced",
        help="paced: events are sent when they happen. flood: simulated time passes as fast as the "
        "server takes the events (default: %(default)s)",
    )
    sending.add_argument(
        "--duration",
        type=_within(float, 0.001, 1e9),
        metavar="SECONDS",
        help="simulated time that each node goes on for",
    )
    sending.add_argument(
        "--events",
        type=_within(int, 1, 10**15),
        metavar="N",
        help="events after which each node ends, exactly",
    )
    sending.add_argument(
        "--connect-rate",
        type=_within(float, 0.1, 100_000),
        default=500.0,
        metavar="R",
        help="nodes that connect in a second (default: %(default)g)",
    )
    sending.add_argument(
        "--times",
        type=_within(int, 1, 1_000),
        default=1,
        metavar="N",
        help="how often each node connects, one time after another; it sends --events each time "
        "(default: %(default)s)",
    )
    sending.add_argument(
        "--mistakes",
        type=_within(float, 0, MAX_RATE),
        default=0.0,
        metavar="R",
        help="messages per second of each node that are wrong: of no known type, cut short or too "
        "long (default: %(default)g)",
    )
    sending.add_argument(
        "--cut-after",
        type=_within(float, 0.001, 1e9),
        metavar="SECONDS",
        help="cut each connection after so many seconds on average, in the middle of whatever is "
        "being sent",
    )
    sending.add_argument(
        "--reconnect",
        action="store_true",
        help="connect again after a connection was refused or lost; a node then begins anew, with "
        "event ID 0",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the summary as JSON: counts by event type and by node, failures by type and "
        "reason, and for each slot the times at which nodes reported the block as best and as "
        "final, in microseconds of the JAM Common Era; then the same for each connection, with "
        "what it said it dropped, what was wrong in it, and whether the server has read all of it; "
        "and how chains of events ended, how long they took, and what they cost",
    )
    parser.add_argument(
        "--account",
        type=argparse.FileType("w"),
        metavar="FILE",
        help="write to FILE, as JSON, what all of it means, to hold a server to: each work "
        "package, block, guarantee and assurance, and for each connection how its chains of "
        "events ended, how long they took to the microsecond, and what they cost "
        "(telemetry_twisted.simulator.account reads it, and says what is in it)",
    )
    return parser


def _within(kind: Callable[[str], float], least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {least:,} to {most:,}")
        return value

    return number


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not HOST:PORT, such as 127.0.0.1:9000 or [::1]:9000"
        )
    return host, int(port)


def _troubles(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in TROUBLES:
            raise argparse.ArgumentTypeError(
                f"there is no trouble {name!r}, but {', '.join(TROUBLES)}"
            )
    return names


def _start_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time such as 2026-01-31T12:00:00Z"
        ) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    if era_time(time) < EARLIEST_START:
        raise argparse.ArgumentTypeError(
            f"{text} is before the first minutes of the JAM Common Era"
        )
    return time
