"""Small numbers for the networks whose nodes a process reads."""

from __future__ import annotations

from telemetry_twisted.jip3.gathering import NO_NETWORK


class NetworkIndexes:
    """Gives each genesis hash an index while a connection names it, the lowest that is free.

    There are :data:`~telemetry_twisted.jip3.gathering.NO_NETWORK` of them, and those who name one
    more get that, which is no index. ``hashes`` are those at the indexes; where one is free among
    them, it is zeros.
    """

    def __init__(self) -> None:
        self.hashes: tuple[bytes, ...] = ()
        self._genesis: dict[int, str] = {}
        self._indexes: dict[str, int] = {}

    def enter(self, connection: int, genesis: str) -> int:
        """The index of ``genesis`` (``0x`` and 64 hex digits), which ``connection`` names."""
        if genesis not in self._indexes:
            taken = set(self._indexes.values())
            index = next(index for index in range(NO_NETWORK + 1) if index not in taken)
            if index == NO_NETWORK:
                return index
            self._indexes[genesis] = index
        self._genesis[connection] = genesis
        self._list()
        return self._indexes[genesis]

    def leave(self, connection: int) -> None:
        """``connection`` is over."""
        genesis = self._genesis.pop(connection, None)
        if genesis is not None and genesis not in self._genesis.values():
            del self._indexes[genesis]
            self._list()

    def _list(self) -> None:
        hashes = [bytes(32)] * (max(self._indexes.values(), default=-1) + 1)
        for genesis, index in self._indexes.items():
            hashes[index] = bytes.fromhex(genesis[2:])
        self.hashes = tuple(hashes)
