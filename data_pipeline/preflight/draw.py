"""Draw a part of a source: blocks spread over its files, in one pass over them that may end early.

Most inputs are streams that can't seek. A small source is read to its end, one block of every k in a row kept, each at
a random place of its k. Of a large one only some of the files are read, at random, or only the beginning of each: the
reading stays a few times what is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.preflight.drawn import Drawn, DrawnBlock
from data_pipeline.sources.source import Block, InputFile, Source
from data_pipeline.storage import room_for
from foundation.hashes import hash_json
from foundation.progress import progress

BLOCKS = 64  # that make up the part, at least half as many where there are: the interval is that between them
MIN_BLOCK_BYTES, MAX_BLOCK_BYTES = 1 << 10, 1 << 20
READ_TIMES = 10  # the part, at most, of a source above READ_BYTES ...
READ_BYTES = 1 << 28  # ... which is read in a second or two
LEAST_READ_BYTES = 1 << 23  # of a file, where only its beginning is read: sources read ahead a piece or two
MIN_FILES = 64  # that are read of many
EVEN = 0.1  # of the most that is drawn goes to the sources in equal parts, the rest by their sizes
RECIPE = 10  # a block that holds so many times less than the file counts by the file: it is no text yet


@dataclass(frozen=True, slots=True)
class Wish:
    """How much is to be drawn of each source.

    Attributes:
        frac: share of its bytes.
        least_bytes, most_bytes: as stored; what there is, where it is less.
        seed: of the choice.
    """

    frac: float
    least_bytes: float
    most_bytes: float
    seed: int


def wishes(frac: float, least_bytes: float, most_bytes: float, seed: int, sizes: Sequence[float]) -> list[Wish]:
    """Return how much is to be drawn of each source of a corpus: what is drawn at most is shared by size.

    Args:
        frac, seed: as of `Wish`, of each.
        least_bytes, most_bytes: of the corpus, as stored.
        sizes: of each source in bytes as stored; 0 where it doesn't know: it counts as one of the mean size.
    """
    known = [size for size in sizes if size]
    counted = [size or (sum(known) / len(known) if known else 1.0) for size in sizes]
    shares = [EVEN / len(sizes) + (1 - EVEN) * size / sum(counted) for size in counted]
    return [Wish(frac, min(least_bytes / len(sizes), most_bytes * each), most_bytes * each, seed) for each in shares]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to read of a source, and what to keep of it.

    Attributes:
        files: in their order.
        reach: how far into each, as a share of its bytes.
        every: one block of so many is kept.
        block_bytes: of records, at most.
    """

    files: list[InputFile]
    reach: float
    every: int
    block_bytes: int


@dataclass(slots=True)
class _Read:
    """What reading saw: bytes of records, the same as stored, bytes of these files that were left unread."""

    records: int = 0
    stored: int = 0
    unread: int = 0


def draw(source: Source, wish: Wish, spool: Path) -> Drawn:
    """Draw from one source; the same settings draw the same from the same files.

    Args:
        spool: where the bytes of the drawn blocks are written.
    Raises:
        InputError: as of `Source.files` and `Source.blocks`.
    """
    files = source.files()
    random = np.random.default_rng(int(hash_json([wish.seed, source.name])[:16], 16))
    plan = _plan(files, wish, random)
    while True:
        drawn = _draw(source, files, plan, random, spool)
        stored = drawn.size / max(drawn.whole, 1) * drawn.stored_bytes if drawn.stored_bytes else drawn.size
        if plan.every == 1 or (stored >= wish.least_bytes and len(drawn.blocks) >= BLOCKS // 2):
            return drawn
        plan = _Plan(plan.files, plan.reach, max(plan.every // 4, 1), plan.block_bytes)


def _plan(files: list[InputFile], wish: Wish, random: np.random.Generator) -> _Plan:
    total = sum(file.size_bytes for file in files)
    target = min(max(wish.frac * total, wish.least_bytes), wish.most_bytes)
    block_bytes = int(min(max(target / BLOCKS, MIN_BLOCK_BYTES), MAX_BLOCK_BYTES))
    if not total:  # sizes unknown: all is read
        return _Plan(files, 1.0, max(round(1 / wish.frac), 1), block_bytes)
    budget = max(READ_TIMES * target, READ_BYTES)
    if total <= budget:
        chosen, reach = files, 1.0
    else:
        number = min(len(files), max(MIN_FILES, round(len(files) * budget / total)))
        chosen = [files[place] for place in sorted(random.choice(len(files), number, replace=False).tolist())]
        reach = min(budget / max(sum(file.size_bytes for file in chosen), 1), 1.0)
    read = sum(file.size_bytes for file in chosen) * reach
    return _Plan(chosen, reach, max(int(read / target), 1), block_bytes)


def _draw(source: Source, files: list[InputFile], plan: _Plan, random: np.random.Generator, spool: Path) -> Drawn:
    """Read as planned, keep one block of every `plan.every`."""
    started = time.monotonic()
    kept: list[tuple[DrawnBlock, int]] = []  # with its bytes as stored
    spare: tuple[InputFile, Block, int] | None = None
    read = _Read()
    number, chosen = 0, int(random.integers(plan.every))
    total = sum(file.size_bytes for file in plan.files) * plan.reach
    spool.parent.mkdir(parents=True, exist_ok=True)
    label = f"draw from {source.name}"
    with room_for(spool), spool.open("wb") as out, progress(label, total or None, "B", "input") as meter:
        for file, block, stored in _blocks(source, plan, read):
            meter.add(stored)
            if number % plan.every == chosen:
                kept.append((_keep(out, file, block), stored))
            elif not number:
                spare = file, block, stored
            number += 1
            if number % plan.every == 0:
                chosen = int(random.integers(plan.every))
        if not kept and spare is not None:  # something of every source
            kept.append((_keep(out, *spare[:2]), spare[2]))
    unread = sum(file.size_bytes for file in files) - sum(file.size_bytes for file in plan.files) + read.unread
    is_recipe = read.records * RECIPE < read.stored
    seen = read.stored if is_recipe else read.records
    blocks = [replace(block, size=float(stored)) if is_recipe else block for block, stored in kept]
    names = {block.file for block in blocks}
    return Drawn(
        source=source,
        files={file.name: file for file in plan.files if file.name in names},
        blocks=blocks,
        spool=spool,
        whole=seen + max(unread, 0) * (seen / read.stored if read.stored else 0.0),
        num_files=len(files),
        read_files=len(plan.files),
        read_bytes=read.stored,
        stored_bytes=sum(file.size_bytes for file in files),
        read_s=time.monotonic() - started,
        every=plan.every,
    )


def _blocks(source: Source, plan: _Plan, read: _Read) -> Iterator[tuple[InputFile, Block, int]]:
    """Yield each block with its file and its bytes as stored, of each file as far as it is to be read."""
    for file in plan.files:
        seen = 0
        blocks: Any = source.blocks(file, plan.block_bytes)
        with closing(blocks) if hasattr(blocks, "close") else nullcontext():
            for block in blocks:
                stored = block.read_bytes - seen
                if stored and plan.reach < 1 and seen >= max(plan.reach * file.size_bytes, LEAST_READ_BYTES):
                    read.unread += max(file.size_bytes - seen, 0)  # here all that was read ahead has come out
                    break
                seen = block.read_bytes
                read.records += max(len(block.data), block.unpacked_bytes)
                read.stored += stored
                yield file, block, stored


def _keep(out: Any, file: InputFile, block: Block) -> DrawnBlock:
    start = out.tell()
    out.write(block.data)
    size = max(len(block.data), block.unpacked_bytes)
    return DrawnBlock(
        file.name, block.first_row, block.offset_bytes, block.unpacked_bytes, size, start, start + len(block.data)
    )
