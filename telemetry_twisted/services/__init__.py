"""The parts of the server as Twisted's services: how each starts, and how it ends."""
