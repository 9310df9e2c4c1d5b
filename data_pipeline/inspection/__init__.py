"""What is in finished shards, and where each token of them comes from."""
