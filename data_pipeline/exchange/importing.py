"""Foreign shards as a data folder of ours: with sums and a manifest, every token checked, as the trainer takes it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import orjson

from data_pipeline.exchange.building import building
from data_pipeline.exchange.errors import ExchangeError, require_name
from data_pipeline.exchange.formats import FORMATS, Place, TokenFile
from data_pipeline.exchange.stream import DocumentStream
from data_pipeline.exchange.token_bytes import byte_lengths, num_bytes
from data_pipeline.shards.alarms import Alarms
from data_pipeline.shards.health import blank_ids
from data_pipeline.shards.index import dtype_for
from data_pipeline.shards.manifest import SHARDS, SPLITS, TOKENIZER, UNKNOWN, Manifest, SourceManifest, tokenizer_file
from data_pipeline.shards.token_bytes import TokenBytes, read_token_bytes
from data_pipeline.shards.writer import SourceWriter
from data_pipeline.tokenize.checks import END_OF_TEXT, check, end_of_text, load, vocab_size
from foundation.files import write_atomic
from foundation.hashes import hash_bytes
from foundation.progress import Meter, progress
from foundation.text import number_of

MAX_SHARD_BYTES = 1 << 30  # of a `.bin`, as conf/shards/default.yaml has it
MOST_SHORT_FRAC = 0.5  # of documents, with next to no text: more of them are those of another end-of-text token
FEW_DOCUMENTS = 100  # of which that says little


@dataclass(frozen=True, slots=True)
class Foreign:
    """What is imported, and what is known of it.

    Attributes:
        files: split -> its files, in their order.
        format: one of FORMATS.
        source: its name in the new folder.
        tokenizer: the tokenizer.json that encoded it, or a folder that has it.
        eot_token: text of its end-of-text token.
        eot_at: where documents have it; None as the format's own writer does it.
        append_eot: put one behind documents of an index that have none.
    """

    files: dict[str, list[Path]]
    format: str
    source: str
    tokenizer: Path
    eot_token: str = END_OF_TEXT
    eot_at: Place | None = None
    append_eot: bool = False


def import_shards(out: Path, foreign: Foreign, max_shard_bytes: int = MAX_SHARD_BYTES) -> Manifest:
    """Make a data folder of foreign shards. They are read once; a stopped import begins anew. Warns on stderr of tokens
    past the usual limits (`Alarms`), as a run of the pipeline does.

    Args:
        out: the new folder.
        max_shard_bytes: size of a `.bin`, at which the next shard begins.
    Raises:
        ExchangeError: a file is not what its format says, an id is not in the vocabulary, documents don't end.
        TokenizerError: the tokenizer can't be used, or has no such end-of-text token.
        DiskFull: says how many bytes were needed.
    """
    require_name("--source", foreign.source)
    tokenizer_json = _tokenizer(foreign)
    tokenizer = load(tokenizer_json, str(foreign.tokenizer))
    eot_id, size = end_of_text(tokenizer, foreign.eot_token, str(foreign.tokenizer)), vocab_size(tokenizer)
    behind = read_token_bytes(tokenizer, orjson.loads(tokenizer_json))
    lengths, is_blank, dtype = byte_lengths(behind, size), blank_ids(behind.pieces(size)), dtype_for(size)
    opened = _opened(foreign, size)
    place = _place(foreign, opened)
    total = sum(file.num_tokens for files in opened.values() for file in files)
    read_bytes = sum(file.num_tokens * file.dtype.itemsize for files in opened.values() for file in files)
    splits: dict[str, dict[str, SourceManifest]] = {}
    with building(out, total * dtype.itemsize + len(tokenizer_json)) as unfinished:
        with progress("import", read_bytes, "B") as meter:
            for split in SPLITS:
                stream = DocumentStream(opened[split], lengths, is_blank, eot_id, place, foreign.append_eot)
                writer = SourceWriter(unfinished / SHARDS / split, foreign.source, dtype, max_shard_bytes)
                splits[split] = {foreign.source: _write(stream, writer, behind, meter)}
                _tell(stream, split)
        write_atomic(unfinished / TOKENIZER, tokenizer_json)
        made = Manifest(hash_bytes(tokenizer_json), size, eot_id, dtype.name, splits, UNKNOWN)
        made.save(unfinished)
    for line in Alarms().of(made):
        print(f"warning: {line}", file=sys.stderr)
    return made


def _tokenizer(foreign: Foreign) -> bytes:
    file = tokenizer_file(foreign.tokenizer)
    if not file.is_file():
        raise ExchangeError(
            f"--tokenizer {foreign.tokenizer}: no {TOKENIZER} is there; name that of these shards, or a folder that "
            "has it (a run with tokenizer=gpt2 leaves GPT-2's in its own)"
        )
    tokenizer_json = file.read_bytes()
    check(tokenizer_json, foreign.eot_token, (), f"--tokenizer {foreign.tokenizer}")
    return tokenizer_json


def _opened(foreign: Foreign, size: int) -> dict[str, list[TokenFile]]:
    """Return split -> its files that hold tokens.

    Raises:
        ExchangeError: one file is named twice, under whatever name, or the files of a split hold no token.
    """
    opener, _ = FORMATS[foreign.format]
    opened: dict[str, list[TokenFile]] = {}
    named: dict[Path, str] = {}
    for split in SPLITS:
        files = [opener(path, size) for path in foreign.files.get(split, [])]
        for file in files:
            _check_once(file, split, named)
            if file.note:
                print(f"warning: {file.note}", file=sys.stderr)
        opened[split] = [file for file in files if file.num_tokens]
        if not opened[split] and (files or split == SPLITS[0]):
            names = ", ".join(str(file.path) for file in files) or "no file"
            raise ExchangeError(f"{split}: {names}: holds no token; name the files that hold the tokens of {split}")
    return opened


def _check_once(file: TokenFile, split: str, named: dict[Path, str]) -> None:
    """Refuse a file that was named before; named: file -> split of those, receives this one."""
    real = file.path.resolve()
    if real in named:
        where = " and ".join(dict.fromkeys((named[real], split)))
        raise ExchangeError(f"{file.path}: is named twice, in {where}; name each file once, in one split")
    named[real] = split


def _place(foreign: Foreign, opened: dict[str, list[TokenFile]]) -> Place:
    """Return where documents have their end-of-text token.

    Raises:
        ExchangeError: at their start, in files whose index says where documents end.
    """
    place = foreign.eot_at or FORMATS[foreign.format][1]
    indexed = [file.path for files in opened.values() for file in files if file.ends is not None]
    if place == "start" and indexed:
        raise ExchangeError(f"--eot-at start: {indexed[0]} has an index of its documents; leave it out")
    return place


def _write(stream: DocumentStream, writer: SourceWriter, behind: TokenBytes, meter: Meter) -> SourceManifest:
    num_prefixes = 0  # what a tokenizer puts before each document's text is none of its bytes
    with writer:
        for ids, lengths in stream.read(meter):
            writer.add(ids, lengths)
            num_prefixes += int((lengths > 1).sum())
        shards = writer.finish()
    return SourceManifest(
        weight=1.0,
        tokens=sum(each.num_tokens for each in shards),
        documents=sum(each.num_documents for each in shards),
        utf8_bytes=num_bytes(stream.tally.counts, stream.lengths) - num_prefixes * len(behind.prefix),
        shards=shards,
        health=stream.tally.health(behind.single_bytes(len(stream.lengths)), behind.unknown),
    )


def _tell(stream: DocumentStream, split: str) -> None:
    documents, short = int(stream.tally.lengths.sum()), int(stream.tally.lengths[:2].sum())  # fewer than 2^2 tokens
    if documents >= FEW_DOCUMENTS and short > MOST_SHORT_FRAC * documents:
        print(
            f"warning: {split}: {short:,} of {documents:,} documents have at most 2 tokens of text: see whether "
            f"{stream.eot_id} is what ends documents there (--eot-token), and whether --format is theirs",
            file=sys.stderr,
        )
    if stream.split:
        print(
            f"warning: {split}: {number_of(stream.split, 'end-of-text token')} inside documents of the index: each "
            "ends one document and begins another here",
            file=sys.stderr,
        )
    if stream.begun:
        print(
            f"{split}: the files begin amid a document; what is there of it is a document of its own", file=sys.stderr
        )
    if stream.appended:
        print(f"{split}: {number_of(stream.appended, 'end-of-text token')} put behind documents", file=sys.stderr)
