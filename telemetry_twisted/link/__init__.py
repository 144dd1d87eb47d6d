"""The stream between the hub and its child processes: records, and the protocol that carries them."""
