"""The nodes that may connect, where an operator has listed them."""

from __future__ import annotations

from telemetry_twisted.reading import node_id_in

LARGEST_FILE = 16 << 20
"""Bytes of a list, which is about 200,000 IDs."""


class AllowedNodes:
    """The node IDs in a file, one a line; what follows a ``#`` is a comment.

    :raises ValueError: if the file cannot be read or is not as it should be.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._node_ids = read_node_list(path)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._node_ids

    def reload(self) -> None:
        """Read the file again.

        :raises ValueError: with what is wrong with it; the list stays as it was.
        """
        try:
            self._node_ids = read_node_list(self._path)
        except ValueError as error:
            raise ValueError(f"{self._path}: {error}") from None


def read_node_list(path: str) -> frozenset[str]:
    """The node IDs in a file, as 64 lowercase hex digits each.

    :raises ValueError: with the number of the line, and what was expected there.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(LARGEST_FILE + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"cannot be read ({reason}); expected node IDs, one a line") from None
    if len(text) > LARGEST_FILE:
        raise ValueError(f"expected a file of at most {LARGEST_FILE} bytes")
    node_ids = set()
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        node_id = node_id_in(entry)
        if node_id is None:
            shown = entry if len(entry) <= 70 else f"{entry[:70]}…"
            raise ValueError(
                f"line {number}: expected a node ID, which is 64 hex digits, not {shown!r}"
            )
        node_ids.add(node_id)
    if not node_ids:
        raise ValueError("expected at least one node ID, or nobody could connect")
    return frozenset(node_ids)
