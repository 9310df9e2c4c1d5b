"""The process that reads a batch for `same_batch`, which compares it with what the run itself reads."""
