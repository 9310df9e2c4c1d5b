"""Raw text to token shards: clean, deduplicate, split, decontaminate, train a tokenizer, encode. Without torch."""
