"""What Prometheus is told: of the server, of each network, and of each node."""
