"""Asks a database of either kind."""

from __future__ import annotations

from typing import cast

import pytest
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.turns import Turns


@pytest.fixture
def history(database: Database, clock: Clock) -> History:
    """Asks the database."""
    return History(database, Policy(), clock.seconds, Turns(cast(IReactorTime, reactor)))
