"""Where history is kept: SQLite or PostgreSQL, behind one interface."""
