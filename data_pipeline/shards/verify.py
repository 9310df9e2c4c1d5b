"""Checks a whole data folder: every block of every shard, and that the parts belong together."""

from __future__ import annotations

from pathlib import Path

from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.manifest import Manifest, ShardInfo, read_tokenizer, shard_prefix
from data_pipeline.shards.reader import Shard
from foundation.progress import progress


def verify(data_dir: Path) -> list[str]:
    """Read every byte of a data folder's shards, with progress on stderr.

    Returns:
        What is wrong, a message each with the file and what to do; empty when the folder is healthy.
    Raises:
        ShardError: manifest.json itself is missing or wrong, so nothing else can be judged.
    """
    manifest = Manifest.load(data_dir)
    problems = []
    try:
        read_tokenizer(data_dir, manifest)
    except ShardError as error:
        problems.append(str(error))
    return problems + verify_shards(data_dir, manifest)


def verify_shards(data_dir: Path, manifest: Manifest) -> list[str]:
    """Read every byte of the shards that a manifest names; return what is wrong, as `verify`."""
    problems = []
    shards = [
        (shard_prefix(data_dir, split, info.name), info)
        for split, sources in manifest.splits.items()
        for source in sources.values()
        for info in source.shards
    ]
    with progress("verify", sum(info.num_tokens for _, info in shards), "tokens") as meter:
        for prefix, info in shards:
            problems += _damage(prefix, info, manifest)
            meter.add(info.num_tokens)
    return problems


def _damage(prefix: Path, info: ShardInfo, manifest: Manifest) -> list[str]:
    try:
        return Shard(prefix, info, manifest.vocab_size, manifest.dtype).damage()
    except ShardError as error:
        return [str(error)]
