"""WebSocket: the live stream and what its subscribers may ask for."""
