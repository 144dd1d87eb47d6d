"""The hub's side of the store process."""
