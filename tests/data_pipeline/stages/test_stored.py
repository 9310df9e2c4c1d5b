"""Stored signatures: written by a run, read by another; a user's own tables; what can't be used is refused by file."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasketch
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
from foundation.errors import ConfigError, InputError

Config = Callable[..., dict[str, Any]]
Go = Callable[..., Result]
Redone = Callable[[Result], list[str]]
Write = Callable[..., Path]
NUM_PERM = 16
DEDUP = MinHash(num_perm=NUM_PERM, engine="compatible")
SIGNING = Signing("compatible", NUM_PERM, seed=1, ngram=5)
TEXTS = [f"The  words of document {number} and {number % 7} more of them" for number in range(300)]
IDS = [f"id-{number}" for number in range(300)]


def datasketch_s(text: str, **settings: Any) -> np.ndarray:
    """Return the signature as its users make it: shingles of five words in lower case."""
    words = text.lower().split()
    sketch = datasketch.MinHash(num_perm=settings.pop("num_perm", NUM_PERM), **settings)
    sketch.update_batch([" ".join(words[i : i + 5]).encode() for i in range(max(1, len(words) - 4))])
    return np.asarray(datasketch.LeanMinHash(sketch).hashvalues)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return write(texts, ids, name, **settings of datasketch): a table as a user makes it."""

    def write(texts: list[str] = TEXTS, ids: list[Any] = IDS, name: str = "mine.parquet", **settings: Any) -> Path:
        signatures = [datasketch_s(text, **settings) for text in texts]
        pq.write_table(pa.table({"id": ids, "signature": signatures}), tmp_path / name, row_group_size=70)
        return tmp_path / name

    return write


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


@pytest.fixture
def corpus(tmp_path: Path, config: Config) -> Callable[..., dict[str, Any]]:
    """Return corpus(folder, texts=, ids=, **dedup): a config over two files of two sources."""

    def corpus(folder: Path, texts: list[str] = TEXTS, ids: list[str] = IDS, **changes: Any) -> dict[str, Any]:
        half = len(texts) // 2
        for source, part in (("web", slice(0, half)), ("books", slice(half, None))):
            (tmp_path / "inputs" / source).mkdir(parents=True, exist_ok=True)
            pairs = zip(ids[part], texts[part], strict=True)
            lines = [json.dumps({"id": identifier, "text": text}) for identifier, text in pairs]
            path = tmp_path / "inputs" / source / "a.jsonl"
            if not path.exists() or path.read_text() != "\n".join(lines):
                path.write_text("\n".join(lines))
        dedup = {"_target_": "data_pipeline.dedup.minhash.MinHash", "num_perm": NUM_PERM, "engine": "compatible"}
        dedup |= {"threshold": 0.99, "bands": 4, "rows": 4, **changes}
        nothing = {"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"}
        more = {"decontaminate": nothing, "tokenizer__vocab_size": 262, "partition_bytes": 4000}
        return config(tmp_path / "inputs", folder, dedup=dedup, **more)

    return corpus


def features(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "work" / "exact").glob("?????-?????.npz")}


def test_a_run_writes_them_and_another_takes_them(
    corpus: Any, go: Go, redone: Redone, output_hashes: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, plain = tmp_path / "one", tmp_path / "two", tmp_path / "plain"
    go(corpus(one, save_signatures=True))
    tables = [pq.read_table(path) for path in sorted((one / "signatures").iterdir())]
    assert len(tables) >= 4
    rows = [row for table in tables for row in table.to_pylist()]
    assert {row["id"]: row["signature"] for row in rows} == {
        identifier: datasketch_s(text).tolist() for identifier, text in zip(IDS, TEXTS, strict=True)
    }
    by_source = {"web": (IDS[:150], "a.jsonl"), "books": (IDS[150:], "a.jsonl")}
    assert all(by_source[row["source"]][0][row["row"]] == row["id"] and row["file"] == "a.jsonl" for row in rows)
    tree = corpus(two, signatures=[f"{one}/signatures/*.parquet"])
    tree["executor"]["workers"] = 2
    capsys.readouterr()
    go(tree)
    assert "exact: 300 of 300 documents have a stored signature; " in capsys.readouterr().err
    go(corpus(plain))
    assert features(one) == features(two) == features(plain)
    ledgers = [json.loads((folder / "ledger.json").read_text()) for folder in (plain, two)]
    assert ledgers[0]["stages"] == ledgers[1]["stages"]
    assert redone(go(tree)) == []
    assert not list((two / "work" / "exact").glob("stored*"))  # 512 bytes a document that were laid out to be read
    paths = {name for name in output_hashes(two) if name != "ledger.json"}
    assert {name: output_hashes(two)[name] for name in paths} == {name: output_hashes(plain)[name] for name in paths}


def test_saving_measures_nothing_anew_and_leaves_nothing_when_it_is_off(
    corpus: Any, go: Go, redone: Redone, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    go(corpus(out))
    measured = {path: path.stat().st_mtime_ns for path in (out / "work" / "exact").glob("?????-?????.npz")}
    assert redone(go(corpus(out, save_signatures=True))) == ["exact"]
    assert (out / "signatures").is_dir()
    assert redone(go(corpus(out))) == ["exact"]
    assert not (out / "signatures").exists()
    assert measured == {path: path.stat().st_mtime_ns for path in measured}


def test_a_table_that_changed_is_noticed_and_one_that_was_only_copied_measures_nothing(
    corpus: Any, go: Go, redone: Redone, write: Write, tmp_path: Path
) -> None:
    out, table = tmp_path / "out", write()
    tree = corpus(out, signatures=[str(table)])
    go(tree)
    measured = {path: path.stat().st_mtime_ns for path in (out / "work" / "exact").glob("?????-?????.npz")}
    table.write_bytes(table.read_bytes())
    assert redone(go(tree)) == ["exact"]
    assert measured == {path: path.stat().st_mtime_ns for path in measured}
    write(TEXTS[:200], IDS[:200])
    assert redone(go(tree)) == ["exact", "near"]
    assert not [path for path in measured if path.stat().st_mtime_ns == measured[path]]


def test_a_text_that_changed_since_stops_the_run_with_its_document(
    corpus: Any, go: Go, write: Write, tmp_path: Path
) -> None:
    table = write()
    changed = [*TEXTS[:10], TEXTS[10] + " and something else", *TEXTS[11:]]
    with pytest.raises(SignaturesError) as error:
        go(corpus(tmp_path / "out", texts=changed, signatures=[str(table)]))
    pattern = (
        r"^dedup\.signatures: .*mine\.parquet, row 10 \(from 0\): (\d+) of 16 values are those of the text of document "
        r"'id-10' \(a\.jsonl, record 10, from 0; source 'web'\); of \d+ documents .* 1 differ"
    )
    found = re.match(pattern, str(error.value))
    assert found and int(found[1]) == (datasketch_s(TEXTS[10]) == datasketch_s(changed[10])).sum() < 16


def test_an_id_of_two_texts_is_refused_and_one_of_two_copies_is_not(
    corpus: Any, go: Go, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MIN_SAMPLE", 1)  # so that no comparison meets it
    table = write()
    go(corpus(tmp_path / "one", [*TEXTS, TEXTS[3].upper()], [*IDS, "id-3"], signatures=[str(table)]))
    with pytest.raises(SignaturesError, match=r"row 3 \(from 0\): several documents of the corpus have its id"):
        go(corpus(tmp_path / "two", [*TEXTS, "Another text of this id"], [*IDS, "id-3"], signatures=[str(table)]))


def test_a_table_that_says_nothing_is_warned_of_where_only_our_own_can_fit(
    corpus: Any, go: Go, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write()
    with pytest.raises(SignaturesError, match=r"0 of 16 values are those of the text"):
        go(corpus(tmp_path / "out", signatures=[str(table)], engine="fast"))
    first, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith(f"warning: dedup.signatures: {table} does not say") and "engine=compatible" in first
    go(corpus(tmp_path / "out", signatures=[str(table)]))
    assert "does not say" not in capsys.readouterr().err


def test_files_of_the_output_folder_are_refused(corpus: Any, go: Go, tmp_path: Path) -> None:
    out = tmp_path / "out"
    go(corpus(out, save_signatures=True))
    with pytest.raises(ConfigError, match=r"^dedup\.signatures: .* lies in the output folder"):
        go(corpus(out, signatures=[f"{out}/signatures/*.parquet"]))


def test_signatures_that_no_document_has_are_spoken_of(
    corpus: Any, go: Go, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go(corpus(tmp_path / "out", signatures=[str(write(ids=[f"https://{number}" for number in range(300)]))]))
    assert (
        "exact: warning: 0 of 300 documents have a stored signature: their ids or words are others"
        in capsys.readouterr().err
    )
