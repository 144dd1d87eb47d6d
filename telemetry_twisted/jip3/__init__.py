"""JIP-3, the wire of the nodes: one table and all that is derived from it."""
