"""The types of events in which nodes say what state they are in, by their discriminators."""

from __future__ import annotations

from .table import TABLE

_BY_NAME = {event.name: number for number, event in TABLE.events.items()}

STATUS = _BY_NAME["Status"]
BEST_BLOCK = _BY_NAME["BestBlockChanged"]
FINALIZED_BLOCK = _BY_NAME["FinalizedBlockChanged"]
SYNC_STATUS = _BY_NAME["SyncStatusChanged"]

STATE_TYPES = frozenset({STATUS, BEST_BLOCK, FINALIZED_BLOCK, SYNC_STATUS})
