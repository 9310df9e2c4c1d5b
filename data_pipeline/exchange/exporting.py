"""A data folder as the shards of another trainer: llm.c's, or nanoGPT's train.bin and val.bin."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_pipeline.exchange.building import building
from data_pipeline.exchange.errors import ExchangeError
from data_pipeline.exchange.formats import FORMATS, LLMC_HEADER, LLMC_MAGIC, LLMC_VERSION, UINT16
from data_pipeline.shards.manifest import SPLITS, TOKENIZER, Manifest, read_tokenizer, shard_prefix
from data_pipeline.shards.reader import Shard
from foundation.errors import require
from foundation.files import replacing, write_atomic
from foundation.progress import Meter, progress

TRAINERS = {"llmc": "llm.c", "nanogpt": "nanoGPT"}
SHARD_TOKENS = 100_000_000  # of a file, as llm.c's own shards of FineWeb have
MOST_SHARD_TOKENS = (1 << 31) - 1  # its header counts them in an int32
READ_TOKENS = 1 << 22
File = tuple[str, str, str, int]  # name, split, source (empty: all of the split), tokens
NOT_CARRIED = "the mixture is not carried over: {} reads what it is given end to end, weights and budgets are for ours"


def export(out: Path, data_dir: Path, trainer: str, shard_tokens: int = SHARD_TOKENS) -> list[Path]:
    """Write the shards of a data folder as another trainer reads them, and its tokenizer.json beside them.

    Args:
        out: the new folder.
        trainer: `llmc`, files `<source>_val_000000.bin`, `<source>_train_000001.bin` on; or `nanogpt`, `train.bin` and
            `val.bin`, all sources of a split end to end.
        shard_tokens: of a file of llm.c, at most; a source's files are of one size.
    Returns:
        The files of tokens.
    Raises:
        ExchangeError: the vocabulary does not fit uint16.
        ShardError: the shards are not what the manifest says.
        DiskFull: says how many bytes were needed.
    """
    require(1 <= shard_tokens <= MOST_SHARD_TOKENS, "--shard-tokens", shard_tokens, f"1 to {MOST_SHARD_TOKENS:,}")
    manifest = Manifest.load(data_dir)
    if manifest.vocab_size > 1 << 16:
        raise ExchangeError(
            f"{data_dir}: its tokens are {manifest.dtype}, of a vocabulary of {manifest.vocab_size:,}; "
            f"{TRAINERS[trainer]} holds uint16: vocabularies up to 65,536, such as GPT-2's 50,257"
        )
    tokenizer = read_tokenizer(data_dir, manifest)
    files = _llmc_files(manifest, shard_tokens) if trainer == "llmc" else _nanogpt_files(manifest)
    num_bytes = sum(count for _, _, _, count in files) * UINT16.itemsize
    with building(out, num_bytes + 4 * LLMC_HEADER * len(files)) as unfinished:
        with progress("export", num_bytes, "B") as meter:
            for (split, source), mine in itertools.groupby(files, lambda each: each[1:3]):
                sources = [source] if source else list(manifest.splits[split])
                tokens: Iterator[np.ndarray] = itertools.chain.from_iterable(
                    _tokens(data_dir, manifest, split, name) for name in sources
                )
                if FORMATS[trainer][1] == "start":
                    tokens = _moved(tokens, manifest.eot_id)
                _write_files(unfinished, tokens, [(name, count) for name, _, _, count in mine], trainer, meter)
        write_atomic(unfinished / TOKENIZER, tokenizer)
    print(NOT_CARRIED.format(TRAINERS[trainer]), file=sys.stderr)
    for split in (each for each in SPLITS if not any(each == mine for _, mine, _, _ in files)):
        missing = f"{data_dir} holds no tokens in {split}: {TRAINERS[trainer]} gets no file of it"
        print(f"warning: {missing}", file=sys.stderr)
    return [out / name for name, *_ in files]


def _llmc_files(manifest: Manifest, shard_tokens: int) -> list[File]:
    """Return the files of each source: the held-out ones have the first numbers, as those of llm.c have."""
    files: list[File] = []
    for source in manifest.splits["train"]:
        number = 0
        for split in ("val", "train"):
            held = manifest.splits[split][source].tokens if source in manifest.splits[split] else 0
            parts = -(-held // shard_tokens)
            for part in range(parts):  # of one size: llm.c stops at a file that holds less than a batch
                count = held * (part + 1) // parts - held * part // parts
                files.append((f"{source}_{split}_{number:06d}.bin", split, source, count))
                number += 1
            number = max(number, 1)
    return files


def _nanogpt_files(manifest: Manifest) -> list[File]:
    tokens = {split: sum(source.tokens for source in manifest.splits[split].values()) for split in SPLITS}
    return [(f"{split}.bin", split, "", tokens[split]) for split in SPLITS if tokens[split]]


def _tokens(data_dir: Path, manifest: Manifest, split: str, source: str) -> Iterator[np.ndarray]:
    """Yield the tokens of a source in order, (n,) uint16, each block verified."""
    for info in manifest.splits[split][source].shards if source in manifest.splits[split] else ():
        shard = Shard(shard_prefix(data_dir, split, info.name), info, manifest.vocab_size, manifest.dtype)
        for begin in range(0, shard.num_tokens, READ_TOKENS):
            yield shard.tokens(begin, min(begin + READ_TOKENS, shard.num_tokens)).astype(UINT16, copy=False)


def _moved(chunks: Iterator[np.ndarray], eot_id: int) -> Iterator[np.ndarray]:
    """Yield the same tokens with each document's end-of-text token before it: the last one of all goes to the front."""
    yield np.array([eot_id], UINT16)
    held = np.zeros(0, UINT16)
    for ids in chunks:
        yield held
        yield ids[:-1]
        held = ids[-1:]
    if held.tolist() != [eot_id]:
        raise ExchangeError(f"the last document ends with {held.tolist()}, not with the end-of-text token {eot_id}")


def _write_files(
    folder: Path, chunks: Iterator[np.ndarray], files: list[tuple[str, int]], trainer: str, meter: Meter
) -> None:
    """Write the tokens into files of so many each, which they fill."""
    held = np.zeros(0, UINT16)
    for name, count in files:
        left = count
        with replacing(folder / name) as temporary, temporary.open("wb") as file:
            if trainer == "llmc":
                file.write(_llmc_header(count))
            while left:
                if not len(held):
                    held = next(chunks)
                    continue
                file.write(np.ascontiguousarray(held[:left]).data)
                meter.add(held[:left].nbytes)
                left, held = left - len(held[:left]), held[left:]
    for rest in chunks:  # what checks the end stands behind it
        assert not len(rest), f"{folder}: more tokens than the manifest says"


def _llmc_header(num_tokens: int) -> bytes:
    header = np.zeros(LLMC_HEADER, "<i4")
    header[:3] = LLMC_MAGIC, LLMC_VERSION, num_tokens
    return header.tobytes()
