"""Stored signatures: what is taken from a user's own tables and from ours; what can't be used is refused by file."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.dedup.minhash import MinHash
from data_pipeline.dedup.signing import SignaturesError, Signing
from data_pipeline.documents import from_texts
from data_pipeline.pipeline import Result
from data_pipeline.stages import signature_files
from data_pipeline.stages import stored as module
from data_pipeline.stages.signature_files import FIRST_ROWS, LayOut, look_at, signature_paths
from data_pipeline.stages.signatures import METADATA, schema
from data_pipeline.stages.stored import Stored, index_stored, take_stored
from foundation.errors import InputError
from tests.data_pipeline.stages.stored_tables import IDS, NUM_PERM, TEXTS, datasketch_s, write_table

Config = Callable[..., dict[str, Any]]
Go = Callable[..., Result]
Redone = Callable[[Result], list[str]]
Write = Callable[..., Path]
DEDUP = MinHash(num_perm=NUM_PERM, engine="compatible")
SIGNING = Signing("compatible", NUM_PERM, seed=1, ngram=5)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return write(texts, ids, name, **settings of datasketch): a table as a user makes it."""
    return functools.partial(write_table, tmp_path)


@pytest.fixture
def stored_in(tmp_path: Path) -> Callable[..., Stored]:
    """Return stored_in(files): what a stage does with them before it measures."""

    def stored_in(*paths: Path) -> Stored:
        assert DEDUP.signing is not None
        named = signature_paths(tuple(map(str, paths)), tmp_path / "out")
        files = [look_at(path, number, DEDUP.signing) for number, path in enumerate(named)]
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        facts = [LayOut(work, NUM_PERM)(file).facts for file in files]
        return index_stored(work, files, facts, NUM_PERM)

    return stored_in


def documents(texts: list[str], ids: list[str]) -> pa.RecordBatch:
    batch = from_texts(texts)
    return batch.set_column(2, batch.schema.field("id"), pa.array(ids, pa.large_string()))


def ours(path: Path, texts: list[str], **changed: Any) -> Path:
    """Write a file as the pipeline does, with a change in what stands beside it."""
    features = MinHash(num_perm=NUM_PERM, engine="compatible").features(pa.array(texts, pa.large_string()))
    made = schema(SIGNING)
    metadata = orjson.loads((made.metadata or {})[METADATA]) | changed
    columns = {
        "id": IDS[: len(texts)],
        "source": ["web"] * len(texts),
        "file": ["a.jsonl"] * len(texts),
        "row": list(range(len(texts))),
        "words_xxh3_128": [row.tobytes() for row in features.word_hashes],
        "signature": list(np.asarray(features.signatures)),
    }
    pq.write_table(pa.table(columns, made.with_metadata({METADATA: orjson.dumps(metadata)})), path)
    return path


def test_datasketch_s_signatures_are_taken_by_id_and_the_others_are_made(
    write: Write, stored_in: Callable[..., Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature_files, "BLOCK_ROWS", 7)
    rng = random.Random(0)
    chosen = rng.sample(range(300), 200)
    half = len(chosen) // 2
    files = [
        write([TEXTS[i] for i in part], [IDS[i] for i in part], f"{n}.parquet")
        for n, part in enumerate((chosen[:half], chosen[half:]))
    ]
    batch = documents(TEXTS, IDS)
    taken = take_stored(DEDUP, stored_in(*files), batch)
    assert sorted(np.flatnonzero(taken.rows >= 0).tolist()) == sorted(chosen)
    assert (taken.is_by_id == (taken.rows >= 0)).all()
    assert taken.compared == 64
    expected = DEDUP.features(batch.column("text"))
    assert np.array_equal(taken.features.signatures[:], expected.signatures[:])
    assert np.array_equal(taken.features.word_hashes, expected.word_hashes)
    assert np.array_equal(taken.features.num_chars, expected.num_chars)
    back = take_stored(DEDUP, stored_in(*reversed(files)), batch)  # rows are numbered by content
    assert np.array_equal(taken.rows, back.rows)


def test_our_own_are_taken_by_words_whatever_the_id_and_what_changed_is_signed(
    tmp_path: Path, stored_in: Callable[..., Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature_files, "BLOCK_ROWS", 7)  # many blocks of one row group
    stored = stored_in(ours(tmp_path / "ours.parquet", TEXTS))
    texts = [text.upper() for text in reversed(TEXTS)]
    texts[7] += " changed"
    taken = take_stored(DEDUP, stored, documents(texts, IDS))
    assert np.flatnonzero(taken.rows < 0).tolist() == [7]
    assert not taken.is_by_id.any()
    assert np.array_equal(taken.features.signatures[:], DEDUP.features(pa.array(texts, pa.large_string())).signatures)


SIGNED_OTHERWISE: dict[str, Callable[[str], np.ndarray]] = {
    "another seed": lambda text: datasketch_s(text, seed=2),
    "single words": lambda text: np.asarray(
        MinHash(num_perm=NUM_PERM, ngram=1).sign(pa.array([text], pa.large_string()))[0]
    ),
    "fast": lambda text: np.asarray(MinHash(num_perm=NUM_PERM).sign(pa.array([text], pa.large_string()))[0]),
}


@pytest.mark.parametrize("how", SIGNED_OTHERWISE)
def test_signatures_of_another_seed_or_shingle_do_not_fit_the_text(
    tmp_path: Path, stored_in: Callable[..., Stored], how: str
) -> None:
    table = {"id": IDS, "signature": [SIGNED_OTHERWISE[how](text) for text in TEXTS]}
    pq.write_table(pa.table(table), tmp_path / "mine.parquet")
    with pytest.raises(module.SignaturesDiffer) as error:
        take_stored(DEDUP, stored_in(tmp_path / "mine.parquet"), documents(TEXTS, IDS))
    assert error.value.position == error.value.row == 0
    assert error.value.num_equal <= 2
    assert error.value.num_wrong == error.value.num_compared == 64


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"scheme": "affine64"}, r"scheme of its signatures is 'affine64', here it is 'affine32'.*leave the file out"),
        ({"shingle_hash": "groundwork_polynomial64_high32"}, r"'sha1_32_fmix32'; set dedup\.engine=fast"),
        ({"shingle_hash": "xxh3"}, r"shingle_hash of its signatures is 'xxh3'.*leave the file out"),
        ({"seed": 2}, r"seed of its signatures is 2, here it is 1; set dedup\.seed=2"),
        ({"num_perm": 128}, r"num_perm of its signatures is 128, here it is 16; set dedup\.num_perm=128"),
        ({"ngram": 3}, r"ngram of its signatures is 3, here it is 5; set dedup\.ngram=3"),
        ({"words": "text.split()"}, r"words of its signatures is 'text\.split\(\)', here it is 'text\.lower"),
        (
            {"permutations_xxh3_128": "0" * 32},
            r"permutations_xxh3_128 of its signatures is '0+', here it is '[0-9a-f]{32}'",
        ),
    ],
)
def test_a_file_of_another_construction_is_refused_by_what_stands_beside_it(
    tmp_path: Path, stored_in: Callable[..., Stored], changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(SignaturesError, match=rf"^dedup\.signatures: .*ours\.parquet: .*{said}"):
        stored_in(ours(tmp_path / "ours.parquet", TEXTS, **changed))


def test_what_is_not_said_is_not_taken_for_ours(tmp_path: Path, stored_in: Callable[..., Stored]) -> None:
    path = ours(tmp_path / "ours.parquet", TEXTS)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({METADATA: b'{"scheme": "affine32"}'}), path)
    with pytest.raises(SignaturesError, match="shingle_hash of its signatures is not said"):
        stored_in(path)
    pq.write_table(table.replace_schema_metadata({METADATA: b"{"}), path)
    with pytest.raises(SignaturesError, match=r"ours\.parquet: it can't be read"):
        stored_in(path)


BAD_TABLES: dict[str, tuple[dict[str, Any], str]] = {
    "no id": (
        {"url": ["a"], "signature": [[1] * NUM_PERM]},
        r"column 'id' is there 0 times \(columns: url, signature\)",
    ),
    "numbers as ids": ({"id": [1], "signature": pa.array([[1] * NUM_PERM], pa.list_(pa.uint32()))}, "'id' is int64"),
    "no signature": ({"id": ["a"]}, r"column 'signature' is there 0 times"),
    "64 bits": (
        {"id": ["a"], "signature": pa.array([[1] * NUM_PERM], pa.list_(pa.uint64()))},
        r"'signature' is list<.*uint64>; it has to be a list of 16 uint32.*legacy and affine64.*leave the file out",
    ),
    "floats": ({"id": ["a"], "signature": [[1.0] * NUM_PERM]}, "double.*16 uint32"),
    "bytes": ({"id": ["a"], "signature": [b"\x80\x04pickle"]}, "'signature' is binary; it has to be a list"),
    "another width": (
        {"id": ["a"], "signature": pa.array([[1] * 128], pa.list_(pa.uint32(), 128))},
        r"fixed_size_list<.*uint32>\[128\]; it has to be a list of 16 uint32 \(dedup\.num_perm=16\)",
    ),
    "a row of another width": (
        {"id": ["a", "b"], "signature": pa.array([[1] * 16, [1] * 15], pa.list_(pa.uint32()))},
        r"row 1 \(from 0\) has 15 values, and dedup\.num_perm=16 are needed",
    ),
    "a missing signature": (
        {"id": ["a", "b"], "signature": pa.array([[1] * 16, None], pa.list_(pa.uint32()))},
        r"row 1 \(from 0\) has no signature",
    ),
    "a missing value": (
        {"id": ["a", "b"], "signature": pa.array([[1] * 16, [None] * 16], pa.list_(pa.uint32()))},
        r"row 1 \(from 0\) has a value that is null",
    ),
    "a missing id": (
        {"id": ["a", None], "signature": pa.array([[1] * 16] * 2, pa.list_(pa.uint32()))},
        r"row 1 \(from 0\) has no id",
    ),
    "an id twice": (
        {"id": ["b", "a", "b"], "signature": pa.array([[1] * 16] * 3, pa.list_(pa.uint32()))},
        r"row 0 \(from 0\) and .*bad\.parquet, row 2 \(from 0\) have one id",
    ),
}


@pytest.mark.parametrize("what", BAD_TABLES)
def test_a_table_that_cannot_be_one_of_signatures_is_refused(
    tmp_path: Path, stored_in: Callable[..., Stored], what: str
) -> None:
    columns, said = BAD_TABLES[what]
    pq.write_table(pa.table(columns), tmp_path / "bad.parquet")
    with pytest.raises(SignaturesError, match=rf"^dedup\.signatures: .*bad\.parquet.*{said}"):
        stored_in(tmp_path / "bad.parquet")


@pytest.mark.parametrize("what", sorted(set(BAD_TABLES) - {"an id twice"}))
def test_what_its_head_shows_is_refused_before_any_work(tmp_path: Path, what: str) -> None:
    columns, said = BAD_TABLES[what]
    pq.write_table(pa.table(columns), tmp_path / "bad.parquet")
    with pytest.raises(SignaturesError, match=rf"^dedup\.signatures: .*bad\.parquet.*{said}"):
        look_at(tmp_path / "bad.parquet", 0, SIGNING)


@pytest.mark.parametrize("missing", ["id", "signature"])
def test_a_missing_value_is_found_by_what_the_footer_counts_and_by_all_rows_where_it_counts_none(
    tmp_path: Path, stored_in: Callable[..., Stored], missing: str
) -> None:
    path, bad = tmp_path / "bad.parquet", 2 * FIRST_ROWS + 30
    columns = {"id": IDS, "signature": [[1] * NUM_PERM] * len(IDS)}
    columns[missing] = [*columns[missing][:bad], None, *columns[missing][bad + 1 :]]
    table = pa.table(columns, pa.schema({"id": pa.string(), "signature": pa.list_(pa.uint32())}))
    said = rf"row {bad} \(from 0\) has no {missing}"
    pq.write_table(table, path, row_group_size=100)
    with pytest.raises(SignaturesError, match=said):
        look_at(path, 0, SIGNING)
    pq.write_table(table, path, row_group_size=100, write_statistics=False)
    look_at(path, 0, SIGNING)
    with pytest.raises(SignaturesError, match=said):
        stored_in(path)


def test_an_id_in_two_files_is_refused(write: Write, stored_in: Callable[..., Stored]) -> None:
    one, other = write(TEXTS[:5], IDS[:5], "one.parquet"), write(TEXTS[4:9], IDS[4:9], "other.parquet")
    said = r"(one\.parquet, row 4 .*other\.parquet, row 0|other\.parquet, row 0 .*one\.parquet, row 4) .*have one id"
    with pytest.raises(SignaturesError, match=said):
        stored_in(one, other)


def test_what_is_no_parquet_or_damaged_is_refused(tmp_path: Path, stored_in: Callable[..., Stored]) -> None:
    (tmp_path / "mine.pickle").write_bytes(b"\x80\x04\x95")
    with pytest.raises(SignaturesError, match=r"mine\.pickle: it can't be read as a parquet .* only parquet is read"):
        stored_in(tmp_path / "mine.pickle")
    path = tmp_path / "flipped.parquet"
    signatures = pa.array([datasketch_s(text) for text in TEXTS], pa.list_(pa.uint32()))
    table = pa.table({"id": IDS, "signature": signatures})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[data.find(np.asarray(datasketch_s(TEXTS[150])).tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(SignaturesError, match=r"flipped\.parquet: it can't be read to its end .*restore the file"):
        stored_in(path)
    with pytest.raises(InputError, match=r"^dedup\.signatures: '.*absent\.parquet' matches no file"):
        stored_in(tmp_path / "absent.parquet")
