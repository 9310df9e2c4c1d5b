"""What the package `datasets` loads: data sets of the Hugging Face Hub, local files by its builders, saved folders."""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Any, NoReturn

import pyarrow as pa

from data_pipeline.sources.columnar import MAX_BLOCK_BYTES, Growing, Keys, check_columns, parsed_columns, too_much
from data_pipeline.sources.inputs import check_source
from data_pipeline.sources.records import MAX_DOC_BYTES
from data_pipeline.sources.source import Block, InputFile, Parsed, Source
from foundation.errors import InputError, SettingError, require
from foundation.hashes import hash_json
from foundation.secrets import before_query, to_show
from foundation.text import one_line

# builders of `datasets` that read text and numbers alone; `pandas` unpickles, so that a file of it could run anything
BUILDERS = ("arrow", "csv", "json", "parquet", "text")
COMMIT = re.compile(r"[0-9a-f]{40}")
SPLIT = re.compile(r"\w[\w.-]*")
BATCH_ROWS = 1000  # read at a time; a block is made of these, or of halves of one that is too large
SAVED = ("dataset_info.json", "dataset_dict.json")  # in the folders that `save_to_disk` writes
SHOWN_CHARS = 300


class Hub(Source):
    """A split of a data set that the package `datasets` loads. Never code of it: only data files, by BUILDERS.

    A document's row is its row in the split (streaming: in its shard); its id the id column's where that holds a string
    or an integer, else `<name>#<row>`. The other columns are its metadata. The rows are cut by one process and parsed
    by the workers. Keys come from the environment alone (HF_TOKEN).

    Args:
        path: of the Hub (`organization/name`), a folder of data files or one that `save_to_disk` wrote, or a builder
            (BUILDERS) with `data_files`.
        config_name: which of the data set's configs; None: the only one.
        split: e.g. train.
        revision: the commit (40 hex digits), for data sets of the Hub, which may change.
        data_files: files or patterns of them; of addresses none with a query (`?...`), which may hold a signature:
            `datasets` writes addresses into its cache as they are.
        streaming: read shard by shard as it comes, without a copy in the cache of `datasets`.
        source: names the source's shards.
        text_key: the column of the text.
        id_key: the column of the document's id, where there is one.
        weight: share of the training mixture, relative to the other sources'.
        budget: what a training run reads of it in place of the weight: {"tokens": n} or {"epochs": n}.
        tags: fields that are added to the metadata of its documents, e.g. {"domain": "law"}; a record's own stays.
        max_doc_bytes: a longer text is quarantined as `too_long`.
        max_block_bytes: the most that a block may take in memory.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(
        self,
        path: str,
        config_name: str | None = None,
        split: str = "train",
        revision: str | None = None,
        data_files: list[str] | None = None,
        streaming: bool = False,
        source: str = "hub",
        text_key: str = "text",
        id_key: str = "id",
        weight: float = 1.0,
        budget: dict[str, float] | None = None,
        tags: dict[str, str] | None = None,
        max_doc_bytes: int = MAX_DOC_BYTES,
        max_block_bytes: int = MAX_BLOCK_BYTES,
    ) -> None:
        check_source(source, weight, budget, tags)
        require(bool(path), "path", path, "organization/name, a folder, or a builder with data_files")
        require(SPLIT.fullmatch(split) is not None, "split", split, "the name of a split, e.g. train")
        is_commit = revision is None or COMMIT.fullmatch(revision) is not None
        require(is_commit, "revision", revision, "the 40 hex digits of a commit: a branch or tag may move")
        require(bool(data_files) or path not in BUILDERS, "data_files", data_files, f"the files that {path} reads")
        _check_addresses(data_files or [])
        self._keys = Keys(text_key, id_key, max_doc_bytes, max_block_bytes)
        self.name, self.weight, self.budget, self.tags = source, weight, budget, tags
        self.path, self.config_name, self.split, self.revision = path, config_name, split, revision
        self.data_files, self.streaming = data_files, streaming
        self.text_key, self.id_key = text_key, id_key
        self.max_doc_bytes, self.max_block_bytes = max_doc_bytes, max_block_bytes

    def files(self) -> list[InputFile]:
        parts = [PurePath(self.path).name if self._is_local() else self.path, self.config_name or "", self.split]
        name = "/".join(part for part in parts if part)
        if self._is_saved():
            return [InputFile(name, None, 0, version=self._saved_version())]
        builder = self._builder()
        version = hash_json([builder.hash, builder.config_id, str(builder.config.version)])
        if not self.streaming:
            return [InputFile(name, None, 0, version=version)]
        num_shards = self._stream(builder).num_shards
        return [InputFile(f"{name}/{shard:05d}", None, 0, version=version) for shard in range(num_shards)]

    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        row = read_bytes = 0
        held: list[pa.Table] = []
        held_bytes = 0
        for table in self._tables(file, partition_bytes):
            if held and held_bytes + table.nbytes > partition_bytes:
                yield _block(held, row, read_bytes)
                row += sum(each.num_rows for each in held)
                held, held_bytes = [], 0
            if not row and not held:
                check_columns(table.schema, self._keys, file, self)
            if table.nbytes > self.max_block_bytes:
                raise too_much(
                    file, f"row {row + sum(each.num_rows for each in held)}", table.nbytes, self.max_block_bytes
                )
            held.append(table)
            held_bytes += table.nbytes
            read_bytes += table.nbytes
        if held:
            yield _block(held, row, read_bytes)

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        with pa.ipc.open_stream(block.data) as reader:
            table = reader.read_all()
        growing = Growing(file, f"the block at row {block.first_row}", self.max_block_bytes)
        growing.add(table.nbytes)
        columns = dict(zip(table.column_names, table.columns, strict=True))
        return parsed_columns(columns, block.first_row, file, file_number, self._keys, growing)

    def _tables(self, file: InputFile, most_bytes: int) -> Iterator[pa.Table]:
        """Yield the rows of a file in order, in tables of at most `most_bytes` or one row."""
        try:
            for table in self._batches(file):
                if table.num_rows:
                    yield from _halves(table.replace_schema_metadata(None), most_bytes)
        except InputError:
            raise
        except Exception as error:  # `datasets` has many, and passes on those of what it stands on
            self._raise(error)

    def _batches(self, file: InputFile) -> Iterator[pa.Table]:
        if self.streaming and not self._is_saved():
            stream = self._stream(self._builder())
            shard = stream.shard(stream.num_shards, int(file.name.rpartition("/")[2]))
            yield from shard.with_format("arrow").iter(BATCH_ROWS)
            return
        rows = self._saved() if self._is_saved() else self._prepared(self._builder())
        yield from rows.with_format("arrow").iter(BATCH_ROWS)

    def _is_local(self) -> bool:
        return self.path not in BUILDERS and Path(self.path).expanduser().exists()

    def _is_saved(self) -> bool:
        folder = Path(self.path).expanduser()
        return self._is_local() and any((folder / name).is_file() for name in SAVED)

    def _saved(self) -> Any:
        datasets = importlib.import_module("datasets")
        try:
            found = datasets.load_from_disk(str(Path(self.path).expanduser()))
        except Exception as error:
            self._raise(error)
        splits = found if isinstance(found, dict) else {str(found.split or self.split): found}
        self._check_split(splits)
        return splits[self.split]

    def _check_split(self, splits: Collection[Any]) -> None:
        if self.split not in splits:
            there = ", ".join(sorted(str(each) for each in splits))
            raise InputError(f"corpus.split: {self.path!r} has no split {self.split!r}; there are: {there}")

    def _saved_version(self) -> str:
        rows = self._saved()
        paths = [Path(each["filename"]) for each in rows.cache_files]
        states = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
        return hash_json([rows._fingerprint, states])

    def _builder(self) -> Any:
        is_hub = not self._is_local() and self.path not in BUILDERS
        if is_hub and self.revision is None:
            raise InputError(
                f"corpus.revision: null, and {self.path!r} is no folder or file here, so it is of the Hub, where it "
                "may change; give the commit to read, 40 hex digits, which its page shows under Files"
            )
        datasets = importlib.import_module("datasets")
        path = str(Path(self.path).expanduser()) if self._is_local() else self.path
        try:
            builder = datasets.load_dataset_builder(
                path, name=self.config_name, data_files=self.data_files, revision=self.revision
            )
        except Exception as error:
            self._raise(error)
        kinds = [kind.__module__.rpartition(".")[2] for kind in type(builder).__mro__]
        if not set(kinds) & set(BUILDERS):
            raise InputError(
                f"corpus.path: {self.path!r} is read by {type(builder).__name__} of datasets, which is none of "
                f"{', '.join(BUILDERS)}, and others may run what they read; convert it, e.g. to parquet"
            )
        self._check_split(builder.config.data_files or {self.split})
        return builder

    def _prepared(self, builder: Any) -> Any:
        builder.download_and_prepare()
        return builder.as_dataset(split=self.split)

    def _stream(self, builder: Any) -> Any:
        try:
            return builder.as_streaming_dataset(split=self.split)
        except Exception as error:
            self._raise(error)

    def _raise(self, error: Exception) -> NoReturn:
        told = one_line(to_show(f"{type(error).__name__}: {error}"), SHOWN_CHARS)
        if isinstance(error, ConnectionError) or "Offline" in told or "offline" in told:
            raise InputError(
                f"corpus.path: {self.path!r} is of the Hub, which can't be reached ({told}); go where there is a "
                "network, or save it there with save_to_disk and give the folder as path"
            ) from error
        raise InputError(
            f"corpus.path: {self.path!r} can't be loaded by datasets ({told}); mend path, config_name, split, "
            "revision or data_files; keys for a closed data set come from HF_TOKEN"
        ) from error


def _check_addresses(data_files: list[str]) -> None:
    for path in data_files:
        shown = before_query(path)
        if shown != path:
            raise SettingError(
                f"data_files: {shown} is followed by a query (?...) or a fragment (#...), which may hold a signature, "
                "and datasets writes addresses into its cache; leave it out, or give the address as corpus.paths of "
                "corpus=jsonl, csv, parquet, arrow or text"
            )


def _halves(table: pa.Table, most_bytes: int) -> Iterator[pa.Table]:
    """Yield a table in one piece, or in halves of halves until each fits or is one row."""
    waiting = [table]
    while waiting:
        piece = waiting.pop()
        if piece.nbytes <= most_bytes or piece.num_rows == 1:
            yield piece
            continue
        middle = piece.num_rows // 2
        waiting += [piece.slice(middle), piece.slice(0, middle)]


def _block(tables: list[pa.Table], first_row: int, read_bytes: int) -> Block:
    table = pa.concat_tables(tables).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Block(first_row, 0, read_bytes, sink.getvalue().to_pybytes(), table.nbytes)
