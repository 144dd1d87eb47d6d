"""Which writer and which pool do the work."""

from __future__ import annotations

import select
import sys

import pytest

from telemetry_twisted.ingestion.backends import build_pool, build_writer
from telemetry_twisted.ingestion.chunks import PythonChunkWriter
from telemetry_twisted.ingestion.python_pool import PythonPool
from telemetry_twisted.jip3.codec import load_codec
from tests.ingestion.test_node import COMPILED


@pytest.mark.parametrize("codec", ["python", *COMPILED])
def test_writer_and_pool_belong_to_the_codec(codec: str) -> None:
    writer = build_writer(load_codec(codec), 1, 1)
    pool = build_pool(writer, 1000)
    assert pool is not None
    pool.close()
    python = isinstance(writer, PythonChunkWriter), isinstance(pool, PythonPool)
    assert python == (codec == "python",) * 2


@pytest.mark.parametrize("missing", ["_chunks", "_pool"])
def test_what_was_not_built_is_done_in_python(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"telemetry_twisted.ingestion.{missing}", None)
    writer = build_writer(load_codec(), 1, 1)
    pool = build_pool(writer, 1000)
    assert isinstance(pool, PythonPool)
    pool.close()


def test_where_there_is_no_epoll_there_is_no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll")
    assert build_pool(PythonChunkWriter(1, 1), 1000) is None
