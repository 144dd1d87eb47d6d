"""Modules that others import and hardly ever use."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import LazyLoader, find_spec, module_from_spec


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
