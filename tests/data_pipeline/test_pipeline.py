"""The whole way over a corpus of known fates: nothing lost, the same bytes, only what changed is redone."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zstandard
from tokenizers import Tokenizer

from data_pipeline.mix.split import SplitError
from data_pipeline.nothing_left import NothingLeft
from data_pipeline.pipeline import Result, check_config, run
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.reader import open_split
from data_pipeline.sources.source import TruncatedInput
from data_pipeline.stages.clean import TooMuchBad
from data_pipeline.storage import DamagedFile
from data_pipeline.tokenize.errors import TokenizerError
from foundation.errors import ConfigError, InputError
from foundation.files import read_json

Config = Callable[..., dict[str, Any]]
ALL = ["clean", "exact", "near", "split", "decontaminate", "tokenizer", "shards"]


def go(tree: dict[str, Any]) -> Result:
    return run(**check_config(tree))


def redone(result: Result) -> list[str]:
    return [stage.name for stage in result.stages if stage.redone]


def decoded(folder: Path) -> dict[str, dict[str, list[str]]]:
    """split -> source -> texts, from the ids on disk."""
    manifest = Manifest.load(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found: dict[str, dict[str, list[str]]] = {}
    for split in ("train", "val"):
        found[split] = {}
        for source, stream in open_split(folder, manifest, split).items():
            ids = stream.tokens(0, manifest.splits[split][source].tokens)
            ends = np.flatnonzero(ids == manifest.eot_id)
            assert len(ends) == manifest.splits[split][source].documents  # end-of-text ends documents, nothing else
            starts = np.concatenate([[0], ends[:-1] + 1])
            found[split][source] = [
                tokenizer.decode(ids[start:end].tolist(), skip_special_tokens=False)
                for start, end in zip(starts, ends, strict=True)
            ]
    return found


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished output folder that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture
def inputs(made: Any, tmp_path: Path) -> Path:
    """A copy of the inputs that a test may change."""
    return Path(shutil.copytree(made.folder, tmp_path / "inputs"))


def test_every_document_comes_out_or_is_accounted_for(made: Any, finished: Path) -> None:
    texts = decoded(finished)
    held_out = {text for source in texts["val"].values() for text in source}
    leaks = {
        name: text for name, text in made.leaks.items() if text not in held_out
    }  # a held-out one stays: it is test
    for source, unique in made.unique.items():
        training = [text for text in unique if text not in held_out and text not in leaks.values()]
        assert texts["train"][source] == training  # all of them, in order
        assert texts["val"][source] == [text for text in unique if text in held_out]
    assert 5 < len(held_out) < 40
    removed = [row for path in (finished / "removed").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert {row["id"]: row["reason"] for row in removed} == made.copies | dict.fromkeys(leaks, "contaminated")
    for row in removed:
        if row["stage"] in ("exact", "near"):
            assert row["similarity"] >= 0.8 and row["kept_snippet"] and row["kept_id"] not in made.copies
        if row["reason"] == "contaminated":
            assert row["test_item"].startswith("test#") and row["coverage"] >= 0.5
    lines = [line for path in (finished / "quarantine").rglob("*.jsonl") for line in path.read_text().splitlines()]
    bad = [json.loads(line) for line in lines]
    assert {(record["file"], record["row"]) for record in bad} == made.bad
    plain = [record for record in bad if record["file"] == "a.jsonl"]
    in_file = (made.folder / "web" / "a.jsonl").read_bytes().split(b"\n")
    assert plain and [in_file[record["line"] - 1] for record in plain] == [
        base64.b64decode(record["bytes"]) for record in plain
    ]


def test_a_folder_is_the_pipelines_own_before_any_stage_writes(made: Any, config: Config, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cut = tmp_path / "web" / "cut.jsonl.gz"
    cut.parent.mkdir()
    cut.write_bytes((made.folder / "web" / "b.jsonl.gz").read_bytes()[:500])
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(cut)]}
    nothing = {"_target_": "data_pipeline.decontaminate.ngram.NoDecontaminate"}
    tree = config(tmp_path, out, corpus=corpus, decontaminate=nothing)
    with pytest.raises(TruncatedInput):
        go(tree)  # ends before the first part is finished, as a kill there does
    left = out / "removed" / "clean" / ".00000-00000.parquet.tmp15767"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    shutil.copy(made.folder / "web" / "b.jsonl.gz", cut)
    assert redone(go(tree)) == ALL
    assert not left.exists()


def test_a_shard_with_a_flipped_bit_is_made_again_by_the_same_command(
    made: Any, config: Config, finished: Path, out: Path, output_hashes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = out / "shards" / "train" / "books_00000.bin"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)  # of the right size
    tree = config(made.folder, out)
    assert redone(go(tree)) == ["shards"]
    assert "books_00000.bin: block 0" in capsys.readouterr().err
    assert output_hashes(out) == output_hashes(finished)
    assert redone(go(tree)) == []


def test_the_ledger_follows_every_source(made: Any, finished: Path) -> None:
    stages = read_json(finished / "ledger.json")["stages"]
    assert set(stages) == set(ALL) - {"tokenizer"}
    assert sum(account["in"] for account in stages["clean"].values()) == made.num_records
    texts = decoded(finished)
    manifest = Manifest.load(finished)
    for source in made.unique:
        documents = texts["train"][source] + texts["val"][source]
        dropped = sum((Counter(stages[stage][source]["dropped"]) for stage in stages), Counter())
        assert stages["shards"][source]["out"] == len(documents) == stages["clean"][source]["out"] - dropped.total()
        utf8_bytes = sum(manifest.splits[split][source].utf8_bytes for split in ("train", "val"))
        assert utf8_bytes == sum(len(text.encode()) for text in documents)
    counts = read_json(finished / "ledger.json")["counts"]
    assert counts["decontaminate"]["test_items"] == 1 + sum(len(texts["val"][source]) for source in made.unique)
    assert counts["near"]["pairs_verified"] >= Counter(made.copies.values())["near_duplicate"]
    assert [manifest.splits["train"][source].weight for source in ("books", "web")] == [1.0, 3.0]


@pytest.mark.slow
def test_the_same_bytes_with_any_number_of_workers_and_from_any_folder(
    made: Any, finished: Path, config: Config, output_hashes: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    expected = output_hashes(finished)
    assert {name.partition("/")[0] for name in expected} == {
        "shards",
        "tokenizer.json",
        "manifest.json",
        "ledger.json",
        "removed",
        "quarantine",
    }
    assert len([name for name in expected if name.endswith(".bin")]) > 4  # several shards
    moved = shutil.copytree(made.folder, tmp_path / "moved inputs")
    for workers in (2, 3):
        out = tmp_path / f"out{workers}"
        go(config(moved, out, executor__workers=workers))
        assert output_hashes(out) == expected


def test_outputs_name_no_host_folder_or_time(made: Any, finished: Path, tmp_path: Path) -> None:
    words = [os.uname().nodename.encode(), str(made.folder).encode(), str(finished).encode()]
    for path in finished.rglob("*"):
        inside = path.relative_to(finished)
        if path.is_file() and inside.parts[0] not in ("work", ".lock", "timing.json", "report.html"):
            data = path.read_bytes()
            assert not [word for word in words if word in data], path


CHANGES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"executor__workers": 2, "name": "other", "max_bad_frac": 0.5}, []),
    ({"corpus__sources__web__weight": 5.0}, []),
    ({"shards__max_shard_bytes": 1 << 17}, ["shards"]),
    ({"tokenizer__vocab_size": 420}, ["tokenizer", "shards"]),
    ({"decontaminate__min_coverage": 0.6}, ["decontaminate"]),  # with the same result
    ({"decontaminate": {"_target_": "data_pipeline.decontaminate.ngram.NoDecontaminate"}}, ALL[4:]),
    ({"mix__seed": 4}, ALL[3:]),
    ({"dedup__threshold": 0.75}, ["exact", "near"]),
    ({"dedup": {"_target_": "data_pipeline.dedup.dedup.NoDedup"}}, ALL[1:]),
    ({"partition_bytes": 1 << 15}, ALL),
]


@pytest.mark.parametrize(("changes", "expected"), CHANGES)
def test_a_changed_setting_redoes_what_depends_on_it(
    made: Any, out: Path, config: Config, changes: dict[str, Any], expected: list[str]
) -> None:
    result = go(config(made.folder, out, **changes))
    assert redone(result) == expected
    assert result.manifest == Manifest.load(out)
    assert redone(go(config(made.folder, out, **changes))) == []


def test_a_changed_setting_ends_in_the_bytes_of_a_fresh_run(
    made: Any,
    finished: Path,
    out: Path,
    config: Config,
    output_hashes: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    changes = {"dedup": {"_target_": "data_pipeline.dedup.exact.Exact"}, "tokenizer__vocab_size": 410}
    go(config(made.folder, out, **changes))
    fresh = tmp_path / "fresh"
    go(config(made.folder, fresh, **changes))
    assert output_hashes(out) == output_hashes(fresh)
    go(config(made.folder, out))  # and back
    assert output_hashes(out) == output_hashes(finished)


def test_a_changed_input_redoes_only_its_partitions(inputs: Path, out: Path, config: Config) -> None:
    go(config(inputs, out))

    def arrow_times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (out / "work" / "clean").glob("*.arrow")}

    before = arrow_times()
    os.utime(inputs / "web" / "a.jsonl")  # touched, the same content
    assert redone(go(config(inputs, out))) == ["clean"]
    assert arrow_times() == before
    with (inputs / "web" / "c.jsonl.zst").open("ab") as file:  # a second frame
        file.write(zstandard.compress(b'{"text": "one more document at the very end of it all"}\n'))
    result = go(config(inputs, out))
    assert redone(result) == ALL
    changed = {name for name, time in arrow_times().items() if before.get(name) != time}
    assert 0 < len(changed) <= 2 < len(before)
    kept = sum(source.documents for split in result.manifest.splits.values() for source in split.values())
    (inputs / "web" / "a.jsonl").unlink()
    fewer = go(config(inputs, out)).manifest
    assert sum(source.documents for split in fewer.splits.values() for source in split.values()) < kept


def test_same_size_and_old_date_do_not_hide_a_change(inputs: Path, out: Path, config: Config) -> None:
    path = inputs / "web" / "a.jsonl"
    go(config(inputs, out))
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"a", b"e", 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "clean" in redone(go(config(inputs, out)))


def test_a_given_tokenizer_is_used_and_a_change_of_it_noticed(
    made: Any, finished: Path, out: Path, config: Config, tmp_path: Path
) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes((finished / "tokenizer.json").read_bytes())
    given = {"_target_": "data_pipeline.tokenize.tokenizer.TokenizerFile", "path": str(path)}
    assert redone(go(config(made.folder, out, tokenizer=given))) == ["tokenizer"]  # the same file: the shards stay
    path.write_bytes(path.read_bytes() + b"\n")
    assert redone(go(config(made.folder, out, tokenizer=given))) == ["tokenizer", "shards"]
    assert (out / "tokenizer.json").read_bytes() == path.read_bytes()


def test_missing_or_changed_outputs_are_made_again(
    made: Any, finished: Path, out: Path, config: Config, output_hashes: Callable[[Path], dict[str, str]]
) -> None:
    for path in (out / "manifest.json", out / "ledger.json", next((out / "shards" / "train").glob("*.bin"))):
        path.unlink()
    shutil.rmtree(out / "removed" / "exact")
    shutil.rmtree(out / "quarantine")
    tokenizer = out / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes().replace(b"a", b"b", 1))
    assert redone(go(config(made.folder, out))) == ["clean", "exact", "tokenizer", "shards"]
    assert output_hashes(out) == output_hashes(finished)


def test_a_damaged_intermediate_file_is_named(made: Any, out: Path, config: Config) -> None:
    path = min((out / "work" / "clean").glob("*.arrow"))
    data = path.read_bytes()
    path.write_bytes(data[:600] + bytes([data[600] ^ 1]) + data[601:])
    with pytest.raises(DamagedFile, match=path.name):
        go(config(made.folder, out, dedup={"_target_": "data_pipeline.dedup.exact.Exact"}))


def test_a_truncated_input_commits_nothing_and_can_be_mended(inputs: Path, config: Config, tmp_path: Path) -> None:
    path, out = inputs / "web" / "b.jsonl.gz", tmp_path / "out"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TruncatedInput, match=r"b\.jsonl\.gz"):
        go(config(inputs, out))
    assert not [name for name in ("manifest.json", "ledger.json", "shards") if (out / name).exists()]
    assert not (out / "work" / "clean" / "stage.json").exists()
    path.write_bytes(whole)
    assert redone(go(config(inputs, out))) == ALL


def test_a_failed_change_leaves_the_shards_as_they_were(
    inputs: Path, out: Path, config: Config, output_hashes: Callable[[Path], dict[str, str]]
) -> None:
    path = inputs / "web" / "b.jsonl.gz"
    before = output_hashes(out)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TruncatedInput):
        go(config(inputs, out))
    assert decoded(out)
    for name in ("manifest.json", "tokenizer.json"):
        assert output_hashes(out)[name] == before[name]
    assert not (out / "ledger.json").exists()  # it would no longer be true of removed/


def test_too_many_unreadable_records_stop_the_run(made: Any, out: Path, config: Config, tmp_path: Path) -> None:
    num_bad = len(made.bad)
    for folder in (out, tmp_path / "fresh"):  # also where an earlier run was told to put up with them
        with pytest.raises(TooMuchBad, match=rf"max_bad_frac: {num_bad} of {made.num_records} records.*json.*quarant"):
            go(config(made.folder, folder, min_bad_docs=5))
        assert list((folder / "quarantine" / "clean").glob("*.jsonl"))
    assert redone(go(config(made.folder, out, min_bad_docs=5, max_bad_frac=0.5))) == []


def test_a_source_without_documents_is_an_error(inputs: Path, config: Config, tmp_path: Path) -> None:
    (inputs / "books" / "d.jsonl").write_bytes(b"\n\n")
    with pytest.raises(NothingLeft, match=r"'books': no document is left.*after clean: 0 records.*the input is empty"):
        go(config(inputs, tmp_path / "out"))
    (inputs / "books" / "d.jsonl").write_bytes(gzip.decompress((inputs / "web" / "b.jsonl.gz").read_bytes()))
    del_web = config(inputs, tmp_path / "out2")
    del_web["corpus"]["sources"]["web"]["paths"] = [str(inputs / "web" / "b.jsonl.gz")]
    with pytest.raises(NothingLeft, match=r"'web': no document is left.*after exact: 70 records.*exact_duplicate"):
        go(del_web)


def test_one_long_text_that_the_rules_take_out_says_which_rule_and_what_to_type(config: Config, tmp_path: Path) -> None:
    (tmp_path / "plays.txt").write_text("To be, or not to be.\n\n" * 20_000)
    text = {"_target_": "data_pipeline.sources.text.Text", "paths": [str(tmp_path / "plays.txt")], "source": "plays"}
    gopher = {"_target_": "data_pipeline.clean.quality.GopherQuality"}
    clean = {"_target_": "data_pipeline.clean.cleaner.Rules", "rules": {"gopher": gopher}}
    tree = config(tmp_path, tmp_path / "out", corpus=text, clean=clean, decontaminate__test_sets=[])
    with pytest.raises(NothingLeft) as raised:
        go(tree)
    message = str(raised.value)
    assert "1 record was read" in message and "clean: gopher_word_count 1" in message
    assert "plays.txt#0: gopher_word_count 120,000, limit 100,000" in message
    assert "clean=none" in message and "corpus.separator=" in message
    with pytest.raises(SplitError, match=r"corpus\.separator"):
        go(config(tmp_path, tmp_path / "out", corpus=text, decontaminate__test_sets=[]))


def test_a_stage_that_takes_much_of_the_text_says_so(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(5)
    for number in range(40):
        text = " ".join(f"{rng.choice('abc')}{rng.randrange(500)}" for _ in range(100))
        (tmp_path / f"{number:02d}.txt").write_text(text[:300])
    (tmp_path / "long.txt").write_text("long" * 3750)  # 1 of 41 documents, 15,000 of 27,000 bytes
    text = {"_target_": "data_pipeline.sources.text.Text", "paths": [f"{tmp_path}/*.txt"], "source": "plays"}
    length = {"_target_": "data_pipeline.clean.length.Length", "min_words": 2}
    clean = {"_target_": "data_pipeline.clean.cleaner.Rules", "rules": {"length": length}}
    tree = config(tmp_path, tmp_path / "out", corpus=text, clean=clean, decontaminate__test_sets=[])
    go(tree | {"mix": tree["mix"] | {"held_out_frac": 0.2}})
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert re.search(
        r"clean: took out 1 of 41 documents of source 'plays' \(5\d% of the text\): too_few_words 1; ", warnings[0]
    )


@pytest.mark.parametrize(
    ("dedup", "lines"),
    [("dedup.NoDedup", []), ("exact.Exact", ["exact:"]), ("minhash.MinHash", ["exact:", "near:", "near:"])],
)
def test_only_work_that_is_done_is_spoken_of(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], dedup: str, lines: list[str]
) -> None:
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(f"the words of file {number} and of {number * number}")
    text = {"_target_": "data_pipeline.sources.text.Text", "paths": [f"{tmp_path}/*.txt"]}
    node = {"_target_": f"data_pipeline.dedup.{dedup}"}
    mix = {"_target_": "data_pipeline.mix.split.HeldOut", "held_out_frac": 0.4}
    changes = {"dedup": node, "mix": mix, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
    go(config(tmp_path, tmp_path / "out", corpus=text, **changes))
    said = capsys.readouterr().err
    assert [word for word in said.split() if word in ("exact:", "near:")] == lines
    assert ("bands of" in said) == (dedup == "minhash.MinHash")


def test_a_split_of_what_little_earlier_stages_left_says_what_they_took(config: Config, tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.txt").write_text("the same words in every one of these files")
    text = {"_target_": "data_pipeline.sources.text.Text", "paths": [f"{tmp_path}/*.txt"], "source": "plays"}
    with pytest.raises(SplitError, match=r"of 1 document.*9 were read, .*\(exact: exact_duplicate 8\)"):
        go(config(tmp_path, tmp_path / "out", corpus=text, decontaminate__test_sets=[]))


def test_settings_and_folders_that_cannot_work_are_refused_before_anything_is_read(
    made: Any, config: Config, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for changes in ({"partition_bytes": 0}, {"max_bad_frac": 2.0}, {"min_bad_docs": -1}):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            go(config(made.folder, out, **changes))
    with pytest.raises(ConfigError, match="holds the input"):
        go(config(made.folder, made.folder))
    with pytest.raises(InputError, match="nowhere"):
        go(config(made.folder, out, corpus__sources__web__paths=["/nowhere/*.jsonl"]))
    given = {"_target_": "data_pipeline.tokenize.tokenizer.TokenizerFile", "path": str(made.folder / "test.jsonl")}
    with pytest.raises(TokenizerError, match=r"tokenizer\.path: .*test\.jsonl: not a tokenizer\.json"):
        go(config(made.folder, out, tokenizer=given))
    with pytest.raises(TokenizerError, match=r"tokenizer\.path: .*absent\.json is no file"):
        go(config(made.folder, out, tokenizer=given | {"path": str(tmp_path / "absent.json")}))
    with pytest.raises(ConfigError, match=r"dedup\.treshold.*threshold"):
        go(config(made.folder, out, dedup__treshold=0.5))
    assert not out.exists()
