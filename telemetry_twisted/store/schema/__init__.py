"""The tables of history, their versions, and how long what is in them is kept."""
