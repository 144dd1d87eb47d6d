"""``python -m telemetry_twisted.simulator``."""

import sys

from .cli import main

sys.exit(main())
