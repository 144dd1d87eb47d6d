"""Who may come in: one layer in front of the whole site, which decides from a request's head."""
