"""Checks a whole data folder: every block of every shard, and that the parts belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_pipeline.shards.blocks import BlockReader
from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.manifest import TOKENIZER, Manifest, ShardInfo, documents_path, read_tokenizer, shard_prefix
from data_pipeline.shards.owners import Owners, described
from data_pipeline.shards.reader import Shard
from data_pipeline.shards.sums import Sums, read_sums
from foundation.hashes import BLOCK_BYTES, hash_file
from foundation.progress import Meter, progress


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
    shards = {
        f"{split}/{info.name}": (shard_prefix(data_dir, split, info.name), info)
        for split, sources in manifest.splits.items()
        for source in sources.values()
        for info in source.shards
    }
    owners = Owners(shards)
    num_bytes = sum(info.num_tokens for _, info in shards.values()) * np.dtype(manifest.dtype).itemsize
    with progress("verify", num_bytes, "B") as meter:
        return {
            name: _damage(name, prefix, info, manifest, owners, meter) + documents_damage(prefix, info)
            for name, (prefix, info) in shards.items()
        }


def _damage(
    name: str, prefix: Path, info: ShardInfo, manifest: Manifest, owners: Owners, meter: Meter
) -> list[ShardError]:
    """Return what is wrong with one shard: its form first, then its blocks, which are read whatever its form is."""
    problems: list[ShardError] = []
    try:
        Shard(prefix, info, manifest.vocab_size, manifest.dtype)
    except ShardError as error:
        problems.append(_with_owner(error, name, prefix, owners))
    path = prefix.with_name(f"{prefix.name}.bin")
    try:
        sums = read_sums(prefix.with_name(f"{prefix.name}.sum"), info.sum_hash)
    except ShardError:  # said above
        return problems
    if path.is_file():
        problems += _damaged_blocks(name, path, sums, manifest, owners, meter)
    return problems


def _damaged_blocks(
    name: str, path: Path, sums: Sums, manifest: Manifest, owners: Owners, meter: Meter
) -> list[ShardError]:
    wrong: list[tuple[int, bytes]] = []
    large: tuple[int, int] | None = None
    try:
        for read in BlockReader(path, sums, np.dtype(manifest.dtype), manifest.vocab_size - 1):
            wrong += read.wrong
            large = large or read.large
            meter.add(read.num_bytes)
    except OSError as error:  # a sector that the disk itself gives up
        return [DamagedShard(f"{path}: can't be read to its end ({error.strerror})")]
    size = path.stat().st_size
    if size < sums.bin_bytes and wrong and wrong[-1][0] == size // BLOCK_BYTES:
        wrong.pop()  # the block in which the file ends, which is named as cut short
    problems = described(path, size, wrong, owners.blocks((found for _, found in wrong), name) if wrong else {})
    if large is not None:
        problems.append(
            ShardError(
                f"{path}: token {large[0]} has id {large[1]}, the vocabulary ends at {manifest.vocab_size - 1}: these "
                "shards belong to another tokenizer"
            )
        )
    return problems


def _with_owner(error: ShardError, name: str, prefix: Path, owners: Owners) -> ShardError:
    """Return an error on the form of a shard, with the shard that the file in question is of, where it is another's."""
    sums, index = (prefix.with_name(f"{prefix.name}{suffix}") for suffix in (".sum", ".idx"))
    if not isinstance(error, DamagedShard):
        return error
    if error.problem.startswith(f"{sums}:"):
        what, owner = ".sum", owners.sum_file(sums)
    elif error.problem.startswith(f"{index}:"):
        what, owner = ".idx", owners.index(index)
    else:
        return error
    if owner in (None, name):
        return error
    return DamagedShard(f"{error.problem}; it is the {what} of {owner}")


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
