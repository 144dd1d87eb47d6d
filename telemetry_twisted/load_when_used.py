"""Modules that others import and hardly ever use."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from contextlib import suppress
from importlib import import_module
from importlib.util import LazyLoader, find_spec, module_from_spec
from types import ModuleType


def load_when_used(whole: str) -> None:
    """Have the module ``whole`` be loaded when something of it is used, unless it is there already.

    Twisted's ``twisted.python.compat`` passes ``http.cookiejar`` on, and with it come a client of
    HTTP and a parser of mail: 1.6 MiB of each process.
    """
    spec = None if whole in sys.modules else find_spec(whole)
    if spec is None or spec.loader is None:
        return
    spec.loader = LazyLoader(spec.loader)
    module = sys.modules[whole] = module_from_spec(spec)
    spec.loader.exec_module(module)
    package, _, name = whole.rpartition(".")
    if package:
        # As importing does; without it, ``from package import name`` would load the module.
        setattr(import_module(package), name, module)


def leave_out(*modules: str) -> None:
    """Have ``modules`` not be found by whoever imports them, unless they are there already.

    None stands in Python's module cache for what cannot be found
    (https://docs.python.org/3/reference/import.html). Only for processes in which all that runs is
    known, since nothing can import them afterwards.
    """
    for module in modules:
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]


def import_deferreds_without_asyncio() -> None:
    """Import Twisted's Deferreds, and not asyncio with them: 1.7 MiB of each process.

    ``twisted.internet.defer`` takes two of its classes, which it only names in annotations, and a
    function. While it is imported, a module that has these three stands in for asyncio. Should it
    want more one day, it is imported anew, with asyncio, by whoever is next to import it.
    """
    if "asyncio" in sys.modules:
        return
    stand_in = ModuleType("asyncio")
    vars(stand_in).update(
        AbstractEventLoop=object,
        Future=object,
        iscoroutine=lambda thing: isinstance(thing, Coroutine),
    )
    sys.modules["asyncio"] = stand_in
    try:
        with suppress(ImportError):
            import_module("twisted.internet.defer")
    finally:
        del sys.modules["asyncio"]
