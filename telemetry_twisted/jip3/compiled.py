"""The compiled codec. Importing this fails where the extension module was not built."""

from __future__ import annotations

from . import _kernel
from ._program import program_of
from .codec import Dialect, Following, Gatherer, Stream
from .table import NEWEST_VERSION


class CompiledCodec:
    """A :class:`~telemetry_twisted.jip3.codec.Codec` whose streams run in C.

    Its streams share programs and the buffers they write to, so a stream takes less than 2 KiB.
    They may be used from one thread at a time.
    """

    name = "compiled"

    def __init__(self) -> None:
        self._buffers = _kernel.Buffers()

    def gatherer(self) -> Gatherer:
        """What streams put nothing in so far."""
        return _kernel.Gatherer()

    def open(self, dialect: Dialect, following: Following | None = None) -> Stream:
        """A stream for a node that has just connected."""
        program = program_of(min(dialect.version, NEWEST_VERSION), dialect.byte_arrays)
        return _kernel.Stream(program, self._buffers, dialect, following)
