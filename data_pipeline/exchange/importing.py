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
from data_pipeline.shards.index import dtype_for
from data_pipeline.shards.manifest import SHARDS, SPLITS, TOKENIZER, Manifest, SourceManifest
from data_pipeline.shards.token_bytes import read_token_bytes
from data_pipeline.shards.writer import SourceWriter
from data_pipeline.tokenize.checks import END_OF_TEXT, check, end_of_text, load, vocab_size
from foundation.files import write_atomic
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import Meter, progress
from foundation.text import number_of

MAX_SHARD_BYTES = 1 << 30  # of a `.bin`, as conf/shards/default.yaml has it


@dataclass(frozen=True, slots=True)
class Foreign:
    """What is imported, and what is known of it.

    Attributes:
        files: split -> its files, in their order.
        format: one of FORMATS.
        source: its name in the new folder.
        tokenizer: the tokenizer.json that encoded it.
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
    """Make a data folder of foreign shards. They are read once; a stopped import begins anew.

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
    lengths, dtype = byte_lengths(behind, size), dtype_for(size)
    opened = {split: _opened(foreign, split, size) for split in SPLITS}
    place = _place(foreign, opened)
    total = sum(file.num_tokens for files in opened.values() for file in files)
    read_bytes = sum(file.num_tokens * file.dtype.itemsize for files in opened.values() for file in files)
    plan = hash_json([foreign.source, foreign.format, hash_bytes(tokenizer_json)])
    splits: dict[str, dict[str, SourceManifest]] = {}
    with building(out, plan, total * dtype.itemsize, goes_on=False) as unfinished:
        with progress("import", read_bytes, "B") as meter:
            for split in SPLITS:
                stream = DocumentStream(opened[split], lengths, eot_id, place, foreign.append_eot)
                writer = SourceWriter(unfinished / SHARDS / split, foreign.source, dtype, max_shard_bytes)
                splits[split] = {foreign.source: _write(stream, writer, len(behind.prefix), meter)}
                _tell(stream, split)
        write_atomic(unfinished / TOKENIZER, tokenizer_json)
        made = Manifest(hash_bytes(tokenizer_json), size, eot_id, dtype.name, splits)
        made.save(unfinished)
    return made


def _tokenizer(foreign: Foreign) -> bytes:
    if not foreign.tokenizer.is_file():
        raise ExchangeError(f"--tokenizer {foreign.tokenizer}: is no file; name the tokenizer.json of these shards")
    tokenizer_json = foreign.tokenizer.read_bytes()
    check(tokenizer_json, foreign.eot_token, (), f"--tokenizer {foreign.tokenizer}")
    return tokenizer_json


def _opened(foreign: Foreign, split: str, size: int) -> list[TokenFile]:
    opener, _ = FORMATS[foreign.format]
    files = [opener(path, size) for path in foreign.files.get(split, [])]
    for file in files:
        if file.note:
            print(f"warning: {file.note}", file=sys.stderr)
    twice = {file.path for file in files if sum(other.path == file.path for other in files) > 1}
    if twice:
        raise ExchangeError(f"{min(twice)}: is named twice; name each file once")
    return [file for file in files if file.num_tokens]


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


def _write(stream: DocumentStream, writer: SourceWriter, prefix_bytes: int, meter: Meter) -> SourceManifest:
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
        utf8_bytes=num_bytes(stream.counts, stream.lengths) - num_prefixes * prefix_bytes,
        shards=shards,
    )


def _tell(stream: DocumentStream, split: str) -> None:
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
