"""Token shards, written and read: Megatron-Core's indexed datasets, a sum for every block, a manifest."""
