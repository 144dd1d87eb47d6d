from collections.abc import Sequence

from .sink import Piece

def send_to_all(
    descriptors: Sequence[int], pieces: Sequence[Piece], /
) -> list[tuple[int, int]]: ...
