"""Which documents are held out for validation."""
