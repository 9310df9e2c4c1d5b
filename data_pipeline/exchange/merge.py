"""Several data folders of one tokenizer as one: their shards copied or linked, every block verified on the way."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_pipeline.exchange.building import building
from data_pipeline.exchange.errors import ExchangeError, require_name
from data_pipeline.shards.blocks import BlockReader
from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.manifest import (
    DOCUMENTS,
    SEVERAL,
    SPLITS,
    TOKENIZER,
    Manifest,
    ShardInfo,
    SourceManifest,
    read_tokenizer,
    shard_prefix,
)
from data_pipeline.shards.reader import Shard
from data_pipeline.shards.sums import BlockHasher, read_sums
from data_pipeline.shards.writer import SUFFIXES
from foundation.files import replacing, write_atomic
from foundation.hashes import hash_file, hash_json
from foundation.progress import Meter, progress

BESIDE = (DOCUMENTS,)  # files that a shard may have beside its own three, copied with it
COPIED_BYTES = 4 << 20
AGREE = ("tokenizer_hash", "vocab_size", "eot_id", "dtype")  # of the manifests of folders that go into one


@dataclass(frozen=True, slots=True)
class Copy:
    """One shard on its way. Attributes: source, target: prefixes; info: of the copy."""

    source: Path
    target: Path
    info: ShardInfo


def merge(out: Path, folders: Sequence[Path], renames: Mapping[tuple[Path, str], str], link: bool = False) -> Manifest:
    """Make one data folder of several. Sources keep their names, weights and budgets. A stopped merge goes on.

    Args:
        out: the new folder.
        folders: finished data folders.
        renames: (folder, source) -> its name in `out`.
        link: link files in place of copying them where the disk can; they are verified all the same.
    Raises:
        ExchangeError: the folders differ in tokenizer or dtype, or a name occurs twice; says both and what to do.
        ShardError: a folder's shards are not what its manifest says.
        DiskFull: says how many bytes were needed.
    """
    real = [folder.resolve() for folder in folders]
    for folder in folders:
        if real.count(folder.resolve()) > 1:
            raise ExchangeError(f"{folder}: is named twice; name each folder once")
    manifests = {folder: Manifest.load(folder) for folder in folders}
    _check_alike(manifests)
    sources = _named(manifests, renames)
    first = manifests[folders[0]]
    tokenizer = read_tokenizer(folders[0], first)
    size = np.dtype(first.dtype).itemsize
    num_bytes = sum(each.num_tokens for _, _, _, mine in sources for each in mine.shards) * size
    plan = hash_json([[folder.name, each.tokenizer_hash, _hash(each)] for folder, each in manifests.items()])
    plan = hash_json([plan, sorted([str(folder), source, name] for (folder, source), name in renames.items())])
    with building(out, 0 if link else num_bytes, plan) as unfinished:
        splits: dict[str, dict[str, SourceManifest]] = {split: {} for split in SPLITS}
        with progress("merge", num_bytes, "B") as meter:
            for split, folder, name, source in sources:
                infos = []
                for info, named in zip(source.shards, _shard_names(source, name), strict=True):
                    prefixes = shard_prefix(folder, split, info.name), shard_prefix(unfinished, split, named)
                    copy = Copy(*prefixes, replace(info, name=named))
                    _copy_shard(copy, first, link, meter)
                    infos.append(copy.info)
                splits[split][name] = replace(source, shards=infos)
        write_atomic(unfinished / TOKENIZER, tokenizer)
        seeds = {each.shuffle_seed for each in manifests.values()}
        merged = replace(first, splits=splits, shuffle_seed=seeds.pop() if len(seeds) == 1 else SEVERAL)
        merged.save(unfinished)
    return merged


def _check_alike(manifests: Mapping[Path, Manifest]) -> None:
    (first, reference), *others = manifests.items()
    for folder, manifest in others:
        for key in AGREE:
            mine, other = getattr(reference, key), getattr(manifest, key)
            if mine != other:
                raise ExchangeError(
                    f"{folder}: {key} is {other}, that of {first} is {mine}: one run can't train on both; make the "
                    f"shards of one anew with tokenizer=file tokenizer.path={first / TOKENIZER} and one shards.dtype"
                )


def _named(
    manifests: Mapping[Path, Manifest], renames: Mapping[tuple[Path, str], str]
) -> list[tuple[str, Path, str, SourceManifest]]:
    """Return (split, folder, name in the new folder, source) of all."""
    known = {(folder, name) for folder, each in manifests.items() for split in SPLITS for name in each.splits[split]}
    for folder, name in renames.keys() - known:
        there = ", ".join(sorted(f"{folder}/{name}" for folder, name in known))
        raise ExchangeError(f"--rename {folder}/{name}: there is no such source; there are: {there}")
    for (folder, old), name in renames.items():
        require_name(f"--rename {folder}/{old}={name}", name)
    owners: dict[tuple[str, str], Path] = {}
    found = []
    for folder, manifest in manifests.items():
        for split in SPLITS:
            for old, source in manifest.splits[split].items():
                name = renames.get((folder, old), old)
                owner = owners.setdefault((split, name), folder)
                if owner != folder:
                    raise ExchangeError(
                        f"{owner} and {folder} both have a source {name!r}; give one another name: "
                        f"--rename {folder}/{old}={name}2"
                    )
                found.append((split, folder, name, source))
    _check_shard_names(found)
    return found


def _check_shard_names(found: list[tuple[str, Path, str, SourceManifest]]) -> None:
    owners: dict[tuple[str, str], str] = {}
    for split, folder, name, source in found:
        for shard in _shard_names(source, name):
            owner = owners.setdefault((split, shard), f"source {name!r} of {folder}")
            if owner != f"source {name!r} of {folder}":
                raise ExchangeError(
                    f"a shard {split}/{shard} would be of {owner} and of source {name!r} of {folder}; give the source "
                    f"another name: --rename {folder}/{name}={name}-2"
                )


def _shard_names(source: SourceManifest, name: str) -> list[str]:
    return [f"{name}_{number:05d}" for number in range(len(source.shards))]


def _hash(manifest: Manifest) -> str:
    return hash_json(
        [
            [split, name, [each.sum_hash for each in source.shards]]
            for split in SPLITS
            for name, source in sorted(manifest.splits[split].items())
        ]
    )


def _copy_shard(copy: Copy, manifest: Manifest, link: bool, meter: Meter) -> None:
    """Copy one shard's files, the `.sum` last, so that a target that has one is whole; verify it."""
    source, target = copy.source, copy.target
    Shard(source, copy.info, manifest.vocab_size, manifest.dtype)  # its form
    if _is_there(target, copy.info, manifest, meter):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_tables(source, copy.info)
    for suffix in (*SUFFIXES[:-1], *BESIDE, SUFFIXES[-1]):
        if suffix in BESIDE and not _file(source, suffix).is_file():
            continue
        is_tokens = suffix == SUFFIXES[0]
        if link and _link(_file(source, suffix), _file(target, suffix)):
            if is_tokens:
                _verify(target, copy.info, manifest, meter, named=source)
        else:
            _copy(_file(source, suffix), _file(target, suffix), copy, meter if is_tokens else None)


def _check_tables(source: Path, info: ShardInfo) -> None:
    """Refuse a table beside a shard that is not the one that the manifest vouches for, where it does."""
    stated = info.documents_hash
    path = _file(source, BESIDE[0])
    if stated is not None and (not path.is_file() or hash_file(path) != stated):
        raise _damaged(path)


def _is_there(target: Path, info: ShardInfo, manifest: Manifest, meter: Meter) -> bool:
    """Return whether the command that was stopped has copied this shard, and its copy is whole."""
    sums = _file(target, ".sum")
    if not sums.is_file():
        return False
    done = meter.done
    try:
        Shard(target, info, manifest.vocab_size, manifest.dtype)
        _verify(target, info, manifest, meter)
    except ShardError:
        sums.unlink()  # before the others change: a target that has one is whole
        meter.add(done - meter.done)
        return False
    return True


def _link(source: Path, target: Path) -> bool:
    """Give a file a second name; return whether its disk could."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without hard links: it is copied
        return False
    return True


def _copy(source: Path, target: Path, copy: Copy, meter: Meter | None) -> None:
    """Copy a file; one of tokens, which has a meter, is hashed on the way."""
    hasher = BlockHasher()
    with replacing(target) as temporary, source.open("rb") as reader, temporary.open("wb") as writer:
        while data := reader.read(COPIED_BYTES):
            writer.write(data)
            if meter is not None:
                hasher.update(memoryview(data))
                meter.add(len(data))
        if meter is not None:
            expected = read_sums(_file(copy.source, ".sum"), copy.info.sum_hash)
            if hasher.sums(_file(copy.source, ".idx").read_bytes()) != expected:
                raise _damaged(source)


def _verify(prefix: Path, info: ShardInfo, manifest: Manifest, meter: Meter, named: Path | None = None) -> None:
    """Read every block of a shard; errors name `named` in its place."""
    sums = read_sums(_file(named or prefix, ".sum"), info.sum_hash)
    path = _file(prefix, ".bin")
    for read in BlockReader(path, sums, np.dtype(manifest.dtype), manifest.vocab_size - 1):
        if read.wrong or read.large:
            raise _damaged(_file(named or prefix, ".bin"))
        meter.add(read.num_bytes)


def _damaged(path: Path) -> ShardError:
    return DamagedShard(
        f"{path}: its bytes are not those that were written",
        f"`python -m data_pipeline.shards verify {path.parents[2]}` says which, and what to do",
    )


def _file(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(f"{prefix.name}{suffix}")
