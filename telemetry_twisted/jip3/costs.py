"""Reads what executing services cost out of messages that have been decoded once already."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .natural import decode_natural
from .observed import COST_TYPES, Phase
from .table import TABLE, EventType, Pair, Seq, Struct, Type, Uint, fixed_size, leaves

PACKAGE_RECEIVED = 94
"""The event whose outline says which services the items of a work package are of."""

MOST_ITEMS = 16
"""Work items of a package whose service is kept; no package has more (Gray Paper, I)."""

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def _offset_of_last(event: EventType) -> int:
    (*_, (last, _)) = event.fields
    offset = event.offset_of(last)
    if offset is None:
        raise ValueError(f"{event.name} has its last field at no fixed place")
    return offset


def _layout_of(wire: Type) -> struct.Struct:
    """The numbers of a cost, or of one item of a sequence of them."""
    item = wire.item if isinstance(wire, Seq) else wire
    members = (item.first, item.second) if isinstance(item, Pair) else (item,)
    whole = Struct("", tuple(("", member) for member in members))
    sizes = (leaf.size for _, leaf in leaves(whole.fields) if isinstance(leaf, Uint))
    return struct.Struct("<" + "".join(_CODES[size] for size in sizes))


_COSTS = {
    phase: (_offset_of_last(TABLE.events[kind]), _layout_of(TABLE.events[kind].fields[-1][1]))
    for kind, phase in COST_TYPES.items()
}
_PACKAGE = TABLE.events[PACKAGE_RECEIVED]


def services_in(content: bytes) -> tuple[int, ...]:
    """The services of the first :data:`MOST_ITEMS` items of the package that was received."""
    at = _offset_of_last(_PACKAGE)
    outline = _PACKAGE.fields[-1][1]
    assert isinstance(outline, Struct)
    for name, wire in outline.fields:
        if name == "work_items" and isinstance(wire, Seq):
            return tuple(_services_of(wire.item, content, at))
        at = _after(wire, content, at)
    raise ValueError(f"{_PACKAGE.name} has no work items")


def _services_of(item: Type, content: bytes, at: int) -> Iterator[int]:
    number, at = decode_natural(content, at, len(content))
    for _ in range(min(number, MOST_ITEMS)):
        yield int.from_bytes(content[at : at + 4], "little")  # the first field of an item
        at = _after(item, content, at)


def _after(wire: Type, content: bytes, at: int) -> int:
    """Where a value ends that begins at ``at``."""
    size = fixed_size(wire)
    if size is not None:
        return at + size
    if isinstance(wire, Seq):
        number, at = decode_natural(content, at, len(content))
        size = fixed_size(wire.item)
        if size is not None:
            return at + number * size
        for _ in range(number):
            at = _after(wire.item, content, at)
    elif isinstance(wire, Struct):
        for _, member in wire.fields:
            at = _after(member, content, at)
    return at


def costs_in(content: bytes, phase: Phase) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """What a message that tells costs of ``phase`` says: for each execution the service, None
    where it is known from the work package alone, and what it consists of."""
    offset, layout = _COSTS[phase]
    if phase is Phase.AUTHORIZE:
        yield None, layout.unpack_from(content, offset)
        return
    number, at = decode_natural(content, offset, len(content))
    for values in layout.iter_unpack(content[at : at + number * layout.size]):
        if phase is Phase.ACCUMULATE:
            yield values[0], values[1:]
        else:
            yield None, values
