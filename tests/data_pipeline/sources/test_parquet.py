from __future__ import annotations

import io
import json
import os
import random
import struct
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.sources.parquet import Parquet
from data_pipeline.sources.parquet_layout import LayoutError, read_footer, row_groups
from data_pipeline.sources.thrift import I64, Field, read_struct, write_struct
from foundation.errors import InputError, SettingError

Read = Callable[..., Any]
Write = Callable[[str, bytes], str]


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def some_rows(count: int, seed: int = 0) -> pa.Table:
    draw = random.Random(seed)
    texts = ["".join(draw.choices("abcdé ", k=draw.choice([0, 3, 40, 900]))) for _ in range(count)]
    return pa.table(
        {
            "id": pa.array([f"d{row}" if row % 3 else None for row in range(count)]),
            "text": pa.array(texts),
            "n": pa.array([row if row % 5 else None for row in range(count)]),
            "tags": pa.array([["t"] * (row % 3) for row in range(count)]),
            "of": pa.array([{"a": row, "b": [str(row)]} if row % 7 else None for row in range(count)]),
        }
    )


def expected(table: pa.Table, name: str = "x.parquet") -> list[dict[str, Any]]:
    """The documents, by pyarrow's own reading of the table."""
    found = []
    for row, record in enumerate(table.to_pylist()):
        text, given = record.pop("text"), record.get("id")
        if given is not None:
            del record["id"]
        metadata = json.dumps(record, separators=(",", ":"))
        found.append({"file": 0, "row": row, "id": given or f"{name}#{row}", "text": text, "metadata": metadata})
    return found


LAYOUTS: dict[str, dict[str, Any]] = {
    "default": {},
    "groups": {"row_group_size": 37},
    "v2": {"data_page_version": "2.0", "data_page_size": 500, "write_batch_size": 10},
    "plain": {"use_dictionary": False, "compression": "none", "data_page_size": 700, "write_batch_size": 16},
    "sums": {"write_page_checksum": True, "data_page_size": 300, "write_batch_size": 7, "compression": "zstd"},
    "index": {"write_page_index": True, "row_group_size": 100, "data_page_size": 900, "write_batch_size": 20},
    "gzip": {"compression": "gzip", "dictionary_pagesize_limit": 200, "data_page_size": 400, "write_batch_size": 9},
    "lz4": {"compression": "lz4", "store_schema": False, "use_compliant_nested_type": False},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_documents_whatever_the_size_of_blocks(
    read: Read, write: Write, layout: str
) -> None:
    table = some_rows(300)
    source = Parquet([write("x.parquet", parquet(table, **LAYOUTS[layout]))])
    (file,) = source.files()
    counts = []
    for partition_bytes in (1, 5_000, 60_000, 1 << 30):
        assert read(source, partition_bytes) == (expected(table), [])
        counts.append(len(list(source.blocks(file, partition_bytes))))
    assert (
        counts[0] == 300 > counts[1] > counts[2] >= counts[3] == (1 if layout != "groups" else 9) or layout == "index"
    )


@given(st.integers(1, 80), st.integers(1, 40), st.integers(1, 30), st.integers(1, 9_000), st.booleans())
@settings(max_examples=40)
def test_any_cut_gives_all_rows_once(
    read: Read,
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    group_rows: int,
    page_rows: int,
    partition_bytes: int,
    version_2: bool,
) -> None:
    table = some_rows(count, seed=group_rows).select(["id", "text", "n"])
    path = tmp_path_factory.getbasetemp() / "x.parquet"
    version = "2.0" if version_2 else "1.0"
    pq.write_table(
        table, path, row_group_size=group_rows, data_page_size=1, write_batch_size=page_rows, data_page_version=version
    )
    assert read(Parquet([str(path)]), partition_bytes) == (expected(table), [])


def test_a_block_stands_for_its_content_and_needs_no_file(write: Write, tmp_path: Path) -> None:
    table = some_rows(200)
    path = write("x.parquet", parquet(table, row_group_size=50, data_page_size=500, write_batch_size=5))
    source = Parquet([path])
    (file,) = source.files()
    before = list(source.blocks(file, 4_000))
    changed = table.set_column(1, "text", pa.array([*table["text"].to_pylist()[:-1], "other"]))
    write("x.parquet", parquet(changed, row_group_size=50, data_page_size=500, write_batch_size=5))
    after = list(source.blocks(source.files()[0], 4_000))
    first = [block.data for block in before if block.first_row < 150]
    assert len(first) > 15 and first == [block.data for block in after[: len(first)]]
    assert before[-1].data != after[-1].data
    Path(path).unlink()
    rows = [row for block in before for row in source.parse(block, file, 0).documents.to_pylist()]
    assert rows == expected(table)


@pytest.mark.bad_input(37)
def test_blocks_are_bounded_by_what_they_unpack_to(write: Write) -> None:
    texts = [str(row % 10) * 5_000 for row in range(4_000)]  # 20 MB that pack to a few kB
    source = Parquet([write("x.parquet", parquet(pa.table({"text": texts}), use_dictionary=False))])
    (file,) = source.files()
    blocks = list(source.blocks(file, 1 << 20))
    sizes = [source.parse(block, file, 0).documents.nbytes for block in blocks]
    assert 19 <= len(blocks) <= 25 and max(sizes) < 1.3 * (1 << 20)
    assert all(size <= block.unpacked_bytes for size, block in zip(sizes, blocks, strict=True))
    reads = [block.read_bytes for block in blocks]
    assert reads == sorted(reads) and reads[-1] == file.size_bytes


TEXT_TYPES = {
    "large_string": pa.large_string(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "string_view": pa.string_view(),
    "binary_view": pa.binary_view(),
    "json": pa.json_(),
}


@pytest.mark.bad_input(36)
def test_files_of_different_schemas_become_one(read: Read, write: Write, tmp_path: Path) -> None:
    for name, kind in TEXT_TYPES.items():
        array = pa.array(["é", None, "b"], pa.string())
        if name == "dictionary":
            array = array.dictionary_encode()
        column = pa.ExtensionArray.from_storage(kind, array) if name == "json" else array.cast(kind)
        write(f"{name}.parquet", parquet(pa.table({name: [1, 2, 3], "text": column})))
    documents, quarantined = read(Parquet([f"{tmp_path}/*.parquet"]))
    assert [document["text"] for document in documents] == ["é", "b"] * len(TEXT_TYPES)
    assert [(bad.row, bad.reason, bad.offset_bytes, bad.data) for bad in quarantined] == [
        (1, "text_type", None, b"null")
    ] * len(TEXT_TYPES)
    assert json.loads(documents[-1]["metadata"]) == {"string_view": 3}


def test_texts_that_cannot_be_taken_are_quarantined(read: Read, write: Write) -> None:
    texts = [b"good", None, b"ba\xff", b"x" * 50, b"", b"fine"]
    path = write("x.parquet", parquet(pa.table({"text": pa.array(texts, pa.binary()), "id": ["a"] * 6})))
    for partition_bytes in (1, 1 << 20):
        documents, quarantined = read(Parquet([path], max_doc_bytes=49), partition_bytes)
        assert [(document["row"], document["text"]) for document in documents] == [(0, "good"), (4, ""), (5, "fine")]
        assert [(bad.row, bad.reason, bad.data) for bad in quarantined] == [
            (1, "text_type", b"null"),
            (2, "utf8", b"ba\xff"),
            (3, "too_long", b"x" * 50),
        ]


def test_metadata_that_is_no_text_quarantines_its_row(read: Read, write: Write) -> None:
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"c"]).buffers())
    for column in (broken, pa.StructArray.from_arrays([broken], ["inner"]), broken.dictionary_encode()):
        path = write("x.parquet", parquet(pa.table({"text": ["1", "2", "3"], "url": column})))
        documents, (bad,) = read(Parquet([path]))
        assert [document["text"] for document in documents] == ["1", "3"]
        assert (bad.row, bad.reason, bad.data) == (1, "utf8", b"2")


@pytest.mark.bad_input(36)
def test_the_column_of_the_text_is_found_or_named(write: Write, read: Read) -> None:
    path = write("x.parquet", parquet(pa.table({"texts": ["a"], "url": ["u"], "n": [1]})))
    with pytest.raises(InputError, match=r"x\.parquet: has no column 'text'.*'texts', 'url', 'n'.*mean 'texts'"):
        read(Parquet([path]))
    with pytest.raises(InputError, match=r"x\.parquet: column 'n' \(corpus\.text_key\) holds int64, no text"):
        read(Parquet([path], text_key="n"))
    assert read(Parquet([path], text_key="texts", id_key="url"))[0][0]["id"] == "u"
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with pytest.raises(InputError, match="has two columns 'text'"):
        read(Parquet([write("y.parquet", parquet(twice))]))


def test_values_of_every_type_become_json(read: Read, write: Write) -> None:
    zone = pa.timestamp("us", tz="Europe/Berlin")
    columns = {
        "text": pa.array(["t", "t"]),
        "decimal": pa.array([Decimal("12345678901234567890.10"), None]),
        "float": pa.array([0.1, float("nan")]),
        "infinite": pa.array([float("inf"), float("-inf")], pa.float32()),
        "time": pa.array([1_600_000_000_000_000_001, None], pa.timestamp("ns")),
        "zone": pa.array([0, None], zone),
        "date": pa.array([1, None], pa.date32()),
        "bytes": pa.array([b"ab", b"\xff"]),
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        "pairs": pa.array([[(1, 1.5)], []], pa.map_(pa.int64(), pa.float64())),
        "nested": pa.array([[{"a": [1, None]}], [None]]),
        "big": pa.array([(1 << 64) - 1, 0], pa.uint64()),
        "flag": pa.array([True, None]),
    }
    documents, _ = read(Parquet([write("x.parquet", parquet(pa.table(columns)))]))
    assert '"decimal":12345678901234567890.10,' in documents[0]["metadata"]
    first, second = (json.loads(document["metadata"]) for document in documents)
    del first["decimal"]
    assert first == {
        "float": 0.1, "infinite": "Infinity", "time": "2020-09-13T12:26:40.000000001",
        "zone": "1970-01-01T00:00:00.000000Z", "date": "1970-01-02", "bytes": "ab", "map": {"k": 1},
        "pairs": [[1, 1.5]], "nested": [{"a": [1, None]}], "big": (1 << 64) - 1, "flag": True,
    }  # fmt: skip
    assert second == {
        "decimal": None, "float": "NaN", "infinite": "-Infinity", "time": None, "zone": None, "date": None,
        "bytes": {"base64": "/w=="}, "map": None, "pairs": [], "nested": [None], "big": 0, "flag": None,
    }  # fmt: skip


def test_ids_are_texts_and_integers_else_derived(read: Read, write: Write) -> None:
    for values, ids in (([7, None], ["7", "x#1"]), ([1.5, 2.5], ["x#0", "x#1"]), (["", "a"], ["x#0", "a"])):
        documents, _ = read(Parquet([write("x", parquet(pa.table({"text": ["t", "t"], "id": values})))]))
        assert [document["id"] for document in documents] == ids
        derived = [json.loads(each["metadata"]).get("id") for each in documents if each["id"].startswith("x#")]
        assert derived == [value for value, given in zip(values, ids, strict=True) if given.startswith("x#")]


SMALL = parquet(some_rows(40), row_group_size=20, write_page_checksum=True, data_page_size=200, write_batch_size=5)


@pytest.mark.bad_input(34)
def test_a_cut_at_every_byte_is_noticed(read: Read, write: Write) -> None:
    whole = parquet(some_rows(8).select(["text", "tags"]), row_group_size=4)
    path = write("x.parquet", whole)
    assert len(read(Parquet([path]))[0]) == 8
    for cut in reversed(range(len(whole))):
        os.truncate(path, cut)
        with pytest.raises(InputError, match=r"x\.parquet: (has \d+ bytes|ends with|says that its footer|has a bad)"):
            read(Parquet([path]))


@pytest.mark.bad_input(35)
def test_no_flipped_bit_loses_or_adds_a_row_unseen(read: Read, write: Write) -> None:
    """Pages have checksums, the footer none: what it says must fit the pages, or the file fails."""
    whole = read(Parquet([write("x.parquet", SMALL)]))[0]
    draw = random.Random(5)
    failed = 0
    for _ in range(400):
        flipped = bytearray(SMALL)
        flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        try:
            documents, quarantined = read(Parquet([write("x.parquet", bytes(flipped))]))
        except InputError as error:
            assert "x.parquet" in str(error)
            failed += 1
            continue
        assert len(documents) + len(quarantined) == len(whole)
    assert failed > 200


@pytest.mark.bad_input(35)
def test_a_damaged_page_is_named_by_its_row_group(read: Read, write: Write) -> None:
    source = Parquet([write("x.parquet", SMALL)])
    with Path(source.paths[0]).open("rb") as stream:
        _, second = row_groups(read_footer(stream, len(SMALL)), stream, len(SMALL))
    page = second.columns[1].leaves[0].pages[-1]
    flipped = bytearray(SMALL)
    flipped[page.offset + page.size - 1] ^= 1
    with pytest.raises(InputError, match=r"x\.parquet: damaged in row group 1 \(.*CRC"):
        read(Parquet([write("x.parquet", bytes(flipped))]))


@pytest.mark.bad_input(34)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 0 bytes"),
        (b"not parquet at all", "begins with b'not '.*no parquet file"),
        (b"PARE" + bytes(30), "is encrypted"),
        (SMALL + b"x", "ends with b'AR1x'"),
        (b"PAR1" + bytes(20) + struct.pack("<I", 10) + b"PAR1", "has a footer of 10 bytes of which only 1"),
        (b"PAR1" + struct.pack("<I", 1 << 30) + b"PAR1", "says that its footer has 1,073,741,824 bytes"),
    ],
)
def test_what_is_no_whole_parquet_file_is_named(read: Read, write: Write, data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"x\.parquet: ({message})"):
        read(Parquet([write("x.parquet", data)]))


def test_a_footer_that_leaves_rows_out_is_an_error(read: Read, write: Write) -> None:
    size = struct.unpack("<I", SMALL[-8:-4])[0]
    footer, _ = read_struct(SMALL[-8 - size : -8])
    groups = footer[4].value.values
    for change in ("row group", "rows of one"):
        changed = footer | {4: Field(footer[4].kind, footer[4].value._replace(values=list(groups)))}
        if change == "row group":
            changed[4].value.values.pop()
        else:
            changed[4].value.values[1] = groups[1] | {3: Field(I64, 19)}
        data = write_struct(changed)
        path = write("x.parquet", SMALL[: -8 - size] + data + struct.pack("<I", len(data)) + b"PAR1")
        with pytest.raises(InputError, match=r"holds 20 rows where its footer says 40|'id' has 20 of 19 rows"):
            read(Parquet([path]))


@pytest.mark.bad_input(37)
def test_a_dictionary_bomb_stops_in_flat_memory_and_names_the_setting(write: Write) -> None:
    words = pa.array(["x" * (4 << 20), "y"])
    bomb = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), words)  # 400 GB of text
    path = write("x.parquet", parquet(pa.table({"text": bomb}), dictionary_pagesize_limit=64 << 20))
    assert Path(path).stat().st_size < 1 << 20
    source = Parquet([path], max_block_bytes=32 << 20)
    (file,) = source.files()
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    try:
        with pytest.raises(
            InputError, match=r"x\.parquet: row group 0 unpacks to .* blocks of 3 rows.*corpus\.max_block_bytes"
        ):
            for block in source.blocks(file, 64 << 20):
                source.parse(block, file, 0)
        peak = tracemalloc.get_traced_memory()[1] + pa.default_memory_pool().max_memory() - before
    finally:
        tracemalloc.stop()
    assert peak < 400 << 20


@pytest.mark.bad_input(37)
def test_a_column_of_lists_larger_than_the_limit_names_the_setting(read: Read, write: Write) -> None:
    lists = pa.array([list(range(1000))] * 400)
    path = write("x.parquet", parquet(pa.table({"text": ["t"] * 400, "l": lists}), use_dictionary=False))
    assert len(read(Parquet([path]), 1 << 20)[0]) == 400
    with pytest.raises(InputError, match=r"row group 0 unpacks to [\d,]+ bytes or more, .*corpus\.max_block_bytes"):
        read(Parquet([path], max_block_bytes=1 << 20), 1 << 20)


def test_files_without_rows_hold_nothing(read: Read, write: Write) -> None:
    for table in (some_rows(0), some_rows(0).select(["text"])):
        assert read(Parquet([write("x.parquet", parquet(table))])) == ([], [])


def test_pages_in_another_file_are_refused(write: Write) -> None:
    size = struct.unpack("<I", SMALL[-8:-4])[0]
    footer, _ = read_struct(SMALL[-8 - size : -8])
    footer[4].value.values[0][1].value.values[0][1] = Field(8, b"elsewhere.parquet")
    data = write_struct(footer)
    stream = io.BytesIO(SMALL[: -8 - size] + data + struct.pack("<I", len(data)) + b"PAR1")
    with pytest.raises(LayoutError, match="in another file"):
        list(row_groups(read_footer(stream, len(stream.getvalue())), stream, len(stream.getvalue())))


def test_a_setting_that_cannot_work_is_refused_by_its_key() -> None:
    for setting, value in (("id_key", "text"), ("max_doc_bytes", 0), ("max_block_bytes", 1000), ("paths", [])):
        with pytest.raises(SettingError, match=rf"^{setting}: "):
            Parquet(**({"paths": ["x"]} | {setting: value}))  # type: ignore[arg-type]


@pytest.mark.bad_input(34)
def test_a_column_whose_name_is_no_utf_8_fails_the_file(write: Callable[[str, bytes], str]) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"], "other": ["b"]}), sink)
    source = Parquet([write("x.parquet", sink.getvalue().replace(b"other", b"o\xf6her"))])
    with pytest.raises(InputError, match=r"x\.parquet: has a schema that can't be read .*fetch the file again"):
        list(source.blocks(source.files()[0], 1 << 20))
