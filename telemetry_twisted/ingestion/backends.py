"""Which writer and which pool do the work: those that belong to the codec."""

from __future__ import annotations

import select
from importlib import import_module
from types import ModuleType
from typing import cast

from twisted.internet.base import ReactorBase

from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.jip3.codec import Codec
from telemetry_twisted.transport.link import Link

from .chunks import ChunkWriter, PythonChunkWriter
from .moments import Moments
from .pool import NodePool
from .python_pool import PythonPool
from .unattended import UnattendedTurns, epoll_of


def build_writer(codec: Codec, first_id: int, id_step: int) -> ChunkWriter:
    """What writes the events of the streams of ``codec`` into chunks."""
    compiled = _compiled("_chunks") if codec.name == "compiled" else None
    if compiled is None:
        return PythonChunkWriter(first_id, id_step)
    writer: ChunkWriter = compiled.ChunkWriter(first_id, id_step)
    return writer


def build_pool(writer: ChunkWriter, max_message_size: int) -> NodePool | None:
    """What reads sockets of nodes into ``writer``; None where the system has no ``epoll``."""
    if not hasattr(select, "epoll"):
        return None
    compiled = None if isinstance(writer, PythonChunkWriter) else _compiled("_pool")
    if compiled is None:
        return PythonPool(writer, max_message_size)
    pool: NodePool = compiled.NodePool(writer, max_message_size)
    return pool


def build_unattended(
    pool: NodePool, link: Link, reactor: IServerReactor, moments: Moments
) -> UnattendedTurns | None:
    """What has ``pool`` take turns by itself, where it is compiled and the reactor is Twisted's."""
    descriptor = epoll_of(reactor)
    if descriptor is None or isinstance(pool, PythonPool):
        return None
    compiled = import_module(type(pool).__module__).Unattended(pool, descriptor, link.fileno())
    return UnattendedTurns(compiled, link, cast(ReactorBase, reactor), moments)


def _compiled(name: str) -> ModuleType | None:
    """An extension module of this package, None where it was not built."""
    try:
        return import_module(f"telemetry_twisted.ingestion.{name}")
    except ImportError:
        return None
