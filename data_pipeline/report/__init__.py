"""What happened to a corpus, as one page: the way of its documents, what was removed, and why."""
