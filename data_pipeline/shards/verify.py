"""Checks a whole data folder: every block of every shard, and that the parts belong together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_pipeline.shards.blocks import BlockReader
from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.manifest import (
    DOCUMENTS,
    NAME,
    SHARDS,
    TOKENIZER,
    Manifest,
    ShardInfo,
    documents_path,
    read_tokenizer,
    shard_prefix,
)
from data_pipeline.shards.owners import Owners, Shards, described, find_owners
from data_pipeline.shards.reader import Shard
from data_pipeline.shards.sums import Sums, read_sums
from data_pipeline.shards.writer import SUFFIXES
from foundation.hashes import BLOCK_BYTES, hash_file
from foundation.progress import Meter, progress

WRONG_BLOCKS = 1 << 20  # kept until it is asked whose they are, 64 GiB of damage: asking reads every .sum file


def verify(data_dir: Path) -> dict[str, list[ShardError]]:
    """Read every byte of a data folder's shards, with progress on stderr.

    Returns:
        manifest.json, tokenizer.json and each shard, e.g. `train/web_00000` -> what is wrong with it; an empty list: it
        is healthy. Where the manifest can't be used nothing else can be judged.
    Raises:
        ShardError: there is no manifest.json.
    """
    try:
        manifest = Manifest.load(data_dir)
    except ShardError as error:
        if not (data_dir / NAME).is_file():
            raise
        return {NAME: [error]}
    problems: list[ShardError] = []
    try:
        read_tokenizer(data_dir, manifest)
    except ShardError as error:
        problems.append(error)
    return {NAME: [], TOKENIZER: problems, **verify_shards(data_dir, manifest)}


def strays(data_dir: Path) -> list[str]:
    """Return the files among a data folder's shards that its manifest does not speak of, by their paths in the folder.

    Raises:
        ShardError: as Manifest.load.
    """
    known = {
        prefix.with_name(f"{prefix.name}{suffix}")
        for prefix, _ in _shards_of(data_dir, Manifest.load(data_dir)).values()
        for suffix in (*SUFFIXES, DOCUMENTS)
    }
    files = {path for path in (data_dir / SHARDS).rglob("*") if not path.is_dir()}
    return sorted(path.relative_to(data_dir).as_posix() for path in files - known)


def verify_shards(data_dir: Path, manifest: Manifest) -> dict[str, list[ShardError]]:
    """Read every byte of the shards that a manifest names; return what is wrong with each, as `verify`."""
    shards = _shards_of(data_dir, manifest)
    num_bytes = sum(info.num_tokens for _, info in shards.values()) * np.dtype(manifest.dtype).itemsize
    problems: dict[str, list[ShardError]] = {}
    waiting: dict[str, _Judged] = {}
    num_wrong = 0
    with progress("verify", num_bytes, "B") as meter:
        for name, (prefix, info) in shards.items():
            waiting[name] = _judge(prefix, info, manifest, meter)
            num_wrong += len(waiting[name].wrong)
            if num_wrong >= WRONG_BLOCKS:
                problems |= _named(waiting, shards)
                waiting, num_wrong = {}, 0
    return problems | _named(waiting, shards)


def _shards_of(data_dir: Path, manifest: Manifest) -> Shards:
    return {
        f"{split}/{info.name}": (shard_prefix(data_dir, split, info.name), info)
        for split, sources in manifest.splits.items()
        for source in sources.values()
        for info in source.shards
    }


@dataclass(slots=True)
class _Judged:
    """What is wrong with one shard.

    Attributes:
        form: the error that keeps it from being opened.
        wrong: (block, the digest that it has), ascending.
        others: further errors on its tokens.
        table: of its table of documents.
        hashes: suffix -> hash of the file with which `form` or `table` is about, to find whose it is.
    """

    form: ShardError | None = None
    size: int = 0
    wrong: list[tuple[int, bytes]] = field(default_factory=list)
    others: list[ShardError] = field(default_factory=list)
    table: ShardError | None = None
    hashes: dict[str, str] = field(default_factory=dict)


def _judge(prefix: Path, info: ShardInfo, manifest: Manifest, meter: Meter) -> _Judged:
    """Judge one shard: its form first, then its blocks, which are read whatever its form is, and its table."""
    judged = _Judged()
    try:
        Shard(prefix, info, manifest.vocab_size, manifest.dtype)
    except ShardError as error:
        judged.form = error
        for suffix in SUFFIXES[1:]:
            path = _file(prefix, suffix)
            if isinstance(error, DamagedShard) and error.problem.startswith(f"{path}:") and path.is_file():
                judged.hashes[suffix] = hash_file(path)
    _judge_table(prefix, info, judged)
    try:
        sums = read_sums(_file(prefix, ".sum"), info.sum_hash)
    except ShardError:  # said above
        return judged
    if _file(prefix, ".bin").is_file():
        _judge_blocks(_file(prefix, ".bin"), sums, manifest, meter, judged)
    return judged


def _judge_blocks(path: Path, sums: Sums, manifest: Manifest, meter: Meter, judged: _Judged) -> None:
    wrong: list[tuple[int, bytes]] = []
    large: tuple[int, int] | None = None
    try:
        for read in BlockReader(path, sums, np.dtype(manifest.dtype), manifest.vocab_size - 1):
            wrong += read.wrong
            large = large or read.large
            meter.add(read.num_bytes)
    except OSError as error:  # a sector that the disk itself gives up
        judged.others.append(DamagedShard(f"{path}: can't be read to its end ({error.strerror})"))
        return
    judged.size = path.stat().st_size
    if judged.size < sums.bin_bytes and wrong and wrong[-1][0] == judged.size // BLOCK_BYTES:
        wrong.pop()  # the block in which the file ends, which is named as cut short
    judged.wrong = wrong
    if large is not None:
        judged.others.append(
            ShardError(
                f"{path}: token {large[0]} has id {large[1]}, the vocabulary ends at {manifest.vocab_size - 1}: these "
                "shards belong to another tokenizer"
            )
        )


def _judge_table(prefix: Path, info: ShardInfo, judged: _Judged) -> None:
    """Judge the table of a shard's documents; of a shard that has none, nothing is wrong with it."""
    path = documents_path(prefix)
    if info.documents_hash is None:
        return
    if not path.is_file():
        judged.table = ShardError(f"{path}: missing; it says where each of the shard's documents comes from")
        return
    found = hash_file(path)
    if found != info.documents_hash:
        judged.hashes[DOCUMENTS] = found
        judged.table = DamagedShard(
            f"{path}: its hash is {found}, the manifest says {info.documents_hash}: it was changed, or belongs to "
            "another shard"
        )


def _named(judged: dict[str, _Judged], shards: Shards) -> dict[str, list[ShardError]]:
    """Return the errors of each shard, those on bytes of another one with that one's name."""
    digests = (digest for each in judged.values() for _, digest in each.wrong)
    indexes = (bytes.fromhex(each.hashes[".idx"]) for each in judged.values() if ".idx" in each.hashes)
    owners = find_owners(shards, digests, indexes)
    by_hash = {".sum": {info.sum_hash: name for name, (_, info) in reversed(shards.items())}}
    by_hash[DOCUMENTS] = {
        info.documents_hash: name for name, (_, info) in reversed(shards.items()) if info.documents_hash is not None
    }
    by_hash[".idx"] = {digest.hex(): name for digest, name in owners.indexes.items()}
    return {name: _errors(name, shards[name][0], each, owners, by_hash) for name, each in judged.items()}


def _errors(
    name: str, prefix: Path, judged: _Judged, owners: Owners, by_hash: dict[str, dict[str, str]]
) -> list[ShardError]:
    form, table = judged.form, judged.table
    for suffix, found in judged.hashes.items():
        owner = by_hash[suffix].get(found, name)
        if owner != name and suffix == DOCUMENTS and table is not None:
            table = DamagedShard(f"{table.problem}; it is the {suffix} of {owner}")
        elif owner != name and form is not None:
            form = DamagedShard(f"{form.problem}; it is the {suffix} of {owner}")
    places = {digest: owners.block(digest, name) for _, digest in judged.wrong}
    known = {digest: place for digest, place in places.items() if place is not None}
    blocks = described(_file(prefix, ".bin"), judged.size, judged.wrong, known)
    return [each for each in (form, *blocks, *judged.others, table) if each is not None]


def _file(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(f"{prefix.name}{suffix}")
