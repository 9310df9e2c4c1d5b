"""Files of the pipeline: what is written is read, what is damaged is refused, the same content is the same bytes."""

from __future__ import annotations

import base64
import errno
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.documents import SCHEMA, Quarantined
from data_pipeline.storage import (
    REMOVED_SCHEMA,
    DamagedFile,
    DiskFull,
    read_arrays,
    read_batch,
    read_removed,
    room_for,
    scratch_array,
    write_arrays,
    write_batch,
    write_quarantine,
    write_removed,
)

ROW: dict[str, Any] = {
    "id": "a#1",
    "source": "web",
    "file": "a.jsonl",
    "row": 1,
    "stage": "near",
    "reason": "near_duplicate",
    "similarity": 0.9,
    "kept_id": "a#0",
    "snippet": "text",
    "kept_snippet": "Text",
}

# no file may grow beyond 1000 bytes: like a full disk, in the middle of a write
CUT_SHORT = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from data_pipeline.storage import write_arrays, write_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for write, content in ((write_file, bytes(5000)), (write_arrays, {"ids": np.zeros(5000)})):
    try:
        write(Path(sys.argv[1]), content)
    except OSError as error:
        print(error.errno)
"""


def batch(texts: list[str]) -> pa.RecordBatch:
    n = len(texts)
    columns = [pa.array([3] * n, pa.int32()), pa.array(range(n), pa.int64())]
    columns += [pa.array(values, pa.large_string()) for values in ([str(i) for i in range(n)], texts, ["{}"] * n)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


@settings(max_examples=30)
@given(st.lists(st.text(), max_size=20))
def test_documents_come_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("batches") / "0.arrow"
    content_hash = write_batch(path, batch(texts))
    assert read_batch(path, content_hash).equals(batch(texts))
    assert read_batch(path, content_hash, "text").equals(batch(texts).select(["text"]))


def test_any_flipped_bit_of_a_partition_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0.arrow"
    content_hash = write_batch(path, batch(["one text", "another"]))
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedFile, match=r"0\.arrow"):
            read_batch(path, content_hash)


def test_arrays_come_back_and_damage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"ids": np.arange(5000, dtype=np.uint16), "none": np.zeros((0, 3))})
    found = read_arrays(path)
    assert found["ids"].dtype == np.uint16 and (found["ids"] == np.arange(5000)).all() and found["none"].shape == (0, 3)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:5000] + bytes([whole[5000] ^ 4]) + whole[5001:]):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile, match=r"a\.npz"):
            read_arrays(path)


def test_removed_rows_are_the_same_bytes_at_any_time(tmp_path: Path) -> None:
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    assert write_removed(first, [ROW, {**ROW, "row": 2}]) == [first]
    time.sleep(1.1)  # a clock of whole seconds would show
    write_removed(second, [ROW, {**ROW, "row": 2}])
    assert first.read_bytes() == second.read_bytes()
    table = pq.read_table(first)
    assert table.schema.equals(REMOVED_SCHEMA)
    assert table.to_pylist()[0] == {**dict.fromkeys(REMOVED_SCHEMA.names), **ROW}


def test_a_damaged_file_of_removed_rows_is_refused(tmp_path: Path, flip: Callable[[Path, str], None]) -> None:
    path = tmp_path / "a.parquet"
    write_removed(path, [{**ROW, "row": number, "snippet": f"text {number}"} for number in range(100)])
    flip(path, "snippet")
    assert pq.read_table(path, columns=["id"]).num_rows == 100  # the damage is in another column
    with pytest.raises(DamagedFile, match=r"a\.parquet: it is not what was written \(.*CRC checksum.*; remove it"):
        read_removed(path, ["id", "snippet"])
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DamagedFile, match=r"a\.parquet"):
        read_removed(path, ["id"])
    with pytest.raises(FileNotFoundError):
        read_removed(tmp_path / "absent.parquet", ["id"])


def test_no_removed_row_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_removed(path, [ROW])
    assert write_removed(path, []) == []
    assert not path.exists()


def test_quarantine_keeps_every_byte(tmp_path: Path) -> None:
    data = bytes(range(256)) + b"\nline"
    path = tmp_path / "q.jsonl"
    assert write_quarantine(path, "web", [("a.jsonl", Quarantined(7, 120, "utf8", data, line=8))]) == [path]
    (line,) = path.read_text().splitlines()
    record = json.loads(line)
    assert base64.b64decode(record.pop("bytes")) == data
    assert record.pop("text").startswith("\x00\x01")
    assert record == {"source": "web", "file": "a.jsonl", "row": 7, "line": 8, "offset_bytes": 120, "reason": "utf8"}


def test_a_write_that_the_system_cuts_short_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    child = subprocess.run([sys.executable, "-c", CUT_SHORT, str(path)], capture_output=True, text=True, check=False)
    assert child.stdout == f"{errno.EFBIG}\n" * 2, child.stderr
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.bad_input(52)
def test_a_full_disk_says_how_many_bytes(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFull, match=r"new/x: the disk is full: 1,234 bytes needed, [\d,]+ bytes free.*same command"),
        room_for(tmp_path / "new" / "x", 1234),
        Path("/dev/full").open("wb", buffering=0) as file,  # a real ENOSPC
    ):
        file.write(b"x")
    with pytest.raises(DiskFull, match=r"the disk is full: [\d,]+ bytes free;"), room_for(tmp_path):
        raise OSError(errno.EDQUOT, "the user's quota")
    with pytest.raises(OSError, match="denied"), room_for(tmp_path):
        raise OSError(errno.EACCES, "denied")  # any other error stays what it is


def test_a_scratch_array_is_whole_zero_and_leaves_no_file(tmp_path: Path) -> None:
    array = scratch_array(tmp_path / "work", (3, 5_000_001), np.uint64)
    assert array.shape == (3, 5_000_001)
    assert not array.any()
    array[2, 5_000_000] = 7
    assert array[2].max() == 7
    assert list((tmp_path / "work").iterdir()) == []
    assert scratch_array(tmp_path, (4, 0), np.uint64).shape == (4, 0)
