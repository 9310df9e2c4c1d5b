"""The command as users type it: `python -m data_pipeline ...`, in any folder."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_pipeline.__main__ import _without_preflight
from data_pipeline.shards.manifest import Manifest
from data_pipeline.sources.text import Text
from foundation.files import read_json

pytestmark = pytest.mark.slow

QUICK = [
    "corpus=synthetic",
    "corpus.num_documents=300",
    "corpus.mean_words=100",
    "clean=none",
    "tokenizer.vocab_size=300",
    "mix.held_out_frac=0.05",
]


def type_line(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "data_pipeline", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_command_alone_makes_the_embedded_corpus(tmp_path: Path) -> None:
    ended = type_line(tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["pydocs"]
    books = read_json(tmp_path / "data" / "pydocs" / "ledger.json")["stages"]
    assert books["clean"]["pydocs"]["in"] > 2_000
    manifest = Manifest.load(tmp_path / "data" / "pydocs")
    assert 15_000_000 < sum(split["pydocs"].utf8_bytes for split in manifest.splits.values()) < 25_000_000
    assert manifest.vocab_size == 16_384 and manifest.splits["val"]["pydocs"].documents > 5


def test_a_run_ends_with_a_table_and_the_same_line_keeps_everything(tmp_path: Path) -> None:
    first = type_line(tmp_path, *QUICK)
    assert first.returncode == 0, first.stderr
    assert "exact_duplicate" in first.stderr and "kept" not in first.stderr
    assert str(tmp_path / "data" / "synthetic" / "report.html") in first.stderr
    Manifest.load(tmp_path / "data" / "synthetic")
    second = type_line(tmp_path, *QUICK)
    assert second.returncode == 0
    stages = read_json(tmp_path / "data" / "synthetic" / "timing.json")["stages"]
    off = 3  # paragraphs=none, no mix.keep, augment=none
    assert second.stderr.count("kept") == len(stages) - off >= 7
    assert second.stderr.split().count("off") == off
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]  # Hydra leaves nothing of its own


@pytest.mark.bad_input(11, 49)
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dedup.treshold=0.7"], "dedup.treshold: unknown key, did you mean 'dedup.threshold'?"),
        (
            ["corpus.paths=a.jsonl"],
            "corpus.paths: unknown key, corpus is pydocs here; corpus=arrow and corpus=csv and ",
        ),
        (["--help", "dedupe"], "--help dedupe: is no group, did you mean 'dedup'?"),
        (["tokenizer=cl100k"], "tokenizer: 'cl100k' is no option of this group, did you mean tokenizer.split=cl100k?"),
        (
            ["tokenizer=a/tokenizer.json"],
            "tokenizer: 'a/tokenizer.json' is no option of this group, did you mean tokenizer=file "
            "tokenizer.path=a/tokenizer.json?",
        ),
        (["tokenizer=a.model"], "did you mean tokenizer=sentencepiece tokenizer.path=a.model?"),
        (["-m", "tokenizer.vocab_size=300,400"], "name='web-${tokenizer.vocab_size}'"),
        (["corpus=json"], "corpus: 'json' is no option of this group, did you mean 'jsonl'?"),
        (["corpus=jsonl"], "corpus.paths: needs a value"),
        (["corpus.paths=x.jsonl", "name=a"], " and corpus=text and corpus=warc have corpus.paths"),
        (["corpus=jsonl", "corpus.paths=nix/*.jsonl"], "corpus.paths: 'nix/*.jsonl'"),
        (["decontaminate.fields=[text]"], "decontaminate.fields: a list, where names with values are expected"),
        (["preflight=prob"], "preflight: 'prob' is no option of this group, did you mean 'probe'?"),
        (["preflight=probe", "preflight.frac=2", *QUICK], "preflight.frac: 2"),
        (["--foo"], "--foo: is no flag; settings are typed without dashes, foo=<value>"),
        ([f"name={'x' * 300}", "corpus=synthetic"], "name: the source is called by its last part, 'xxx"),
        ([f"output_dir={'x' * 300}", "corpus=synthetic"], "a folder's name has at most 255 bytes"),
        (["executor.workers=two"], "executor.workers: 'two'"),
        (["name=../elsewhere", *QUICK], "name: '../elsewhere'"),
        (["-m", "dedup.threshold=0.7,0.8"], "python -m data_pipeline -m dedup.threshold=0.7,0.8 name="),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(tmp_path: Path, words: list[str], expected: str) -> None:
    ended = type_line(tmp_path, *words)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ") and expected in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_config_of_ones_own_without_a_name_is_asked_for_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: null\ncorpus:\n  _target_: data_pipeline.sources.synthetic.Synthetic\n")
    ended = type_line(tmp_path, f"--config-path={tmp_path}", "--config-name=mine")
    assert (ended.returncode, ended.stderr.startswith("error: name: null, ")) == (2, True), ended.stderr


def test_the_advised_separator_works_as_it_is_typed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"a line of document {number}\n\n" for number in range(200)))
    advised = Text(["a.txt"]).advice().partition("e.g. ")[2].partition(" at")[0]
    assert advised == r"corpus.separator='\n\n'"
    typed = (
        f"corpus=text corpus.paths=a.txt name=plays {advised} clean=none dedup=none tokenizer.vocab_size=270 "
        "executor.workers=1"
    )
    ended = type_line(tmp_path, *shlex.split(typed))
    assert ended.returncode == 0, ended.stderr
    books = read_json(tmp_path / "data" / "plays" / "ledger.json")["stages"]
    assert books["clean"]["plays"]["in"] == 200


def test_a_missing_text_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"body": "words"}) + "\n")
    ended = type_line(tmp_path, "corpus=jsonl", "corpus.paths=a.jsonl", "executor.workers=1")
    assert ended.returncode == 2
    assert "a.jsonl" in ended.stderr and "'text'" in ended.stderr and "'body'" in ended.stderr


def test_a_sweep_with_a_name_a_trial_makes_a_folder_each(tmp_path: Path) -> None:
    swept = ["-m", *QUICK, "tokenizer.vocab_size=290,300", "name=v${tokenizer.vocab_size}", "executor.workers=1"]
    ended = type_line(tmp_path, *[word for word in swept if word != "tokenizer.vocab_size=300"])
    assert ended.returncode == 0, ended.stderr
    sizes = {path.name: Manifest.load(path).vocab_size for path in (tmp_path / "data").iterdir()}
    assert sizes == {"v290": 290, "v300": 300}


def test_a_sweep_with_a_failed_trial_does_the_others_and_fails(tmp_path: Path) -> None:
    swept = ["-m", *QUICK[:-2], QUICK[-1], "tokenizer.vocab_size=60000,300", "name=v${tokenizer.vocab_size}"]
    ended = type_line(tmp_path, *swept, "executor.workers=1")
    assert ended.returncode == 2
    assert "tokenizer.vocab_size: 60000 is more than the text supports" in ended.stderr
    assert Manifest.load(tmp_path / "data" / "v300").vocab_size == 300


@pytest.mark.parametrize(
    ("swept", "said"),
    [
        (["tokenizer.vocab_size=300,100", "name=v${tokenizer.vocab_size}"], "tokenizer.vocab_size: 100 is not allowed"),
        (["partition_bytes=20000,0", "name=p${partition_bytes}"], "partition_bytes: 0 is not allowed"),
        (["mix.seed=1,x", "name=s${mix.seed}"], "mix.seed: 'x' (str) is not an integer"),
        (["name=a,../b"], "name: '../b' is no name"),
        (["tokenizer=bpe,gpt2", "++tokenizer.path=nix", "name=g,h"], ""),
        (["preflight=probe", "preflight.frac=0.5,7", "name=f${preflight.frac}"], "preflight.frac: 7"),
    ],
)
def test_a_sweep_with_a_value_that_can_not_work_starts_no_trial(tmp_path: Path, swept: list[str], said: str) -> None:
    ended = type_line(tmp_path, "-m", *QUICK[:4], QUICK[5], *swept, "executor.workers=1")
    assert ended.returncode == 2 and f"error: {said}" in ended.stderr, ended.stderr
    assert "so would end trial " in ended.stderr and "; no trial was started" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_stop_is_clean_and_the_same_line_goes_on(tmp_path: Path) -> None:
    words = [*QUICK, "corpus.num_documents=500", "partition_bytes=20000", "executor.workers=2"]
    command = [sys.executable, "-m", "data_pipeline", *words]
    clean = tmp_path / "data" / "synthetic" / "work" / "clean"
    for sent in (signal.SIGINT, signal.SIGTERM):
        before = len(list(clean.glob("*.json")))
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        while len(list(clean.glob("*.json"))) < before + 2:
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(sent)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "the same command goes on" in err and "Traceback" not in err
    assert type_line(tmp_path, *words).returncode == 0


def test_help_waits_for_nothing_that_only_a_run_needs() -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "data_pipeline", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "corpus= " in ended.stdout and "foundation.errors" in imported
    assert not {"numba", "pyarrow", "scipy"} & imported


def test_the_line_that_runs_what_was_foretold_is_what_was_typed_without_the_probe() -> None:
    typed = ["preflight=probe", "corpus=jsonl", "corpus.paths=[a b.jsonl]", "preflight.frac=0.1"]
    assert _without_preflight(typed) == "python -m data_pipeline corpus=jsonl 'corpus.paths=[a b.jsonl]'"
    assert _without_preflight(["recipe=mine"]) == "python -m data_pipeline recipe=mine preflight=none"
