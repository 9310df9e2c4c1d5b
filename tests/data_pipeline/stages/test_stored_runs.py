"""Stored signatures in runs: written by one, taken by another; what changed since is noticed, and what is refused."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_pipeline.dedup.signing import SignaturesError
from data_pipeline.pipeline import Result
from data_pipeline.stages import stored as module
from foundation.errors import ConfigError
from tests.data_pipeline.stages.stored_tables import IDS, NUM_PERM, TEXTS, datasketch_s, write_table

Config = Callable[..., dict[str, Any]]
Go = Callable[..., Result]
Redone = Callable[[Result], list[str]]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return write(texts, ids, name, **settings of datasketch): a table as a user makes it."""
    return functools.partial(write_table, tmp_path)


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
