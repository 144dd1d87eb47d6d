from array import array

from telemetry_twisted.transport.records import Chunk

class ChunkData:
    first_id: int
    count: int
    run_count: int
    received: int
    read: int
    events: bytes
    beside: bytes
    known_bounds: array[int] | None
    def __init__(
        self,
        first_id: int,
        count: int,
        run_count: int,
        received: int,
        read: int,
        events: bytes,
        beside: bytes,
    ) -> None: ...

class RecordReader:
    def __init__(self, size: int, chunk: type[Chunk] | None = None) -> None: ...
    def read(self, descriptor: int) -> list[Chunk | tuple[int, bytes]] | None: ...
