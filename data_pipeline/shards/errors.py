"""The shards' family of errors: what the trainer meets when shards are not what they should be."""

from __future__ import annotations

from foundation.errors import GroundworkError

REMEDY = (
    "copy the folder again from its origin, or type the `python -m data_pipeline ...` line that made it: "
    "it makes damaged shards again"
)


class ShardError(GroundworkError):
    """A shard or its manifest is missing, of another form than expected, or asked for what it does not hold."""


class DamagedShard(ShardError):
    """The bytes are not those that were written: cut short, flipped, or swapped with another file's."""


class ForeignTokenizer(ShardError):
    """The tokenizer beside the shards is not the one that encoded them."""
