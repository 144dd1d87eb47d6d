"""Answers questions about history; each beside the SQL that answers it."""
