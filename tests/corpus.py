"""Small data folders of real text, written as the pipeline writes them."""

from __future__ import annotations

import itertools
import sysconfig
from pathlib import Path

import pyarrow as pa

from data_pipeline.shards.manifest import Manifest, SourceManifest
from data_pipeline.shards.writer import SourceWriter
from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.encoder import Encoder
from foundation.hashes import hash_bytes

VOCAB_SIZE = 512
Texts = dict[str, list[str]]  # source -> documents


def write_data(folder: Path, train: Texts, val: Texts, vocab_size: int, max_shard_bytes: int = 1 << 30) -> None:
    """Write a data folder: a tokenizer trained on the training text, shards of both splits."""
    texts = [text for documents in train.values() for text in documents]
    tokenizer_json = ByteLevelBPE(vocab_size=vocab_size).train(iter(texts))
    encoder = Encoder(tokenizer_json, engine="tokenizers")
    splits: dict[str, dict[str, SourceManifest]] = {"train": {}, "val": {}}
    for split, sources in (("train", train), ("val", val)):
        for source, documents in sources.items():
            ids, lengths = encoder.encode(pa.array(documents, pa.large_string()))
            with SourceWriter(folder / "shards" / split, source, encoder.dtype, max_shard_bytes) as writer:
                writer.add(ids, lengths)
                shards = writer.finish()
            size = sum(len(document.encode()) for document in documents)
            splits[split][source] = SourceManifest(1.0, len(ids), len(documents), size, shards)
    (folder / "tokenizer.json").write_bytes(tokenizer_json)
    dtype = encoder.dtype.name
    Manifest(hash_bytes(tokenizer_json), encoder.vocab_size, encoder.eot_id, dtype, splits).save(folder)


def write_pydocs(folder: Path, max_shard_bytes: int = 1 << 30) -> None:
    """Write 500 pieces of the standard library, of unequal lengths, with a vocabulary of 512."""
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:20]
    sizes = [30 + 37 * (number % 11) for number in range(500)]
    whole = "".join(path.read_text(encoding="utf-8")[:8000] for path in modules)
    texts = [whole[end - size : end] for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)]
    write_data(folder, {"pydocs": texts[20:]}, {"pydocs": texts[:20]}, VOCAB_SIZE, max_shard_bytes)
