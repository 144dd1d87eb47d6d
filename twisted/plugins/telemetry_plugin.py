"""Makes ``twistd telemetry`` and ``twist telemetry`` known."""

from twisted.application.service import ServiceMaker

telemetry = ServiceMaker(
    "JAM telemetry server",
    "telemetry_twisted.command",
    "Receives JIP-3 telemetry of JAM nodes and streams it as JSON over WebSocket.",
    "telemetry",
)
