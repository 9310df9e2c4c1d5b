"""The shards' family of errors: what the trainer meets when shards are not what they should be."""

from __future__ import annotations

from foundation.errors import GroundworkError

REMEDY = (
    "copy the folder again from its origin, or type the line that made it: `python -m data_pipeline ...` makes damaged "
    "shards again, a merge or an import makes a new folder"
)


class ShardError(GroundworkError):
    """A shard or its manifest is missing or of another form than expected.

    Attributes:
        problem: what is wrong, where.
        remedy: what to do.
    """

    def __init__(self, problem: str, remedy: str = REMEDY) -> None:
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


class DamagedShard(ShardError):
    """The bytes are not those that were written: cut short, flipped, or swapped with another file's."""


class ForeignTokenizer(ShardError):
    """The tokenizer beside the shards is not the one that encoded them."""
