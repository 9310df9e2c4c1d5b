"""What happened to a corpus, as one page: the way of its documents, what was taken out, and why."""
