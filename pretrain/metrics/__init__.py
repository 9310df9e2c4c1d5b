"""What a run says of itself: metrics.jsonl, the console, Weights & Biases, a profile, a page."""
