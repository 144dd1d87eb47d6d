"""Modules that are loaded when they are used, each tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from telemetry_twisted.load_when_used import load_when_used
load_when_used("http.cookiejar")
load_when_used("http.cookiejar")
{imports}
assert "urllib.request" not in sys.modules
assert {used}.CookieJar().clear() is None
assert "urllib.request" in sys.modules
"""


@pytest.mark.parametrize(
    ("imports", "used"),
    [
        ("from http import cookiejar as cookies", "cookies"),
        ("import twisted.python.compat, http", "http.cookiejar"),
        ("from twisted.python.compat import cookielib", "cookielib"),
    ],
)
def test_it_is_loaded_when_something_of_it_is_used(imports: str, used: str) -> None:
    program = PROGRAM.format(imports=imports, used=used)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_one_that_was_loaded_already_stays_as_it_is() -> None:
    program = PROGRAM.format(imports="", used="http.cookiejar").split("assert")[0]
    program = "import http.cookiejar as before\n" + program + "assert http.cookiejar is before"
    subprocess.run([sys.executable, "-c", "import http\n" + program], check=True, timeout=60)


DEFERREDS = """
import sys
from telemetry_twisted.load_when_used import import_deferreds_without_asyncio
{before}
import_deferreds_without_asyncio()
from twisted.internet.defer import ensureDeferred
async def three():
    return 3
found = []
ensureDeferred(three()).addCallback(found.append)
assert found == [3]
assert ("asyncio" in sys.modules) is {there}
import asyncio
assert asyncio.run(three()) == 3
"""


@pytest.mark.parametrize(
    ("before", "there"),
    [
        ("", False),
        ("import asyncio", True),
    ],
)
def test_deferreds_do_without_asyncio(before: str, there: bool) -> None:
    program = DEFERREDS.format(before=before, there=there)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
