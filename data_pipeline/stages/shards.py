"""Shards: partitions are encoded in workers, then each shard is put together in one, documents in a random order.

A source whose documents are grouped has shards for each group, a component of the mixture; else it is one itself. The
order is that of the documents' lots, drawn by `shards.seed` from each one's place in its own source: it depends on
neither workers nor partitions nor the other sources.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.documents import MODULUS
from data_pipeline.ledger import Account, Book
from data_pipeline.mix.lots import file_lots
from data_pipeline.output_dir import CONFIG
from data_pipeline.records import Records, keep_only
from data_pipeline.shards.health import Health, Tally, blank_ids
from data_pipeline.shards.manifest import (
    NAME,
    SHARDS,
    SPLITS,
    TOKENIZER,
    Manifest,
    ShardInfo,
    SourceManifest,
    documents_path,
    shard_prefix,
)
from data_pipeline.shards.token_bytes import token_bytes_of
from data_pipeline.shards.verify import verify_shards
from data_pipeline.shards.writer import SUFFIXES, Sharder
from data_pipeline.stages.assembled import Assemble, read_tally
from data_pipeline.stages.encoded import Encode, Item
from data_pipeline.stages.shard_plan import Encoded, ShardItem, plan_shards
from data_pipeline.stages.stage import Outcome, Stage, Task, Workplace, do_parts, task
from data_pipeline.stages.view import View
from data_pipeline.tokenize.encoder import Encoder
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import progress
from foundation.text import one_line

COMPONENTS = "components"  # in facts
NOTE_CHARS = 100  # of why an engine can't be used: some refuse a tokenizer with a report of many lines
FREE = ("alarms", "cell_bytes", "on_alarm")  # settings that change no byte of the shards
Totals = dict[str, dict[str, "_Total"]]  # split -> component -> what it holds


class WriteShards(Stage):
    """Writes the documents as tokens: each partition's beside its record, then shard by shard in their final order.

    Args:
        eot_token: text of the token after each document.
        raw: the plain config of `shards`.
    """

    name = "shards"
    title = "shards"
    code = (
        "mix/lots.py",
        "shards",
        "stages/assembled.py",
        "stages/encoded.py",
        "stages/shard_plan.py",
        "stages/shards.py",
        "tokenize",
    )
    libraries = ("numpy", "pyarrow", "tokenizers", "xxhash")
    vouching = (*Stage.vouching, NAME, CONFIG)
    releases = True

    def __init__(self, place: Workplace, sharder: Sharder, eot_token: str, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._sharder, self._eot_token, self._raw = sharder, eot_token, raw

    def settings(self) -> Any:
        raw = {key: value for key, value in self._raw.items() if key not in FREE}
        return {**raw, "eot_token": self._eot_token}

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
        encoder = Encoder(tokenizer_json, self._eot_token, "tokenizers")  # for what it says; the workers choose theirs
        dtype = self._sharder.dtype_for(encoder.vocab_size)
        names = _components(view, before)
        totals: Totals = {split: {name: _Total() for name in names} for split in SPLITS}
        total_bytes = int(view.sizes[view.alive].sum())
        encoded, how = self._encode(view, tokenizer_json, dtype, totals)
        self.release()  # until here a stop leaves a finished folder as it was: encoded parts lie in work/
        behind = token_bytes_of(tokenizer_json)
        self._assemble(encoded, totals, dtype, blank_ids(behind.pieces(encoder.vocab_size)))
        single, unknown = behind.single_bytes(encoder.vocab_size), behind.unknown
        splits = {
            split: {name: total.facts(self.folder, split, single, unknown) for name, total in of_split.items()}
            for split, of_split in totals.items()
        }
        facts = {
            "tokenizer_hash": hash_bytes(tokenizer_json),
            "vocab_size": encoder.vocab_size,
            "eot_id": encoder.eot_id,
            "dtype": dtype.name,
            "shuffle_seed": self._sharder.seed if self._sharder.shuffle else None,
            "splits": splits,
            COMPONENTS: names,
        }
        output = hash_json(facts)
        facts["note"] = "; ".join(one_line(each.partition("\n")[0], NOTE_CHARS) for each in how)
        files = self._files(totals)
        keep_only(self.place.output_dir / SHARDS, files)  # another size of shards, or another grouping, had others
        return Outcome(output, _book(totals, names, before), files, facts, utf8_bytes=total_bytes)

    def _encode(
        self, view: View, tokenizer_json: bytes, dtype: np.dtype[Any], totals: Totals
    ) -> tuple[dict[str, list[Encoded]], list[str]]:
        """Encode all partitions, and return them by source, and by which engines; totals: receive what they hold."""
        encode = Encode(tokenizer_json, self._eot_token, self.folder, dtype)
        sources = {each.name: each.source for each in view.partitions}
        encoded: dict[str, list[Encoded]] = {}
        how: set[str] = set()
        with progress("encode", int(view.sizes[view.alive].sum()), "B", "text") as meter:
            tasks = self._tasks(view, hash_bytes(tokenizer_json))
            for name, facts in do_parts(self.place.executor, self.records, tasks, encode):
                how.add(facts["encoder"])
                encoded.setdefault(sources[name], []).append(Encoded(name, facts["index_hash"], facts["runs"]))
                for run in facts["runs"]:
                    totals[run["split"]][run["component"]].add(run)
                    meter.add(run["utf8_bytes"])
        return encoded, sorted(how)

    def _tasks(self, view: View, tokenizer_hash: str) -> Iterator[Task[Item]]:
        settings = hash_json([self.identity, tokenizer_hash])
        names, components = view.components
        for piece in view.slices(view.alive):
            indices = piece.indices()
            used, places = np.unique(components[indices], return_inverse=True)
            mine = [names[number] for number in used.tolist()]
            files = np.unique(view.files[indices])
            file_names = [view.file_names[number] for number in files.tolist()]
            drawn = None
            if self._sharder.shuffle:
                named = [(piece.partition.source, name) for name in file_names]
                drawn = file_lots(self.name, self._sharder.seed, named)
            held_out, in_mine = view.held_out[indices], places.astype(np.int32)
            masks = [hash_bytes(each.tobytes()) for each in (piece.mask, held_out, in_mine)]
            key = [settings, mine, piece.partition.source, file_names, piece.content_hash, masks]
            item = Item(piece, held_out, mine, in_mine, files, file_names, drawn)
            yield task(self.records, piece.partition.name, hash_json(key), item)

    def _assemble(
        self, encoded: dict[str, list[Encoded]], totals: Totals, dtype: np.dtype[Any], is_blank: np.ndarray
    ) -> None:
        """Write the shards; totals: receive them."""
        assemble = Assemble(self.folder, self.place.output_dir / SHARDS, self._sharder, dtype, is_blank)
        num_tokens = sum(total.tokens for of_split in totals.values() for total in of_split.values())
        places: list[tuple[str, str]] = []
        records = Records(self.folder / SHARDS, self.place.output_dir)
        with progress(self.name, num_tokens, "tokens") as meter:
            tasks = self._shard_tasks(records, encoded, dtype, places)
            for number, (_, facts) in enumerate(do_parts(self.place.executor, records, tasks, assemble)):
                split, component = places[number]
                totals[split][component].parts.append(facts)
                meter.add(facts["shard"]["num_tokens"])

    def _shard_tasks(
        self,
        records: Records,
        encoded: dict[str, list[Encoded]],
        dtype: np.dtype[Any],
        places: list[tuple[str, str]],
    ) -> Iterator[Task[ShardItem]]:
        """Yield a task a shard; places: receives the split and component of each."""
        settings = hash_json([self.identity, dtype.name])
        for of_source in encoded.values():
            for item in plan_shards(self.folder, of_source, self._sharder.max_shard_bytes // dtype.itemsize):
                places.append((item.split, item.component))
                yield task(records, f"{item.split}.{item.name}", hash_json([settings, item.key]), item)

    def _files(self, totals: Totals) -> list[Path]:
        prefixes = [
            shard_prefix(self.place.output_dir, split, shard.name)
            for split, sources in totals.items()
            for total in sources.values()
            for shard in total.shards
        ]
        of_shards = [prefix.with_name(prefix.name + suffix) for prefix in prefixes for suffix in SUFFIXES]
        return of_shards + [documents_path(prefix) for prefix in prefixes]


def _components(view: View, before: Book) -> dict[str, str]:
    """Return component -> its source, of all there are."""
    names, components = view.components
    sources, of_document = view.sources
    if names == sources:
        return {source: source for source in before}
    numbers, firsts = np.unique(components, return_index=True)
    pairs = zip(numbers.tolist(), of_document[firsts].tolist(), strict=True)
    return {names[number]: sources[source] for number, source in pairs if number >= 0}


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
                health=Health(**total["health"]) if total["documents"] else None,
            )
            for name, total in of_split.items()
        }
        for split, of_split in facts["splits"].items()
    }
    kinds = {key: facts[key] for key in ("tokenizer_hash", "vocab_size", "eot_id", "dtype", "shuffle_seed")}
    return Manifest(**kinds, splits=splits)


@dataclass(slots=True)
class _Total:
    """What one component holds in one split.

    Attributes:
        parts: the facts of its shards, in their order.
    """

    tokens: int = 0
    documents: int = 0
    utf8_bytes: int = 0
    fingerprint: int = 0
    parts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def shards(self) -> list[ShardInfo]:
        return [ShardInfo(**part["shard"]) for part in self.parts]

    def add(self, part: dict[str, Any]) -> None:
        self.tokens += part["tokens"]
        self.documents += part["documents"]
        self.utf8_bytes += part["utf8_bytes"]
        self.fingerprint = (self.fingerprint + int(part["fingerprint"], 16)) % MODULUS

    def facts(self, folder: Path, split: str, single_byte: np.ndarray, unknown_id: int | None) -> dict[str, Any]:
        """Return it as JSON values.

        Args:
            folder: of the stage, where the counts of the shards are.
            single_byte, unknown_id: as for `Tally.health`.
        """
        tally = Tally.empty(len(single_byte))
        for part in self.parts:
            tally.add(read_tally(folder, split, part, len(single_byte)))
        counts = {"tokens": self.tokens, "documents": self.documents, "utf8_bytes": self.utf8_bytes}
        health = asdict(tally.health(single_byte, unknown_id))
        return {**counts, "shards": [part["shard"] for part in self.parts], "health": health}


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
