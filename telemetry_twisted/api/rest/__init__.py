"""REST: questions about history and about the server, and their answers."""
