"""Whose bytes they are that stand where a shard's should: another shard's, or none's."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.manifest import ShardInfo
from data_pipeline.shards.sums import digest, read_sums
from foundation.hashes import BLOCK_BYTES

ZEROS = digest(bytes(BLOCK_BYTES))
Place = tuple[str, int]  # a shard's name with its split, a block of it
# name with split, e.g. `train/web_00000` -> (prefix, what the manifest says), in the manifest's order
Shards = dict[str, tuple[Path, ShardInfo]]


@dataclass(frozen=True, slots=True)
class Owners:
    """Which shards bytes belong to. Attributes: blocks: digest -> its place in up to two shards, the first of each;
    indexes: digest of an `.idx` -> its shard."""

    blocks: dict[bytes, list[Place]]
    indexes: dict[bytes, str]

    def block(self, digest: bytes, but: str) -> Place | None:
        """Return the place that a block belongs to.

        Args:
            but: the shard that it was found in; named last, for blocks that changed places in one file.
        """
        places = self.blocks.get(digest, [])
        return next((place for place in places if place[0] != but), places[0] if places else None)


def find_owners(shards: Shards, wrong: Iterable[bytes], indexes: Iterable[bytes]) -> Owners:
    """Read the `.sum` files of all shards once, one at a time, for all that is asked.

    Args:
        shards: in the manifest's order.
        wrong: digests of blocks. indexes: digests of `.idx` files.
    """
    wanted, wanted_indexes = set(wrong) - {ZEROS}, set(indexes)
    owners = Owners({}, {})
    if not wanted and not wanted_indexes:
        return owners
    halves = np.frombuffer(b"".join(sorted(wanted)), "<u8")[::2]
    for name, (prefix, info) in shards.items():
        try:
            sums = read_sums(prefix.with_name(f"{prefix.name}.sum"), info.sum_hash)
        except (ShardError, OSError):
            continue  # of which the verdict on that shard speaks
        if sums.idx_digest in wanted_indexes:
            owners.indexes.setdefault(sums.idx_digest, name)
        mine = np.frombuffer(sums.blocks, "<u8")[::2]
        for block in np.flatnonzero(np.isin(mine, halves)).tolist():
            if (each := sums.block(block)) in wanted:
                places = owners.blocks.setdefault(each, [])
                if len(places) < 2 and name not in (place for place, _ in places):
                    places.append((name, block))
    return owners


def described(path: Path, size: int, wrong: list[tuple[int, bytes]], owners: dict[bytes, Place]) -> list[ShardError]:
    """Return an error for each run of wrong blocks that have one thing to say of them.

    Args:
        path: of the `.bin`.
        size: of it in bytes.
        wrong: (block, the digest that it has), ascending.
        owners: by digest, the place that it belongs to, where it has one.
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
