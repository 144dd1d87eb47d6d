"""The command line: every option's default, what it accepts, and how it refuses the rest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from twisted.application.service import IService, IServiceMaker
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from telemetry_twisted.api.access.origins import AllowedOrigins
from telemetry_twisted.api.access.proxies import TrustedProxies
from telemetry_twisted.tap import Options, makeService

DEFAULTS = {
    "ingestion-procs": min(os.cpu_count() or 1, 8),
    "telemetry-endpoint": "tcp:9000:interface=127.0.0.1",
    "api-endpoint": "tcp:8080:interface=127.0.0.1",
    "no-database": 0,
    "max-nodes": 1024,
    "node-connections-per-address": 2_048,
    "node-introductions": 1_024,
    "takeover": "quiet",
    "allow-nodes": None,
    "allow-node-networks": "",
    "max-message-size": 1_048_576,
    "rate-limit": 0,
    "ring-events": 500_000,
    "ring-mib": 256,
    "ws-batch": 100,
    "ping-seconds": 10,
    "max-subscribers": 5_000,
    "byte-arrays": 0,
    "codec": "auto",
    "api-connections": 10_000,
    "api-connections-per-client": 2_000,
    "access-log": 0,
    "database": "sqlite:telemetry.sqlite",
    "retain-events": 3_600,
    "retain-events-max": 50_000_000,
    "retain-events-mib": 4_096,
    "retain-10s": 86_400,
    "retain-1m": 30 * 86_400,
    "retain-1h": 365 * 86_400,
    "api-token-file": None,
    "allow-origin": AllowedOrigins(),
    "trusted-proxies": TrustedProxies(),
    "public-url": (),
    "alert-node-gone": 30,
    "alert-not-synced": 60,
    "alert-behind": 5,
    "alert-finality": 60,
    "alert-no-block": 5,
    "alert-fork": 3,
    "alert-stuck": 120,
    "alert-assurances-late": 10,
    "alert-clock": 3000,
    "alert-silent": 30,
    "alert-unfinished": 20,
    "alert-late-blocks": 5,
    "alert-slow-guarantor": 3,
    "alert-failing-server": 50,
    "alert-broken-encoder": 20,
    "alert-webhook": (),
    "alert-webhook-secret": None,
    "alertmanager": (),
    "alert-decode-errors": 10,
    "alert-lagging": 1,
    "alert-store": 30,
}

NUMBERS = {
    "ingestion-procs": (1, 64),
    "max-nodes": (1, 65_535),
    "node-connections-per-address": (1, 1_000_000),
    "node-introductions": (1, 1_000_000),
    "max-message-size": (1_024, 67_108_864),
    "rate-limit": (0, 10_000_000),
    "ring-events": (100, 100_000_000),
    "ring-mib": (1, 1_048_576),
    "ws-batch": (1, 10_000),
    "ping-seconds": (0, 3_600),
    "max-subscribers": (1, 1_000_000),
    "api-connections": (1, 1_000_000),
    "api-connections-per-client": (1, 1_000_000),
    "retain-events-max": (1, 10**12),
    "retain-events-mib": (1, 10**9),
    **{
        name: (0, 10**9)
        for name, value in DEFAULTS.items()
        if name.startswith("alert-") and isinstance(value, int)
    },
}
DURATIONS = ["retain-events", "retain-10s", "retain-1m", "retain-1h"]


def parse(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(arguments)
    return options


def refusal(name: str, value: str) -> str:
    """What is said when the option is given that value."""
    with pytest.raises(UsageError) as caught:
        parse(f"--{name}", value)
    return str(caught.value)


def test_defaults() -> None:
    assert dict(parse()) == DEFAULTS


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_within_its_bounds_is_accepted(name: str) -> None:
    least, most = NUMBERS[name]
    assert parse(f"--{name}", str(least))[name] == least
    assert parse(f"--{name}", str(most))[name] == most


@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_such_number_is_refused(name: str) -> None:
    least, most = NUMBERS[name]
    beyond = (str(least - 1), str(most + 1))
    for value in ("", "many", "1.5", "1e3", "-1", "+5", " 7", "٣", "0x10", *beyond):
        assert refusal(name, value) == (
            f"--{name} {value}: expected a whole number from {least} to {most}"
        )


@pytest.mark.parametrize("name", DURATIONS)
def test_a_duration_is_accepted(name: str) -> None:
    durations = {"0": 0, "90s": 90, "15m": 900, "2h": 7_200, "3d": 259_200}
    assert {value: parse(f"--{name}", value)[name] for value in durations} == durations


@pytest.mark.parametrize("name", DURATIONS)
def test_what_is_no_duration_is_refused(name: str) -> None:
    for value in ("", "90", "1w", "h", "1.5h", "-1h", "1h30m", "٣h"):
        said = refusal(name, value)
        assert said.startswith(f"--{name} {value}: expected a number and one of s, m, h, d")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("telemetry-endpoint", "tcp:0"),
        ("telemetry-endpoint", "tcp6:9000"),
        ("telemetry-endpoint", r"tcp6:9000:interface=\:\:1"),
        ("api-endpoint", "tcp:0"),
        ("api-endpoint", "unix:/run/telemetry"),
    ],
)
def test_an_endpoint_is_accepted(name: str, value: str) -> None:
    assert parse(f"--{name}", value)[name] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("telemetry-endpoint", ""),
        ("telemetry-endpoint", "9000"),
        ("telemetry-endpoint", "127.0.0.1:9000"),
        ("telemetry-endpoint", "unix:/run/telemetry"),
        ("telemetry-endpoint", "ssl:9443:privateKey=no/such/file"),
        ("telemetry-endpoint", "tcp:none"),
        ("telemetry-endpoint", "tcp:9000:interfaces=127.0.0.1"),
        ("api-endpoint", ""),
        ("api-endpoint", "8080"),
        ("api-endpoint", "http:8080"),
        ("api-endpoint", "tcp:none"),
        ("api-endpoint", "ssl:8443:privateKey=no/such/file"),
    ],
)
def test_what_is_no_endpoint_is_refused(name: str, value: str) -> None:
    said = refusal(name, value)
    assert said.startswith(f"--{name} {value}: expected a ")
    assert "tcp:9000:interface=127.0.0.1" in said


@pytest.mark.parametrize("value", ["auto", "python"])
def test_a_codec_is_accepted(value: str) -> None:
    assert parse("--codec", value)["codec"] == value


def test_what_is_no_codec_is_refused() -> None:
    said = refusal("codec", "fast")
    assert said == "--codec fast: expected one of auto, compiled, python"


def test_a_codec_that_cannot_run_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "telemetry_twisted.jip3.compiled", None)
    assert parse("--codec", "auto")["codec"] == "auto"
    assert refusal("codec", "compiled").startswith("--codec compiled: ")


@pytest.mark.parametrize(
    "value", ["sqlite:history.sqlite", "postgresql://user:secret@localhost:5432/telemetry"]
)
def test_a_database_is_accepted(value: str) -> None:
    assert parse("--database", value)["database"] == value


@pytest.mark.parametrize(
    "value",
    ["", "history.sqlite", "sqlite:", "mysql://user:secret@host/x", "postgresql://:secret@"],
)
def test_what_is_no_database_is_refused_without_repeating_a_password(value: str) -> None:
    said = refusal("database", value)
    assert said.startswith("--database: ")
    assert "sqlite:PATH" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allow-origin", "https://example.org,http://localhost:3000"),
        ("allow-origin", "*"),
        ("trusted-proxies", "127.0.0.1,10.0.0.0/8,unix"),
        ("public-url", "https://example.org/telemetry"),
        ("public-url", "https://example.org/telemetry,http://telemetry:8080"),
    ],
)
def test_who_may_come_in_is_accepted(name: str, value: str) -> None:
    assert parse(f"--{name}", value)[name] != DEFAULTS[name]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("allow-origin", "example.org", "expected origins separated by commas"),
        ("trusted-proxies", "10.0.0.1/8", "expected networks in CIDR notation"),
        ("public-url", "example.org", "expected an http or https URL"),
        ("public-url", "https://example.org,", "expected an http or https URL"),
        ("api-token-file", "no/such/file", "cannot be read: No such file or directory"),
    ],
)
def test_what_says_nobody_that_could_come_in_is_refused(
    name: str, value: str, expected: str
) -> None:
    assert refusal(name, value).startswith(f"--{name} {value}: {expected}")


def test_a_token_file_is_read_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("dashboard read 5f0c8e6b6d1f4c7e9a3b2d10\n")
    assert parse("--api-token-file", str(path))["api-token-file"] == str(path)
    path.write_text("# name role token\n5f0c8e6b6d1f4c7e9a3b2d10 dashboard read\n")
    said = refusal("api-token-file", str(path))
    assert said.startswith(f"--api-token-file {path}: line 2: ")
    assert "5f0c" not in said


def test_where_alerts_go_is_accepted() -> None:
    urls = parse("--alert-webhook", "https://example.org/a?b=c, http://me:word@[::1]:81")[
        "alert-webhook"
    ]
    assert [(url.url, url.auth, url.shown) for url in urls] == [
        ("https://example.org/a?b=c", None, "https://example.org"),
        ("http://[::1]:81/", ("me", "word"), "http://[::1]:81"),
    ]
    (alertmanager,) = parse("--alertmanager", "http://localhost:9093/behind/")["alertmanager"]
    assert alertmanager.under("api/v2/alerts") == "http://localhost:9093/behind/api/v2/alerts"


@pytest.mark.parametrize("name", ["alert-webhook", "alertmanager"])
@pytest.mark.parametrize(
    "value",
    ["hook", "ftp://h/", "http://", "http://s3cr3t:70000/", "https://h/#s3cr3t", "http://h,"],
)
def test_what_is_no_url_of_a_receiver_is_refused_without_repeating_it(
    name: str, value: str
) -> None:
    said = refusal(name, value)
    assert said.startswith(f"--{name}: expected a URL such as https://example.org/alerts")
    assert "s3cr3t" not in said


def test_alerts_go_nowhere_from_a_server_that_raises_none() -> None:
    for name in ("alert-webhook", "alertmanager"):
        with pytest.raises(UsageError, match="leave out --no-database"):
            parse("--no-database", f"--{name}", "http://localhost")


def test_a_secret_is_read_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("correct horse battery staple\nand a comment\n")
    arguments = ("--alert-webhook", "http://localhost", "--alert-webhook-secret", str(path))
    assert parse(*arguments)["alert-webhook-secret"] == b"correct horse battery staple"
    with pytest.raises(UsageError, match="expected --alert-webhook as well"):
        parse("--alert-webhook-secret", str(path))
    path.write_text("short\n")
    said = refusal("alert-webhook-secret", str(path))
    assert said.endswith("its first line has 5 bytes; expected a secret of 16 to 256 bytes")
    path.unlink()
    assert refusal("alert-webhook-secret", str(path)).endswith("No such file or directory")


def test_flags() -> None:
    options = parse("--no-database", "--byte-arrays")
    assert options["no-database"]
    assert options["byte-arrays"]


@pytest.mark.parametrize("arguments", [["--unknown"], ["surplus"], ["--max-nodes"]])
def test_what_is_no_option_is_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(*arguments)


def test_help_shows_every_option_with_its_default() -> None:
    text = " ".join(str(Options()).split())
    for name, default in DEFAULTS.items():
        assert f"--{name}" in text
        if isinstance(default, str):
            assert default in text


@pytest.mark.parametrize("arguments", [[], ["--no-database"]])
def test_a_service_is_made_without_starting_anything(arguments: list[str]) -> None:
    service = makeService(parse(*arguments))
    assert IService.providedBy(service)
    assert not service.running


def test_the_plugin_is_found() -> None:
    makers = {maker.tapname: maker for maker in getPlugins(IServiceMaker)}
    assert issubclass(makers["telemetry"].options, Options)


@pytest.mark.parametrize("value", ["", "any ", "Quiet", "newest"])
def test_a_takeover_that_is_not_known_is_refused(value: str) -> None:
    assert refusal("takeover", value) == f"--takeover {value}: expected one of quiet, any"


def test_a_list_of_nodes_is_read_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    path.write_text(f"{'ab' * 32} # ours\n")
    assert parse("--allow-nodes", str(path))["allow-nodes"] == str(path)
    path.write_text("# ours\nab\n")
    said = refusal("allow-nodes", str(path))
    assert said.startswith(f"--allow-nodes {path}: line 2: expected a node ID")
    path.unlink()
    assert "cannot be read (No such file" in refusal("allow-nodes", str(path))


def test_networks_of_nodes_are_checked() -> None:
    value = "10.0.0.0/8,2001:db8::/32"
    assert parse("--allow-node-networks", value)["allow-node-networks"] == value
    for wrong in ("10.0.0.1/8", "10.0.0.0/8;127.0.0.1", "everywhere"):
        assert "expected networks in CIDR notation" in refusal("allow-node-networks", wrong)
