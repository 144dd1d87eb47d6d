"""What runs in an ingestion process: nodes in, chunks out."""
