from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.sources.arrow import Arrow
from data_pipeline.sources.arrow_messages import MessageError, TooLarge, read_messages
from foundation.errors import InputError, SettingError

Read = Callable[..., Any]
Write = Callable[[str, bytes], str]


def ipc(table: pa.Table, kind: str = "stream", compression: str | None = None, rows: int | None = None) -> bytes:
    sink = io.BytesIO()
    opened = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with opened(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


def some_rows(count: int) -> pa.Table:
    draw = random.Random(0)
    texts = ["".join(draw.choices("abcdé ", k=draw.choice([0, 3, 40, 900]))) for _ in range(count)]
    return pa.table(
        {
            "id": pa.array([f"d{row}" if row % 3 else None for row in range(count)]),
            "text": pa.array(texts),
            "language": pa.array(["en", "de"] * (count // 2)).dictionary_encode(),
            "tags": pa.array([["t"] * (row % 3) for row in range(count)]),
        }
    )


def expected(table: pa.Table, name: str = "x.arrow") -> list[dict[str, Any]]:
    found = []
    for row, record in enumerate(table.to_pylist()):
        text, given = record.pop("text"), record.get("id")
        if given is not None:
            del record["id"]
        metadata = json.dumps(record, separators=(",", ":"))
        found.append({"file": 0, "row": row, "id": given or f"{name}#{row}", "text": text, "metadata": metadata})
    return found


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("rows", [None, 37])
def test_every_form_gives_the_same_documents_whatever_the_size_of_blocks(
    read: Read, write: Write, kind: str, compression: str | None, rows: int | None
) -> None:
    table = some_rows(200)
    source = Arrow([write("x.arrow", ipc(table, kind, compression, rows))])
    (file,) = source.files()
    counts = []
    for partition_bytes in (1, 4_000, 1 << 20):
        assert read(source, partition_bytes) == (expected(table), [])
        blocks = list(source.blocks(file, partition_bytes))
        counts.append(len(blocks))
        reads = [block.read_bytes for block in blocks]
        assert reads == sorted(reads) and reads[-1] <= file.size_bytes
    assert counts[0] == 200 > counts[1] > counts[2] == (6 if rows else 1)


def test_a_block_stands_for_its_content_and_needs_no_file(write: Write) -> None:
    table = some_rows(100)
    source = Arrow([write("x.arrow", ipc(table, rows=20))])
    (file,) = source.files()
    before = list(source.blocks(file, 1 << 20))
    changed = table.set_column(1, "text", pa.array([*table["text"].to_pylist()[:-1], "other"]))
    write("x.arrow", ipc(changed, rows=20))
    after = list(source.blocks(file, 1 << 20))
    assert [one.data == other.data for one, other in zip(before, after, strict=True)] == [True] * 4 + [False]
    Path(source.paths[0]).unlink()
    rows = [row for block in before for row in source.parse(block, file, 0).documents.to_pylist()]
    assert rows == expected(table)


def test_texts_of_every_type_become_one(read: Read, write: Write, tmp_path: Path) -> None:
    kinds = (pa.large_string(), pa.binary(), pa.string_view(), pa.binary_view(), pa.null())
    for number, kind in enumerate(kinds):
        column = pa.nulls(3) if kind == pa.null() else pa.array(["é", None, "b"]).cast(kind)
        write(f"{number}.arrow", ipc(pa.table({"text": column})))
    write("5.arrow", ipc(pa.table({"text": pa.array(["é", None, "b"]).dictionary_encode()})))
    write("6.arrow", ipc(pa.table({"text": pa.RunEndEncodedArray.from_arrays([2, 3], ["é", "b"])})))
    for partition_bytes in (1, 1 << 20):
        documents, quarantined = read(Arrow([f"{tmp_path}/*.arrow"]), partition_bytes)
        texts = [document["text"] for document in documents]
        assert texts == ["é", "b"] * 5 + ["é", "é", "b"]
        assert [bad.reason for bad in quarantined] == ["text_type"] * 8


def test_dictionaries_that_change_and_grow_are_followed(read: Read, write: Write) -> None:
    for deltas in (False, True):
        words = [["a", "b"], ["a", "b", "c"], ["x"]] if not deltas else [["a"], ["a", "b"], ["a", "b", "c"]]
        sink = io.BytesIO()
        schema = pa.schema({"text": pa.dictionary(pa.int32(), pa.string())})
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=deltas)
        with pa.ipc.new_stream(sink, schema, options=options) as writer:
            for each in words:
                indices = pa.array(range(len(each)), pa.int32())
                column = pa.DictionaryArray.from_arrays(indices, pa.array(each))
                writer.write_batch(pa.RecordBatch.from_arrays([column], schema=schema))
        documents, _ = read(Arrow([write("x.arrow", sink.getvalue())]))
        assert [document["text"] for document in documents] == [word for each in words for word in each]


def test_texts_that_cannot_be_taken_are_quarantined(read: Read, write: Write) -> None:
    texts = [b"good", None, b"ba\xff", b"x" * 50, b"fine"]
    broken = pa.Array.from_buffers(pa.string(), 5, pa.array(texts, pa.binary()).buffers())
    for column in (pa.array(texts, pa.binary()), broken, broken.dictionary_encode()):
        path = write("x.arrow", ipc(pa.table({"text": column})))
        for partition_bytes in (1, 1 << 20):
            documents, quarantined = read(Arrow([path], max_doc_bytes=49), partition_bytes)
            assert [(document["row"], document["text"]) for document in documents] == [(0, "good"), (4, "fine")]
            assert [(bad.row, bad.reason) for bad in quarantined] == [(1, "text_type"), (2, "utf8"), (3, "too_long")]


def test_the_column_of_the_text_is_found_or_named(read: Read, write: Write) -> None:
    path = write("x.arrow", ipc(pa.table({"texts": ["a"], "n": [1]})))
    with pytest.raises(InputError, match=r"x\.arrow: has no column 'text'.*'texts', 'n'.*mean 'texts'"):
        read(Arrow([path]))
    with pytest.raises(InputError, match=r"x\.arrow: column 'n' \(corpus\.text_key\) holds int64"):
        read(Arrow([path], text_key="n"))


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_cut_at_every_byte_is_noticed(read: Read, write: Write, kind: str, compression: str | None) -> None:
    whole = ipc(some_rows(4).select(["text", "language"]), kind, compression, rows=2)
    path = write("x.arrow", whole)
    assert len(read(Arrow([path]))[0]) == 4
    for cut in reversed(range(len(whole))):
        os.truncate(path, cut)
        with pytest.raises(InputError, match=r"x\.arrow: "):
            read(Arrow([path]))


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("compression", [None, "lz4"])
def test_no_flipped_bit_loses_or_adds_a_row_unseen(
    read: Read, write: Write, kind: str, compression: str | None
) -> None:
    whole = ipc(some_rows(40), kind, compression, rows=10)
    draw = random.Random(5)
    for _ in range(200):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        try:
            documents, quarantined = read(Arrow([write("x.arrow", bytes(flipped))]))
        except InputError as error:
            assert "x.arrow" in str(error)
            continue
        assert len(documents) + len(quarantined) == 40


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with b''"),
        (b"no arrow at all", "begins with b'no arrow'"),
        (ipc(some_rows(4)) + b"more", "ends at byte .* and b'more' follows"),
        (ipc(some_rows(4))[:-8], "ends after byte [0-9,]+, before the mark that ends a stream"),
        (ipc(some_rows(4), "file")[:-3], "has a bad footer, or none"),
    ],
)
def test_what_is_no_whole_arrow_file_is_named(read: Read, write: Write, data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"x\.arrow: {message}"):
        read(Arrow([write("x.arrow", data)]))


def test_a_batch_or_dictionary_above_the_limit_names_the_setting(read: Read, write: Write) -> None:
    words = pa.array(["x" * (1 << 20), "y"])
    bomb = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000, np.int32)), words)  # 10 GB of text
    packed = ipc(pa.table({"text": [" " * (8 << 20)]}), compression="zstd")
    assert len(packed) < 10_000
    for data in (ipc(pa.table({"text": bomb})), packed, ipc(pa.table({"text": [" " * (8 << 20)]}))):
        source = Arrow([write("x.arrow", data)], max_block_bytes=4 << 20)
        with pytest.raises(InputError, match=r"x\.arrow: record batch 0 unpacks to .*corpus\.max_block_bytes"):
            read(source, 64 << 20)


def test_files_without_rows_hold_nothing(read: Read, write: Write) -> None:
    for kind in ("file", "stream"):
        assert read(Arrow([write("x.arrow", ipc(some_rows(0), kind))])) == ([], [])


def test_messages_tell_their_rows_and_what_they_unpack_to() -> None:
    table = some_rows(100)
    for compression in (None, "zstd", "lz4"):
        data = ipc(table, compression=compression, rows=50)
        messages = list(read_messages(io.BytesIO(data), 1 << 20))
        assert [message.num_rows for message in messages] == [0, 2, 50, 50]  # schema, dictionary, batches
        assert messages[2].unpacked_bytes >= table.slice(0, 50).drop(["language"]).nbytes
        with pytest.raises(TooLarge):
            list(read_messages(io.BytesIO(data), messages[2].unpacked_bytes - 1))
    with pytest.raises(MessageError, match="unknown kind"):
        tensor = pa.BufferOutputStream()
        pa.ipc.write_tensor(pa.Tensor.from_numpy(np.zeros(4)), tensor)
        list(read_messages(io.BytesIO(bytes(tensor.getvalue())), 1 << 20))


def test_a_setting_that_cannot_work_is_refused_by_its_key() -> None:
    with pytest.raises(SettingError, match=r"^id_key: "):
        Arrow(["x"], id_key="text")


@pytest.mark.bad_input(35)
def test_a_column_whose_name_is_no_utf_8_fails_the_file(write: Callable[[str, bytes], str]) -> None:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, pa.schema([("text", pa.string()), ("other", pa.string())])) as writer:
        writer.write_table(pa.table({"text": ["a"], "other": ["b"]}))
    source = Arrow([write("x.arrow", sink.getvalue().replace(b"other", b"o\xf6her"))])
    with pytest.raises(InputError, match=r"x\.arrow: has a schema that can't be read .*fetch the file again"):
        list(source.blocks(source.files()[0], 1 << 20))
