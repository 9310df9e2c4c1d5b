"""Small files of every format with known documents, ways to damage them, and what each format then promises.

What is promised depends on what the format can know:

- gzip, zstandard with a checksum: the file fails, or gives what went in. Whole members may be lost or doubled where a
  cut falls between them; a flipped magic makes another file of it, whose name is then spoken of.
- parquet with page checksums: the file fails, or gives every document as it was.
- parquet without, Arrow: the file fails, or gives as many records as it had: out, or in quarantine.
- JSON lines, text, CSV, WARC, plain or in zstandard without a checksum: each record of what is there comes out or is in
  quarantine. One that is as it was comes out as it was; of WARC, where a wrong length may swallow the next, it is at
  least shown as a part of what swallowed it. Of text that is another text now, or is cut between two records, nothing
  can be noticed.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import itertools
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from data_pipeline.clean.rules import NoClean
from data_pipeline.executors.local import Local
from data_pipeline.ledger import check_book, total
from data_pipeline.limits import BadLimit
from data_pipeline.output_dir import QUARANTINE
from data_pipeline.sources.arrow import Arrow
from data_pipeline.sources.csv import Csv
from data_pipeline.sources.csv_scan import records_plainly
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.parquet import Parquet
from data_pipeline.sources.source import Source
from data_pipeline.sources.text import Text
from data_pipeline.sources.warc import Warc
from data_pipeline.stages.clean import Clean
from data_pipeline.stages.stage import Workplace
from data_pipeline.stages.view import View
from foundation.errors import GroundworkError
from tests.data_pipeline.sources.warcs import answer, members, record

DOCUMENTS = 24
GROUP_ROWS, BATCH_ROWS = 10, 8  # of tables
SEPARATOR = "\n=====\n"
WORDS = ["river", "walked", "Über", "語", "the", "a", "\N{GRINNING FACE}", "stone", '"quoted"', "comma, then", "x"]
Raw = list[bytes]  # records as they lie in the plain file, separators included


@dataclass(frozen=True, slots=True)
class Form:
    """A format of files.

    Attributes:
        suffix: of the file's name.
        make: texts -> the records of a plain file; a header is one of them. None for what is no run of records.
        store: records -> the bytes of the file.
        source: path -> what reads it.
    """

    suffix: str
    make: Callable[[list[str]], Raw]
    store: Callable[[Raw], bytes]
    source: Callable[[str], Source]


def _lines(texts: list[str]) -> Raw:
    return [json.dumps({"id": str(row), "text": text}, ensure_ascii=False).encode() + b"\n"
            for row, text in enumerate(texts)]  # fmt: skip


def _separated(texts: list[str]) -> Raw:
    return [f"{text}{SEPARATOR}".encode() for text in texts]


def _csv(texts: list[str]) -> Raw:
    rows: Raw = []
    for row in [("id", "text"), *enumerate(texts)]:
        sink = io.StringIO(newline="")
        csv.writer(sink).writerow(row)
        rows.append(sink.getvalue().encode())
    return rows


def _pages(texts: list[str]) -> Raw:
    html = [answer(text.encode(), "text/html; charset=utf-8") for text in texts]
    return [record("response", each, str(row)) for row, each in enumerate(html)]


def _encoded(texts: list[str]) -> Raw:
    return [text.encode() for text in texts]


def _table(records: Raw) -> pa.Table:
    return pa.table({"id": [str(row) for row in range(len(records))], "text": [each.decode() for each in records]})


def _parquet(**options: Any) -> Callable[[Raw], bytes]:
    def store(records: Raw) -> bytes:
        sink = io.BytesIO()
        pq.write_table(_table(records), sink, row_group_size=GROUP_ROWS, data_page_size=200, **options)
        return sink.getvalue()

    return store


def _arrow(new: Callable[..., Any], compression: str | None) -> Callable[[Raw], bytes]:
    def store(records: Raw) -> bytes:
        sink = io.BytesIO()
        table = _table(records)
        with new(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
            writer.write_table(table, max_chunksize=BATCH_ROWS)
        return sink.getvalue()

    return store


def _zst(checksum: bool) -> Callable[[Raw], bytes]:
    return lambda records: zstandard.ZstdCompressor(write_checksum=checksum).compress(b"".join(records))


def _gz(records: Raw) -> bytes:
    return gzip.compress(b"".join(records), 6, mtime=0)


def _text(path: str) -> Source:
    return Text([path], separator=SEPARATOR)


def _jsonl(path: str) -> Source:
    return Jsonl([path])


def _warc(path: str) -> Source:
    return Warc([path])


PLAIN, CHECKED, TABLES = "plain", "checked", "tables"
FORMS = {
    "jsonl": Form(".jsonl", _lines, b"".join, _jsonl),
    "jsonl gzip": Form(".jsonl.gz", _lines, _gz, _jsonl),
    "jsonl zstandard, checksum": Form(".jsonl.zst", _lines, _zst(True), _jsonl),
    "jsonl zstandard": Form(".jsonl.zst", _lines, _zst(False), _jsonl),
    "text": Form(".txt", _separated, b"".join, _text),
    "text gzip": Form(".txt.gz", _separated, _gz, _text),
    "csv": Form(".csv", _csv, b"".join, lambda path: Csv([path])),
    "csv gzip": Form(".csv.gz", _csv, _gz, lambda path: Csv([path])),
    "warc": Form(".warc", _pages, b"".join, _warc),
    "warc gzip": Form(".warc.gz", _pages, lambda records: members(*records), _warc),
    "parquet, checksums": Form(
        ".parquet", _encoded, _parquet(write_page_checksum=True, compression="zstd"), lambda path: Parquet([path])
    ),
    "parquet": Form(".parquet", _encoded, _parquet(compression="none"), lambda path: Parquet([path])),
    "arrow stream": Form(".arrow", _encoded, _arrow(pa.ipc.new_stream, None), lambda path: Arrow([path])),
    "arrow file": Form(".arrow", _encoded, _arrow(pa.ipc.new_file, "zstd"), lambda path: Arrow([path])),
}
TABULAR = ("parquet, checksums", "parquet", "arrow stream", "arrow file")


def texts_of(draw: random.Random) -> list[str]:
    """Documents of a few words, some over several lines, all different."""
    return [
        " ".join([f"document {number}", *draw.choices([*WORDS, "line\nend"], k=draw.randint(3, 30))])
        for number in range(DOCUMENTS)
    ]


def damaged(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Return the data truncated, flipped or spliced, and how: words that make the same damage again."""
    place, size = draw.randrange(len(data)), draw.choice([1, 2, draw.randrange(1, 40), draw.randrange(1, len(data))])
    piece = data[place : place + size]
    match draw.choice(["cut", "cut", "bit", "bit", "byte", "delete", "insert", "double", "swap"]):
        case "cut":
            return data[:place], f"cut at {place}"
        case "bit":
            bit = draw.randrange(8)
            return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :], f"bit {bit} of byte {place}"
        case "byte":
            value = draw.randrange(256)
            return data[:place] + bytes([value]) + data[place + 1 :], f"byte {place} is {value}"
        case "delete":
            return data[:place] + data[place + size :], f"without bytes {place} to {place + size}"
        case "insert":
            noise = draw.randbytes(size)
            return data[:place] + noise + data[place:], f"{size} random bytes at {place}"
        case "double":
            return data[:place] + piece + data[place:], f"bytes {place} to {place + size} twice"
        case _:
            other = draw.randrange(place, len(data))
            end = other + len(piece)
            swapped = data[:place] + data[other:end] + data[place + len(piece) : other] + piece + data[end:]
            return swapped, f"bytes at {place} and {other} changed places"


@dataclass(frozen=True, slots=True)
class Read:
    """What came of a file: its documents, the bytes of its quarantined records, the records in the books, or the error.

    `passed_over` counts records that are no documents by design.
    """

    texts: list[str]
    quarantined: list[bytes]
    num_in: int
    passed_over: int
    error: str = ""


def read(source: Source, folder: Path, partition_bytes: int) -> Read:
    """Read and clean as a run does, in this process."""
    try:
        place = Workplace(folder, Local(workers=1))
        raw = {"_target_": "data_pipeline.clean.rules.NoClean"}
        stage = Clean(place, source, NoClean(), raw, partition_bytes, BadLimit(1.0, 0))
        outcome = stage.run(View(place.work, [], []), {})
        check_book(stage.name, outcome.book)
        stage.check([(stage.name, outcome.book)])
    except GroundworkError as error:
        return Read([], [], 0, 0, str(error))
    view = stage.leaves(View(place.work, [], []), outcome.facts)
    texts = [text for piece in view.slices(view.alive) for text in piece.texts().to_pylist()]
    files = sorted((folder / QUARANTINE).rglob("*.jsonl"))
    lines = [json.loads(line) for path in files for line in path.read_bytes().splitlines()]
    passed = sum(count for name, count in outcome.facts["counts"].items() if name.startswith("records_"))
    account = total(outcome.book)
    assert account.num_out == len(texts) and account.quarantined.total() == len(lines)
    return Read(texts, [base64.b64decode(line["bytes"]) for line in lines], account.num_in, passed)


def plain_of(stored: bytes) -> bytes:
    """Return what a file holds, by decoders that are not ours; raises what they raise."""
    if stored.startswith(b"\x1f\x8b"):
        return gzip.decompress(stored.rstrip(b"\x00") if stored.endswith(bytes(16)) else stored)
    if stored.startswith(b"\x28\xb5\x2f\xfd"):
        with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as reader:
            return reader.read()
    return stored


def broken_promise(name: str, texts: list[str], stored: bytes, found: Read) -> str:
    """Return what is wrong with what came of a damaged file that was read to its end; empty where nothing is."""
    if found.num_in != len(found.texts) + len(found.quarantined):
        return f"{found.num_in} in, {len(found.texts)} out, {len(found.quarantined)} in quarantine"
    form = FORMS[name]
    if name in TABULAR:
        if found.num_in != len(texts):
            return f"{found.num_in} of {len(texts)} records"
        if name == "parquet, checksums":
            return "" if found.texts == texts else "documents changed"
        return _changed_in_whole_pieces(texts, form.store(form.make(texts)), stored, found)
    return _lost(name, form.make(texts), texts, plain_of(stored), found)


def _changed_in_whole_pieces(texts: list[str], original: bytes, stored: bytes, found: Read) -> str:
    """Say which texts changed of row groups and batches whose bytes did not: what damages one leaves the others."""
    outside, pieces = pieces_of(original)
    if any(stored[each] != original[each] for each in outside):
        return ""  # what says where the pieces lie has no checksum
    whole = {text for each, rows in pieces if stored[each] == original[each] for text in texts[rows]}
    changed = whole - set(found.texts)
    return f"changed, though their bytes did not: {sorted(changed)}" if changed else ""


def pieces_of(stored: bytes) -> tuple[list[slice], list[tuple[slice, slice]]]:
    """Return where an undamaged table's row groups or batches lie, and the rest; the bytes of each and its rows."""
    if stored.startswith(b"PAR1"):
        ends = _ends_of_row_groups(pq.read_metadata(io.BytesIO(stored)))
        size = GROUP_ROWS
    else:
        ends = _ends_of_batches(stored)
        size = BATCH_ROWS
    pieces = [
        (slice(start, stop), slice(number * size, (number + 1) * size))
        for number, (start, stop) in enumerate(itertools.pairwise(ends))
    ]
    return [slice(0, ends[0]), slice(ends[-1], len(stored))], pieces


def _ends_of_row_groups(metadata: Any) -> list[int]:
    ends = [4]
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        ends.append(ends[-1] + sum(group.column(each).total_compressed_size for each in range(group.num_columns)))
    return ends


def _ends_of_batches(stored: bytes) -> list[int]:
    magic = b"ARROW1\0\0"
    source = io.BytesIO(stored)
    source.seek(len(magic) if stored.startswith(magic) else 0)
    messages = pa.ipc.MessageReader.open_stream(source)
    messages.read_next_message()  # the schema
    ends = [source.tell()]
    for _ in range(DOCUMENTS // BATCH_ROWS):
        messages.read_next_message()
        ends.append(source.tell())
    return ends


def _lost(name: str, raw: Raw, texts: list[str], plain: bytes, found: Read) -> str:
    format_ = name.partition(" ")[0]
    separator = {"jsonl": b"\n", "text": SEPARATOR.encode()}.get(format_)
    if separator:
        pieces = plain.removeprefix(b"\xef\xbb\xbf").split(separator)
        held = sum(1 for piece in pieces if piece.strip())
        if held != found.num_in:
            return f"{held} records are there, {found.num_in} in the books"
        whole, out = Counter(pieces), Counter(found.texts)
        missing = [text for each, text in zip(raw, texts, strict=True)
                   if whole[each.removesuffix(separator)] > out[text]]  # fmt: skip
        return f"lost: {missing}" if missing else ""
    if format_ == "csv":
        return _lost_of_csv(texts, plain, found)
    shown = "\n".join([*found.texts, *(each.decode(errors="replace") for each in found.quarantined)])
    missing = [text for each, text in zip(raw, texts, strict=True) if each in plain and text not in shown]
    return f"lost: {missing}" if missing else ""


def _lost_of_csv(texts: list[str], plain: bytes, found: Read) -> str:
    records = [each for each in records_plainly(plain, b",")[1:] if each is None or each not in ([], [b""])]
    if len(records) != found.num_in:
        return f"{len(records)} records are there, {found.num_in} in the books"
    whole = Counter(each[1] for each in records if each is not None and len(each) == 2 and _is_text(each[0]))
    out = Counter(found.texts)
    missing = [text for text in texts if whole[text.encode()] > out[text]]
    return f"lost: {missing}" if missing else ""


def _is_text(field: bytes) -> bool:
    return field.decode(errors="ignore").encode() == field


def damaged_file(seed: int) -> tuple[str, list[str], bytes, str]:
    """Return the format that the seed chooses, its texts, the bytes of the damaged file, and what was done to it."""
    draw = random.Random(seed)
    name = list(FORMS)[seed % len(FORMS)]
    form, texts = FORMS[name], texts_of(draw)
    records = form.make(texts)
    how: list[str] = []
    if name not in TABULAR and draw.random() < 0.3:  # before it was packed
        plain, word = damaged(b"".join(records), draw)
        stored = form.store([plain])
        how.append(f"{word}, then packed")
    else:
        stored = form.store(records)
        for _ in range(draw.choice([1, 1, 2])):
            stored, word = damaged(stored, draw) if stored else (stored, "nothing")
            how.append(word)
    return name, texts, stored, f"seed {seed}, {'; '.join(how)}"


def attempt(seed: int, folder: Path) -> tuple[str, str, str]:
    """Damage one file, chosen by the seed, and read it.

    Returns:
        The format; how it ended (failed, as it was, accounted for); what is wrong, empty where nothing is.
    """
    name, texts, stored, how = damaged_file(seed)
    form = FORMS[name]
    path = folder / f"damaged{form.suffix}"
    path.write_bytes(stored)
    out = folder / "out"
    try:
        found = read(form.source(str(path)), out, len(stored) // 3 + 1 if seed % 3 else 1 << 20)
        if found.error:
            wrong = "" if path.name in found.error else f"the error names no file: {found.error}"
            return name, "failed", wrong and f"{how}: {wrong}"
        wrong = broken_promise(name, texts, stored, found)
        ended = "as it was" if found.texts == texts and not found.quarantined else "accounted for"
    except Exception as error:
        wrong, ended = f"{type(error).__name__}: {error}", "crashed"
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return name, ended, wrong and f"{how}: {wrong}"
