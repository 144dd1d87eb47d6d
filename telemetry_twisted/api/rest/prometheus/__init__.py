"""What Prometheus is told: of the server, and of each node."""
