"""What subscribers and people talk to: WebSocket and HTTP."""
