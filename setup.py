"""The one part of the installation that setup.cfg cannot describe: the compiled modules.

Each is optional: where it cannot be built, a Python module of the same interface does its work.
"""

import sys
from glob import glob

from setuptools import Extension, setup

SHARED = glob("telemetry_twisted/**/*.px[di]", recursive=True)


def compiled(name: str) -> Extension:
    """The module ``name``, which is built again when something that it may include has changed."""
    source = name.replace(".", "/") + ".pyx"
    return Extension(name, [source], depends=SHARED, extra_compile_args=["-O3"], optional=True)


MODULES = [
    compiled("telemetry_twisted.jip3._kernel"),
    compiled("telemetry_twisted.ingestion._chunks"),
    compiled("telemetry_twisted.transport._fan_out"),
    compiled("telemetry_twisted.transport._reading"),
]

if sys.platform == "linux":  # it needs sys/epoll.h
    MODULES.append(compiled("telemetry_twisted.ingestion._pool"))

setup(ext_modules=MODULES)
