"""Plain text: a file is a document, or a separator cuts it into several."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from data_pipeline.documents import Quarantined
from data_pipeline.sources.batches import NO_METADATA, document_batch
from data_pipeline.sources.decompress import MAX_RATIO
from data_pipeline.sources.inputs import check_paths, check_source, find_files
from data_pipeline.sources.records import (
    MAX_DOC_BYTES,
    MAX_WINDOW_BYTES,
    TOO_LONG,
    check_limits,
    cut_records,
    ends_inside_a_character,
    evidence,
    text_pieces,
    whole_content,
)
from data_pipeline.sources.source import Block, InputFile, Parsed, Source
from foundation.errors import InputError, require

JSON_LINES = re.compile(r"\.(jsonl|ndjson|jsonlines)(\.(gz|zst|zstd|bz2|xz))?$", re.IGNORECASE)  # also compressed


class Text(Source):
    r"""Plain text files, also .gz and .zst (magic bytes decide).

    A document's row is its place in the file, from 0, and its id `<file name>#<row>`. A document of white space alone
    (an empty file, two separators in a row) is none. One that is no UTF-8 is quarantined as `utf8`, the last one of a
    file that ends inside a character as `utf8_eof` (the file was cut), one above `max_doc_bytes` as `too_long`.

    Args:
        paths: files or glob patterns, relative to the working folder; or addresses (s3://, gs://, http://, https://).
        source: names the source's shards.
        separator: what stands between two documents, e.g. "\n\n\n" or "<|endoftext|>", and belongs to neither;
            None: a file is one document. The two characters "\" and "n" mean a line end, as they are typed in a
            shell; "\t" and "\r" likewise.
        weight: share of the training mixture, relative to the other sources'.
        budget: what a training run reads of it in place of the weight: {"tokens": n} or {"epochs": n}.
        tags: fields that are added to the metadata of its documents, e.g. {"domain": "law"}; a record's own stays.
        max_doc_bytes: a longer document is quarantined; bounds memory.
        max_window_bytes: the largest zstandard window that is decoded; bounds memory.
        max_ratio: the most bytes that may come out of a compressed one, over every GiB that comes out: stops bombs.
        storage_options: by protocol of `paths`, arguments of its fsspec file system, e.g. {"s3": {"anon": true}}; keys
            and passwords come from the environment alone.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(
        self,
        paths: list[str],
        source: str = "text",
        separator: str | None = None,
        weight: float = 1.0,
        budget: dict[str, float] | None = None,
        tags: dict[str, str] | None = None,
        max_doc_bytes: int = MAX_DOC_BYTES,
        max_window_bytes: int = MAX_WINDOW_BYTES,
        max_ratio: float = MAX_RATIO,
        storage_options: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        check_source(source, weight, budget, tags)
        check_paths(paths, storage_options)
        check_limits(max_doc_bytes, max_window_bytes, max_ratio)
        require(separator != "", "separator", separator, "a text, or null for one document a file")
        self.name, self.weight, self.budget, self.tags = source, weight, budget, tags
        self.paths, self.separator = paths, _unescaped(separator)
        self.max_doc_bytes, self.max_window_bytes, self.max_ratio = max_doc_bytes, max_window_bytes, max_ratio
        self.storage_options = storage_options

    def files(self) -> list[InputFile]:
        files = find_files(self.paths, self.name, self.storage_options, self.key)
        for file in files:
            if JSON_LINES.search(file.name):
                raise InputError(
                    f"{self.key}.paths: {file.where} is JSON lines by its name, which this source would take for text; "
                    "type corpus=jsonl instead of corpus=text, or rename the file if it holds plain text"
                )
        return files

    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        pieces = text_pieces(file, self.max_window_bytes, self.max_ratio)
        if self.separator is None:
            yield from whole_content(pieces, self.max_doc_bytes)
        else:
            yield from cut_records(pieces, self.separator.encode(), partition_bytes, self.max_doc_bytes)

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        rows: list[int] = []
        texts: list[bytes] = []
        quarantined: list[Quarantined] = []
        offset = block.offset_bytes
        separator = self.separator.encode() if self.separator else b""
        for row, data in enumerate(block.data.split(separator) if separator else [block.data], block.first_row):
            reason = self._refusal(data)
            if reason == "utf8" and offset + len(data) == block.offset_bytes + len(block.data):
                reason = "utf8_eof" if ends_inside_a_character(data) else reason  # no separator: the end of the file
            if reason:
                quarantined.append(Quarantined(row, offset, reason, evidence(data, reason)))
            elif data.strip():
                rows.append(row)
                texts.append(data)
            offset += len(data) + len(separator)
        ids = [f"{file.name}#{row}".encode() for row in rows]
        documents = document_batch(file_number, rows, ids, texts, [NO_METADATA] * len(rows))
        return Parsed(documents, quarantined, len(rows) + len(quarantined))

    def advice(self) -> str:
        if self.separator is not None:
            return ""
        return (
            "; a file is one document unless the source's separator cuts it, "
            "e.g. corpus.separator='\\n\\n' at empty lines"
        )

    def _refusal(self, data: bytes) -> str | None:
        """Return why a document can't be taken, or None."""
        if len(data) > self.max_doc_bytes:
            return TOO_LONG
        try:
            data.decode()
        except UnicodeDecodeError:
            return "utf8"
        return None


def _unescaped(separator: str | None) -> str | None:
    """Return the separator with its typed escapes as the characters they stand for."""
    for typed, meant in ((r"\n", "\n"), (r"\t", "\t"), (r"\r", "\r")):
        separator = separator and separator.replace(typed, meant)
    return separator
