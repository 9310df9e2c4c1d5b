"""Shards: each partition is encoded in a worker, then the parts are laid end to end, a source and split at a time."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.documents import MODULUS, fingerprint, keys_of
from data_pipeline.ledger import Account, Book
from data_pipeline.records import Part
from data_pipeline.shards.manifest import SHARDS, SPLITS, TOKENIZER, Manifest, ShardInfo, SourceManifest, shard_prefix
from data_pipeline.shards.verify import verify_shards
from data_pipeline.shards.writer import SUFFIXES, Sharder, SourceWriter
from data_pipeline.stages.stage import Outcome, Stage, Task, Workplace, do_parts, task
from data_pipeline.stages.view import Slice, View, num_bytes
from data_pipeline.storage import read_arrays, room_for, write_arrays
from data_pipeline.tokenize.encoder import Encoder
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import Meter, progress

Item = tuple[Slice, np.ndarray]  # documents, and which of them are held out


class WriteShards(Stage):
    """Writes the documents as tokens: each partition's beside its record, then all of a source end to end.

    Args:
        eot_token: text of the token after each document.
        raw: the plain config of `shards`.
    """

    name = "shards"
    title = "shards"
    code = ("shards", "tokenize", "stages/shards.py")
    libraries = ("numpy", "tokenizers")

    def __init__(self, place: Workplace, sharder: Sharder, eot_token: str, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._sharder, self._eot_token, self._raw = sharder, eot_token, raw

    def settings(self) -> Any:
        return {**self._raw, "eot_token": self._eot_token}

    def leaves(self, view: View, facts: dict[str, Any]) -> View:
        return view  # it decides nothing about documents

    def stands(self, facts: dict[str, Any]) -> bool:
        """Return whether every byte of the shards is what was written: a disk's flipped bit changes no size."""
        made = manifest_of(facts, dict.fromkeys(facts["splits"][SPLITS[0]], 1.0))
        problems = [each for found in verify_shards(self.place.output_dir, made).values() for each in found]
        for each in problems:
            print(f"{each.problem}; the shards are made again", file=sys.stderr)
        return not problems

    def run(self, view: View, before: Book) -> Outcome:
        tokenizer_json = (self.place.output_dir / TOKENIZER).read_bytes()
        encoder = Encoder(tokenizer_json, self._eot_token)
        dtype = self._sharder.dtype_for(encoder.vocab_size)
        totals = {split: {source: _Total() for source in before} for split in SPLITS}
        encode = _Encode(tokenizer_json, self._eot_token, self.folder)
        total_bytes = int(view.sizes[view.alive].sum())
        with progress("encode", total_bytes, "B", "text") as meter:
            tasks = self._tasks(view, hash_bytes(tokenizer_json))
            for _, facts in do_parts(self.place.executor, self.records, tasks, encode):
                for split in SPLITS:
                    totals[split][facts["source"]].add(facts[split])
                    meter.add(facts[split]["utf8_bytes"])
        self._assemble(view, totals, dtype)
        splits = {split: {source: total.facts() for source, total in totals[split].items()} for split in SPLITS}
        facts = {
            "tokenizer_hash": hash_bytes(tokenizer_json),
            "vocab_size": encoder.vocab_size,
            "eot_id": encoder.eot_id,
            "dtype": dtype.name,
            "splits": splits,
        }
        output = hash_json(facts)
        facts["note"] = encoder.describe()
        return Outcome(output, _book(totals, before), self._files(totals), facts, utf8_bytes=total_bytes)

    def _tasks(self, view: View, tokenizer_hash: str) -> Iterator[Task[Item]]:
        settings = hash_json([self.identity, tokenizer_hash])
        for piece in view.slices(view.alive):
            held_out = view.held_out[piece.indices()]
            masks = [hash_bytes(mask.tobytes()) for mask in (piece.mask, held_out)]
            key = hash_json([settings, piece.partition.source, piece.content_hash, masks])
            yield task(self.records, piece.partition.name, key, (piece, held_out))

    def _assemble(self, view: View, totals: dict[str, dict[str, _Total]], dtype: np.dtype[Any]) -> None:
        shards = self.place.output_dir / SHARDS
        if shards.exists():
            shutil.rmtree(shards)
        encoded = [piece.partition for piece in view.slices(view.alive)]
        num_tokens = sum(total.tokens for sources in totals.values() for total in sources.values())
        with progress(self.name, num_tokens, "tokens") as meter:
            for split, sources in totals.items():
                for source, total in sources.items():
                    paths = [part_path(self.folder, each.name, split) for each in encoded if each.source == source]
                    writer = self._sharder.writer(shards / split, source, dtype)
                    total.shards = _lay_end_to_end(paths, shards / split, writer, meter)

    def _files(self, totals: dict[str, dict[str, _Total]]) -> list[Path]:
        prefixes = [
            shard_prefix(self.place.output_dir, split, shard.name)
            for split, sources in totals.items()
            for total in sources.values()
            for shard in total.shards
        ]
        return [prefix.with_name(prefix.name + suffix) for prefix in prefixes for suffix in SUFFIXES]


def _lay_end_to_end(paths: list[Path], folder: Path, writer: SourceWriter, meter: Meter) -> list[ShardInfo]:
    """Write the parts of one source into its shards."""
    with room_for(folder), writer:
        for path in paths:
            arrays = read_arrays(path)
            writer.add(arrays["ids"], arrays["lengths"])
            meter.add(len(arrays["ids"]))
        return writer.finish()


def part_path(folder: Path, partition: str, split: str) -> Path:
    """Return the file of a partition's tokens."""
    return folder / f"{partition}.{split}.npz"


def manifest_of(
    facts: dict[str, Any], weights: dict[str, float], budgets: Mapping[str, dict[str, float] | None] | None = None
) -> Manifest:
    """Return the manifest of finished shards.

    Args:
        facts: what `WriteShards` wrote down.
        weights: source -> its share of the mixture.
        budgets: source -> what a training run reads of it in place of the weight; None, or not there, for the weight.
    """
    splits = {
        split: {
            source: SourceManifest(
                weight=weights[source],
                tokens=total["tokens"],
                documents=total["documents"],
                utf8_bytes=total["utf8_bytes"],
                shards=[ShardInfo(**shard) for shard in total["shards"]],
                budget=(budgets or {}).get(source) if split == SPLITS[0] else None,
            )
            for source, total in sources.items()
        }
        for split, sources in facts["splits"].items()
    }
    return Manifest(facts["tokenizer_hash"], facts["vocab_size"], facts["eot_id"], facts["dtype"], splits)


@dataclass(slots=True)
class _Total:
    """What one source holds in one split."""

    tokens: int = 0
    documents: int = 0
    utf8_bytes: int = 0
    fingerprint: int = 0
    shards: list[ShardInfo] = field(default_factory=list)

    def add(self, part: dict[str, Any]) -> None:
        self.tokens += part["tokens"]
        self.documents += part["documents"]
        self.utf8_bytes += part["utf8_bytes"]
        self.fingerprint = (self.fingerprint + int(part["fingerprint"], 16)) % MODULUS

    def facts(self) -> dict[str, Any]:
        shards = [asdict(shard) for shard in self.shards]
        counts = {"tokens": self.tokens, "documents": self.documents, "utf8_bytes": self.utf8_bytes}
        return {**counts, "shards": shards}


def _book(totals: dict[str, dict[str, _Total]], before: Book) -> Book:
    """Count out what the shards themselves hold, not what was sent to them."""
    book: Book = {}
    for source, account in before.items():
        mine = [totals[split][source] for split in SPLITS]
        book[source] = Account(
            num_in=account.num_out,
            num_out=sum(shard.num_documents for total in mine for shard in total.shards),
            fingerprint_in=account.fingerprint_out,
            fingerprint_out=sum(total.fingerprint for total in mine) % MODULUS,
        )
    return book


class _Encode:
    """Runs in a worker: the texts of each split of a partition to ids."""

    def __init__(self, tokenizer_json: bytes, eot_token: str, folder: Path) -> None:
        self._tokenizer_json, self._eot_token, self._folder = tokenizer_json, eot_token, folder

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._tokenizer_json, self._eot_token)

    def __call__(self, item: Item) -> Part:
        piece, held_out = item
        batch = piece.load()
        files, rows = keys_of(batch)
        facts: dict[str, Any] = {"source": piece.partition.source}
        paths = []
        for split, mask in zip(SPLITS, (~held_out, held_out), strict=True):
            texts = batch.column("text").filter(pa.array(mask))
            ids, lengths = self._encoder.encode(texts)
            path = part_path(self._folder, piece.partition.name, split)
            write_arrays(path, {"ids": ids, "lengths": lengths})
            paths.append(path)
            facts[split] = {
                "tokens": len(ids),
                "documents": len(lengths),
                "utf8_bytes": num_bytes(texts),
                "fingerprint": f"{fingerprint(files[mask], rows[mask]):032x}",
            }
        return Part(facts, paths)
