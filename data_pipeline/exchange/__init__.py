"""Data folders made of other shards: merged from our own, imported from other trainers' formats, exported to them."""
