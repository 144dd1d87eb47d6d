"""The collectors that the server is measured against."""
