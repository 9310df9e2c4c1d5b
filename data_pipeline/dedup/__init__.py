"""Which documents are copies of which: exact, near, and which one stays."""
