"""Shards: each partition is encoded in a worker, then the parts are laid end to end, a source and split at a time.

A source whose documents are grouped has shards for each group, a component of the mixture; else it is one itself.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.documents import MODULUS, fingerprint, keys_of
from data_pipeline.ledger import Account, Book
from data_pipeline.records import Part
from data_pipeline.shards.manifest import SHARDS, SPLITS, TOKENIZER, Manifest, ShardInfo, SourceManifest, shard_prefix
from data_pipeline.shards.verify import verify_shards
from data_pipeline.shards.writer import SUFFIXES, Sharder, SourceWriter
from data_pipeline.stages.stage import Outcome, Stage, Task, Workplace, do_parts, task
from data_pipeline.stages.view import Slice, View
from data_pipeline.storage import read_arrays, room_for, write_arrays
from data_pipeline.tokenize.encoder import Encoder
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import Meter, progress

COMPONENTS = "components"  # in facts
Totals = dict[str, dict[str, "_Total"]]  # split -> component -> what it holds


@dataclass(frozen=True, slots=True)
class Item:
    """Documents to encode.

    Attributes:
        held_out: (documents,) bool.
        names: of the components that they belong to. components: (documents,) int32, the place of each one's in it.
    """

    piece: Slice
    held_out: np.ndarray
    names: list[str]
    components: np.ndarray


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
        names = _components(view, before)
        totals: Totals = {split: {name: _Total() for name in names} for split in SPLITS}
        encode = _Encode(tokenizer_json, self._eot_token, self.folder)
        total_bytes = int(view.sizes[view.alive].sum())
        with progress("encode", total_bytes, "B", "text") as meter:
            tasks = self._tasks(view, hash_bytes(tokenizer_json))
            for _, facts in do_parts(self.place.executor, self.records, tasks, encode):
                for split in SPLITS:
                    for name, part in facts[split].items():
                        totals[split][name].add(part)
                        meter.add(part["utf8_bytes"])
        self._assemble(view, names, totals, dtype)
        splits = {split: {name: total.facts() for name, total in totals[split].items()} for split in SPLITS}
        facts = {
            "tokenizer_hash": hash_bytes(tokenizer_json),
            "vocab_size": encoder.vocab_size,
            "eot_id": encoder.eot_id,
            "dtype": dtype.name,
            "splits": splits,
            COMPONENTS: names,
        }
        output = hash_json(facts)
        facts["note"] = encoder.describe()
        return Outcome(output, _book(totals, names, before), self._files(totals), facts, utf8_bytes=total_bytes)

    def _tasks(self, view: View, tokenizer_hash: str) -> Iterator[Task[Item]]:
        settings = hash_json([self.identity, tokenizer_hash])
        names, components = view.components
        for piece in view.slices(view.alive):
            indices = piece.indices()
            used, places = np.unique(components[indices], return_inverse=True)
            mine = [names[number] for number in used.tolist()]
            item = Item(piece, view.held_out[indices], mine, places.astype(np.int32))
            masks = [hash_bytes(each.tobytes()) for each in (piece.mask, item.held_out, item.components)]
            key = hash_json([settings, mine, piece.content_hash, masks])
            yield task(self.records, piece.partition.name, key, item)

    def _assemble(self, view: View, names: dict[str, str], totals: Totals, dtype: np.dtype[Any]) -> None:
        shards = self.place.output_dir / SHARDS
        if shards.exists():
            shutil.rmtree(shards)
        encoded = [piece.partition for piece in view.slices(view.alive)]
        num_tokens = sum(total.tokens for of_split in totals.values() for total in of_split.values())
        with progress(self.name, num_tokens, "tokens") as meter:
            for split, of_split in totals.items():
                for source in view.sources[0]:
                    paths = [part_path(self.folder, each.name, split) for each in encoded if each.source == source]
                    mine = [name for name in of_split if names[name] == source]
                    writers = {name: self._sharder.writer(shards / split, name, dtype) for name in mine}
                    for name, written in _lay_end_to_end(paths, shards / split, writers, meter).items():
                        of_split[name].shards = written

    def _files(self, totals: Totals) -> list[Path]:
        prefixes = [
            shard_prefix(self.place.output_dir, split, shard.name)
            for split, sources in totals.items()
            for total in sources.values()
            for shard in total.shards
        ]
        return [prefix.with_name(prefix.name + suffix) for prefix in prefixes for suffix in SUFFIXES]


def _components(view: View, before: Book) -> dict[str, str]:
    """Return component -> its source, of all there are."""
    names, components = view.components
    sources, of_document = view.sources
    if names == sources:
        return {source: source for source in before}
    numbers, firsts = np.unique(components, return_index=True)
    pairs = zip(numbers.tolist(), of_document[firsts].tolist(), strict=True)
    return {names[number]: sources[source] for number, source in pairs if number >= 0}


def _lay_end_to_end(
    paths: list[Path], folder: Path, writers: dict[str, SourceWriter], meter: Meter
) -> dict[str, list[ShardInfo]]:
    """Write the parts of one source into the shards of its components."""
    with room_for(folder), ExitStack() as stack:
        for writer in writers.values():
            stack.enter_context(writer)
        for path in paths:
            arrays = read_arrays(path)
            ends = np.cumsum(arrays["lengths"], dtype=np.int64)
            for number, name in enumerate(arrays["names"].tolist()):  # a component's documents stand together
                first, stop = np.searchsorted(arrays["components"], [number, number + 1]).tolist()
                begin, end = (int(ends[place - 1]) if place else 0 for place in (first, stop))
                writers[name].add(arrays["ids"][begin:end], arrays["lengths"][first:stop])
            meter.add(len(arrays["ids"]))
        return {name: writer.finish() for name, writer in writers.items()}


def part_path(folder: Path, partition: str, split: str) -> Path:
    """Return the file of a partition's tokens."""
    return folder / f"{partition}.{split}.npz"


def manifest_of(
    facts: dict[str, Any], weights: dict[str, float], budgets: Mapping[str, dict[str, float] | None] | None = None
) -> Manifest:
    """Return the manifest of finished shards.

    Args:
        facts: what `WriteShards` wrote down.
        weights: component -> its share of the mixture.
        budgets: component -> what a training run reads of it in place of the weight; None, or not there, for the
            weight.
    """
    splits = {
        split: {
            name: SourceManifest(
                weight=weights[name],
                tokens=total["tokens"],
                documents=total["documents"],
                utf8_bytes=total["utf8_bytes"],
                shards=[ShardInfo(**shard) for shard in total["shards"]],
                budget=(budgets or {}).get(name) if split == SPLITS[0] else None,
            )
            for name, total in of_split.items()
        }
        for split, of_split in facts["splits"].items()
    }
    return Manifest(facts["tokenizer_hash"], facts["vocab_size"], facts["eot_id"], facts["dtype"], splits)


@dataclass(slots=True)
class _Total:
    """What one component holds in one split."""

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


def _book(totals: Totals, names: dict[str, str], before: Book) -> Book:
    """Count out what the shards themselves hold, not what was sent to them; names: component -> its source."""
    book: Book = {}
    for source, account in before.items():
        mine = [totals[split][name] for split in SPLITS for name in names if names[name] == source]
        book[source] = Account(
            num_in=account.num_out,
            num_out=sum(shard.num_documents for total in mine for shard in total.shards),
            fingerprint_in=account.fingerprint_out,
            fingerprint_out=sum(total.fingerprint for total in mine) % MODULUS,
        )
    return book


class _Encode:
    """Runs in a worker: the texts of each split of a partition to ids, those of a component together."""

    def __init__(self, tokenizer_json: bytes, eot_token: str, folder: Path) -> None:
        self._tokenizer_json, self._eot_token, self._folder = tokenizer_json, eot_token, folder

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._tokenizer_json, self._eot_token)

    def __call__(self, item: Item) -> Part:
        batch = item.piece.load()
        texts, keys = batch.column("text"), keys_of(batch)
        sizes = np.asarray(pc.binary_length(texts), np.int64)
        facts: dict[str, Any] = {}
        paths = []
        for split, mask in zip(SPLITS, (~item.held_out, item.held_out), strict=True):
            places = np.flatnonzero(mask)
            places = places[np.argsort(item.components[places], kind="stable")]
            components = item.components[places]
            ids, lengths = self._encoder.encode(texts.take(pa.array(places)))
            path = part_path(self._folder, item.piece.partition.name, split)
            names = np.array(item.names)
            write_arrays(path, {"ids": ids, "lengths": lengths, "names": names, "components": components})
            paths.append(path)
            facts[split] = {
                name: _part(places[components == number], lengths[components == number], sizes, keys)
                for number, name in enumerate(item.names)
            }
        return Part(facts, paths)


def _part(
    places: np.ndarray, lengths: np.ndarray, sizes: np.ndarray, keys: tuple[np.ndarray, np.ndarray]
) -> dict[str, Any]:
    """Return what a part holds of a component, for `_Total.add`; places: its documents, lengths: their tokens."""
    return {
        "tokens": int(lengths.sum(dtype=np.int64)),
        "documents": len(places),
        "utf8_bytes": int(sizes[places].sum()),
        "fingerprint": f"{fingerprint(keys[0][places], keys[1][places]):032x}",
    }
