"""What the nodes of a benchmark send: simulated, and recorded so that it can be sent cheaply.

``python -m bench.traffic FILE`` records.
"""

from __future__ import annotations

import argparse
import pickle
import struct
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

from attrs import frozen

CORES = 341
NODES = 1024
MOST_NODES = 4096
"""As many have information to introduce themselves with."""

RECORDED_NODES = 4
"""How many nodes a block is recorded of, each for a slot of six seconds."""

_DROPPED = struct.Struct("<QBQQ")


@frozen
class Block:
    """Encoded events: ``data`` is the frames joined, ``offsets`` where each begins and the end.

    ``firsts`` tells for each node that they are of the index of its first one, and its event ID.
    """

    data: bytes
    offsets: tuple[int, ...]
    firsts: tuple[tuple[int, int], ...] = ((0, 0),)

    @property
    def count(self) -> int:
        """The number of events."""
        return len(self.offsets) - 1

    def dropped_before(self, index: int, time: int) -> bytes:
        """The frame of an event, as of ``time``, that stands for all that the node of the event
        with ``index`` had sent before. IDs are as recorded after it, and what refers to them right.
        """
        begin, first_id = max(first for first in self.firsts if first[0] <= index)
        content = _DROPPED.pack(time, 0, time, first_id + index - begin)
        return len(content).to_bytes(4, "little") + content


@frozen
class Traffic:
    """What nodes send: ``informations`` their first messages, ``block`` the events of some.

    There are :data:`MOST_NODES` of both; ``node_ids`` are as the server shows them. The events are
    those that a busy network of :data:`NODES` validators sends, in the same shares.
    """

    node_ids: tuple[str, ...]
    informations: tuple[bytes, ...]
    block: Block

    def save(self, path: Path) -> None:
        """Keep it in a file."""
        block = self.block
        parts = (self.node_ids, self.informations, block.data, block.offsets, block.firsts)
        path.write_bytes(pickle.dumps(parts))

    @classmethod
    def load(cls, path: Path) -> Traffic:
        """Read what :meth:`save` wrote."""
        node_ids, informations, *block = pickle.loads(path.read_bytes())
        return cls(node_ids, informations, Block(*block))


def block_of(frames: Iterable[bytes], firsts: Iterable[tuple[int, int]] = ((0, 0),)) -> Block:
    """The frames joined."""
    frames = tuple(frames)
    offsets = tuple(accumulate(map(len, frames), initial=0))
    return Block(b"".join(frames), offsets, tuple(firsts))


def simulate() -> Traffic:
    """The traffic of :data:`NODES` simulated validators."""
    # Imported here, so that the many processes that only read a recording start quickly.
    from telemetry_twisted.simulator.blockchain import SLOT
    from telemetry_twisted.simulator.network import Network
    from telemetry_twisted.simulator.node import Node
    from telemetry_twisted.simulator.play import messages

    network = Network(nodes=NODES, cores=CORES)
    frames: list[bytes] = []
    firsts = []
    for index in range(RECORDED_NODES):
        node = Node(network, index)
        before = messages(node.advance(node.begins + SLOT))
        firsts.append((len(frames), sum(map(ids_used, before))))
        slot = node.advance(node.begins + 2 * SLOT)
        frames += (len(content).to_bytes(4, "little") + content for content in messages(slot))
    many = Network(nodes=MOST_NODES, cores=CORES)
    return Traffic(
        tuple(map(many.node_id, range(MOST_NODES))),
        tuple(map(many.node_information, range(MOST_NODES))),
        block_of(frames, firsts),
    )


def ids_used(content: bytes) -> int:
    """How many event IDs a message takes."""
    dropped = content[8] == 0
    return int.from_bytes(content[17:25], "little") if dropped else 1


def main() -> None:
    """Record into the file that the command line names."""
    parser = argparse.ArgumentParser(prog="bench.traffic", description=__doc__)
    parser.add_argument("file", type=Path, help="to write")
    simulate().save(parser.parse_args().file)


if __name__ == "__main__":
    main()
