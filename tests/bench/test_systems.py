from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from bench.systems import COMPILED, PYTHON, SYSTEMS, Ours, labels, other, references


def test_a_rival_is_given_its_ports_where_its_command_says() -> None:
    rival = other("'/opt/a rival/bin' --telemetry 127.0.0.1:{telemetry_port} -p={api_port} {x}")
    assert rival.command(9000, 8080, None, 1024) == [
        "/opt/a rival/bin",
        "--telemetry",
        "127.0.0.1:9000",
        "-p=8080",
        "{x}",
    ]
    assert rival.feed_command() is None


@pytest.mark.parametrize(
    ("command", "missing"),
    [("rival {api_port}", "telemetry_port"), ("rival {telemetry_port}", "api_port")],
)
def test_a_rival_that_would_not_know_its_ports_is_refused(command: str, missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        other(command)


def test_ours_runs_from_the_environment_and_the_directory_it_is_given() -> None:
    old = Ours("abc", "abc", "compiled", Path("/env/bin/python"), directory=Path("/source"))
    command = old.command(1, 2, "sqlite:/x", 4096)
    assert command[0] == "/env/bin/twistd"
    assert ("--database", "sqlite:/x") in list(pairwise(command))
    assert ("--max-nodes", "4096") in list(pairwise(command))
    assert old.feed_command() == ["/env/bin/python", "-m", "bench.feed"]
    assert old.directory == Path("/source")
    assert "--no-database" in old.command(1, 2, None, 4096)


def test_ours_is_compared_with_all_others() -> None:
    rival = other("rival {telemetry_port} {api_port}")
    assert references((*SYSTEMS, rival)) == ("A", "B", "other")
    assert references((PYTHON, COMPILED)) == ()
    assert labels((rival,)) == {"other": "other"}
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
