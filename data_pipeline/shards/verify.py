"""Checks a whole data folder: every block of every shard, and that the parts belong together."""

from __future__ import annotations

from pathlib import Path

from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.manifest import (
    TOKENIZER,
    Manifest,
    ShardInfo,
    documents_path,
    read_tokenizer,
    shard_prefix,
)
from data_pipeline.shards.reader import Shard
from foundation.hashes import hash_file
from foundation.progress import progress


def verify(data_dir: Path) -> dict[str, list[ShardError]]:
    """Read every byte of a data folder's shards, with progress on stderr.

    Returns:
        tokenizer.json and each shard, e.g. `train/web_00000` -> what is wrong with it; an empty list: it is healthy.
    Raises:
        ShardError: manifest.json itself is missing or wrong, so nothing else can be judged.
    """
    manifest = Manifest.load(data_dir)
    problems: list[ShardError] = []
    try:
        read_tokenizer(data_dir, manifest)
    except ShardError as error:
        problems.append(error)
    return {TOKENIZER: problems, **verify_shards(data_dir, manifest)}


def verify_shards(data_dir: Path, manifest: Manifest) -> dict[str, list[ShardError]]:
    """Read every byte of the shards that a manifest names; return what is wrong with each, as `verify`."""
    shards = [
        (split, info)
        for split, sources in manifest.splits.items()
        for source in sources.values()
        for info in source.shards
    ]
    found = {}
    with progress("verify", sum(info.num_tokens for _, info in shards), "tokens") as meter:
        for split, info in shards:
            found[f"{split}/{info.name}"] = _damage(shard_prefix(data_dir, split, info.name), info, manifest)
            meter.add(info.num_tokens)
    return found


def _damage(prefix: Path, info: ShardInfo, manifest: Manifest) -> list[ShardError]:
    try:
        found = Shard(prefix, info, manifest.vocab_size, manifest.dtype).damage()
    except ShardError as error:
        found = [error]
    return found + documents_damage(prefix, info)


def documents_damage(prefix: Path, info: ShardInfo) -> list[ShardError]:
    """Return what is wrong with the table of a shard's documents; of a shard that has none, nothing is."""
    path = documents_path(prefix)
    if info.documents_hash is None:
        return []
    if not path.is_file():
        return [ShardError(f"{path}: missing; it says where each of the shard's documents comes from")]
    found = hash_file(path)
    if found == info.documents_hash:
        return []
    return [
        DamagedShard(
            f"{path}: its hash is {found}, the manifest says {info.documents_hash}: it was changed, or belongs to "
            "another shard"
        )
    ]
