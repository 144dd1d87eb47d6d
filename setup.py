"""The one part of the installation that setup.cfg cannot describe: the compiled codec."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "telemetry_twisted.jip3._kernel",
            ["telemetry_twisted/jip3/_kernel.pyx"],
            extra_compile_args=["-O3"],
            optional=True,  # where it cannot be built, the Python codec does the work
        )
    ]
)
