"""The store process: what writes history."""
