"""What a data folder, or one shard of Megatron's format, holds: the numbers, and documents as people read them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text

from data_pipeline.inspection.errors import InspectionError
from data_pipeline.inspection.position import Position, locate, of_document
from data_pipeline.inspection.text import Decoder, shortened
from data_pipeline.report.tables import print_tables, table
from data_pipeline.shards.manifest import SPLITS, TOKENIZER, Manifest, SourceManifest, read_tokenizer, tokenizer_file
from data_pipeline.shards.pair import open_pair
from foundation.progress import human
from foundation.text import number_of

SHOWN_IDS = 512  # of a document, unless the whole of it is asked for
SHOWN_CHARS = 1000
UNWRAPPED = 120  # characters of a line, where there is no terminal


@dataclass(frozen=True, slots=True)
class Show:
    """Which documents are shown, and how.

    Attributes:
        documents: how many.
        start: a position as `locate` takes it, from whose document on; None: drawn by the seed.
        ids: whether their token ids are.
        whole: whether long ones are not cut.
    """

    documents: int = 0
    start: str | None = None
    seed: int = 0
    ids: bool = False
    whole: bool = False


def inspect_folder(data_dir: Path, show: Show) -> None:
    """Print what a data folder holds to stdout.

    Raises:
        ShardError: it is no data folder, or a shard of a document that is shown is damaged.
        InspectionError: there is no such position.
    """
    manifest = Manifest.load(data_dir)
    decoder = Decoder(read_tokenizer(data_dir, manifest), str(data_dir / "tokenizer.json"))
    eot = decoder.text(np.array([manifest.eot_id]))
    heads = (
        f"tokenizer: {manifest.tokenizer_hash}, {manifest.vocab_size:,} entries, end of text {manifest.eot_id} {eot!r}",
        f"tokens:    {manifest.dtype}",
    )
    for line in heads:
        print(line)
    print_tables(_held(manifest), stderr=False)
    for position in _chosen(data_dir, manifest, show):
        ids = position.shard.tokens(position.start, position.stop)
        _print_document(position.name, position.before + position.document, ids, position.start, decoder, show)


def inspect_shard(path: Path, tokenizer: Path, show: Show) -> None:
    """Print what a pair of `.bin` and `.idx` holds, without a manifest: nothing vouches for its bytes.

    Args:
        path: either of them, or what both names begin with.
    Raises:
        ShardError: it is no such pair.
        InspectionError: the tokenizer is missing or has no token of an id, or there is no such position.
    """
    tokens, index = open_pair(path)
    starts = index.document_starts()
    documents, sequences = len(starts) - 1, len(index.lengths)
    print(f"tokens:    {int(starts[-1]):,} {index.dtype.name}")
    print(f"documents: {documents:,}" + (f" of {number_of(sequences, 'sequence')}" if sequences != documents else ""))
    if not show.documents or not starts[-1]:
        return
    file = tokenizer_file(tokenizer)
    if not file.is_file():
        raise InspectionError(
            f"--tokenizer {tokenizer}: no {TOKENIZER} is there; name that of these tokens, or a folder that has it"
        )
    decoder = Decoder(file.read_bytes(), str(file))
    mapped = np.memmap(tokens, index.dtype, mode="r")
    for number in _numbers_of(show, starts):
        ids = np.asarray(mapped[starts[number] : starts[number + 1]])
        _print_document(f"{tokens.stem}:{starts[number]}", number, ids, int(starts[number]), decoder, show)


def _held(manifest: Manifest) -> Table:
    made = table(("split", "source"), ("documents", "tokens", "text", "bytes/token", "reads", "shards"))
    for split in SPLITS:
        for name, held in manifest.splits[split].items():
            of_text = held.tokens - held.documents  # the end-of-text tokens stand for no text
            ratio = f"{held.utf8_bytes / of_text:.2f}" if of_text else ""
            numbers = f"{held.documents:,}", f"{held.tokens:,}", human(held.utf8_bytes, "B"), ratio
            made.add_row(split, Text(name), *numbers, _reads(held), str(len(held.shards)))
    return made


def _reads(held: SourceManifest) -> str:
    if held.budget is None:
        return f"weight {held.weight:g}"
    ((unit, amount),) = held.budget.items()
    return f"{human(amount)} {unit}" if unit == "tokens" else f"{amount:g} {unit}"


def _chosen(data_dir: Path, manifest: Manifest, show: Show) -> list[Position]:
    if show.start is not None:
        first = locate(data_dir, manifest, show.start)
        number, held = first.before + first.document, manifest.splits[first.split][first.source]
        numbers = range(number, min(number + show.documents, held.documents))
        return [of_document(data_dir, manifest, first.split, first.source, each) for each in numbers]
    sources = [(split, name, held.documents) for split in SPLITS for name, held in manifest.splits[split].items()]
    ends = np.cumsum([documents for _, _, documents in sources])
    found = []
    for number in _drawn(show, int(ends[-1]) if len(ends) else 0):
        place = int(np.searchsorted(ends, number, side="right"))
        split, name, documents = sources[place]
        found.append(of_document(data_dir, manifest, split, name, number - int(ends[place]) + documents))
    return found


def _drawn(show: Show, documents: int) -> list[int]:
    """Return the numbers of as many documents as are shown, drawn by the seed, each once."""
    drawn = np.random.default_rng(show.seed).choice(documents, min(show.documents, documents), replace=False)
    numbers: list[int] = drawn.tolist()
    return numbers


def _numbers_of(show: Show, starts: np.ndarray) -> list[int]:
    """Return the documents of a lone shard that are shown."""
    documents = len(starts) - 1
    if show.start is None:
        return _drawn(show, documents)
    typed = show.start.rpartition(":")[2]
    if not typed.isdecimal() or int(typed) >= int(starts[-1]):
        raise InspectionError(f"--from {show.start}: this shard has tokens 0 to {int(starts[-1]) - 1:,}; give a number")
    first = int(np.searchsorted(starts, int(typed), side="right")) - 1
    return list(range(first, min(first + show.documents, documents)))


def _print_document(name: str, number: int, ids: np.ndarray, start: int, decoder: Decoder, show: Show) -> None:
    decoder.check(name, ids, start)
    text = decoder.text(ids)
    print(f"\n{name}  document {number:,}, {number_of(len(ids), 'token')}, {human(len(text.encode()), 'B')}")
    if not show.ids:
        print(shortened(text, None if show.whole else SHOWN_CHARS))
        return
    shown = ids if show.whole else ids[:SHOWN_IDS]
    for line in decoder.columns(shown, start, shutil.get_terminal_size((UNWRAPPED, 0)).columns):
        print(line)
    if len(shown) < len(ids):
        print(f"... {len(ids) - len(shown):,} more tokens; --whole shows them")
