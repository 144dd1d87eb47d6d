"""What the server is measured with: ``python -m bench``."""
