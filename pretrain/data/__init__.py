"""From token shards to micro batches: the seeded order, the mixture, the samples of a source, the loader."""
