"""JAM telemetry: JIP-3 binary events in, JSON events to WebSocket subscribers."""

__version__ = "1.1.0.dev0"
