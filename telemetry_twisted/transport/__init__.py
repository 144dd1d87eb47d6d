"""The stream between the hub and its child processes: records, and what carries them."""
