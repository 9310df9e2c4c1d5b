"""Whose bytes they are that stand where a shard's should: another shard's, or none's."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.manifest import ShardInfo
from data_pipeline.shards.sums import Sums, digest, read_sums
from foundation.hashes import BLOCK_BYTES, hash_file

ZEROS = digest(bytes(BLOCK_BYTES))
Place = tuple[str, int]  # a shard's name with its split, a block of it


class Owners:
    """Finds the shard that bytes belong to. Reads the `.sum` files anew at each question, one at a time.

    Args:
        shards: name with split, e.g. `train/web_00000` -> (prefix, what the manifest says), in the manifest's order.
    """

    def __init__(self, shards: dict[str, tuple[Path, ShardInfo]]) -> None:
        self._shards = shards

    def blocks(self, wrong: Iterable[bytes], but: str) -> dict[bytes, Place]:
        """Return the places in other shards at which blocks of these digests were written; the first of several.

        Args:
            but: the shard that they were found in; asked last, for blocks that changed places in one file.
        """
        wanted = set(wrong) - {ZEROS}
        halves = np.frombuffer(b"".join(sorted(wanted)), "<u8")[::2]
        found: dict[bytes, Place] = {}
        for name, sums in self._sums(but):
            mine = np.frombuffer(sums.blocks, "<u8")[::2]
            for block in np.flatnonzero(np.isin(mine, halves)).tolist() if wanted else ():
                if (each := sums.block(block)) in wanted:
                    found.setdefault(each, (name, block))
        return found

    def index(self, path: Path) -> str | None:
        """Return the shard whose `.idx` a file is."""
        mine = bytes.fromhex(hash_file(path)) if path.is_file() else None
        return next((name for name, sums in self._sums("") if sums.idx_digest == mine), None)

    def sum_file(self, path: Path) -> str | None:
        """Return the shard whose `.sum` a file is."""
        mine = hash_file(path) if path.is_file() else None
        return next((name for name, (_, info) in self._shards.items() if info.sum_hash == mine), None)

    def _sums(self, last: str) -> Iterator[tuple[str, Sums]]:
        for name, (prefix, info) in sorted(self._shards.items(), key=lambda item: item[0] == last):
            try:
                yield name, read_sums(prefix.with_name(prefix.name + ".sum"), info.sum_hash)
            except (ShardError, OSError):
                continue  # of which the verdict on that shard speaks


def described(path: Path, size: int, wrong: list[tuple[int, bytes]], owners: dict[bytes, Place]) -> list[ShardError]:
    """Return an error for each run of wrong blocks that have one thing to say of them.

    Args:
        path: of the `.bin`.
        size: of it in bytes.
        wrong: (block, the digest that it has), ascending.
        owners: by digest, as `Owners.blocks` found them.
    """

    def kind(item: tuple[int, tuple[int, bytes]]) -> tuple[str, int, int]:
        """What neighbours share: the run of blocks, and the distance to where they belong."""
        place, (block, mine) = item
        name, owned = owners.get(mine, ("zeros" if mine == ZEROS else "", block))
        return name, owned - block, block - place

    errors: list[ShardError] = []
    for (name, distance, _), items in itertools.groupby(enumerate(wrong), kind):
        blocks = [block for _, (block, _) in items]
        first, last, end = blocks[0], blocks[-1], min((blocks[-1] + 1) * BLOCK_BYTES, size)
        where = f"{_named(first, last)} (bytes {first * BLOCK_BYTES:,} to {end:,})"
        is_one = first == last
        verb = f"{'is' if is_one else 'are'} not what was written"
        if name == "zeros":
            why = "zeros alone, as where a write did not reach the disk"
        elif name:
            its = _named(first + distance, last + distance)
            why = f"{'it is' if is_one else 'they are'} {its} of {name}"
        else:
            why = "its hash differs from the .sum's" if is_one else "their hashes differ from the .sum's"
        errors.append(DamagedShard(f"{path}: {where} {verb}: {why}"))
    return errors


def _named(first: int, last: int) -> str:
    return f"block {first}" if first == last else f"blocks {first} to {last}"
