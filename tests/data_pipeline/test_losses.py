"""What stages took of a source, in words: the error when nothing is left, the warning when much is gone."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.mix.split import SplitError
from data_pipeline.nothing_left import NothingLeft
from data_pipeline.pipeline import Result

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Redone = Callable[[Result], list[str]]


def test_a_source_without_documents_is_an_error(inputs: Path, config: Config, tmp_path: Path, go: Go) -> None:
    (inputs / "books" / "d.jsonl").write_bytes(b"\n\n")
    with pytest.raises(NothingLeft, match=r"'books': no document is left.*after clean: 0 records.*the input is empty"):
        go(config(inputs, tmp_path / "out"))
    (inputs / "books" / "d.jsonl").write_bytes(gzip.decompress((inputs / "web" / "b.jsonl.gz").read_bytes()))
    del_web = config(inputs, tmp_path / "out2")
    del_web["corpus"]["sources"]["web"]["paths"] = [str(inputs / "web" / "b.jsonl.gz")]
    with pytest.raises(NothingLeft, match=r"'web': no document is left.*after exact: 70 records.*exact_duplicate"):
        go(del_web)


def test_one_long_text_that_the_rules_take_out_says_which_rule_and_what_to_type(
    config: Config, tmp_path: Path, go: Go
) -> None:
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
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], go: Go
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


def test_a_split_of_what_little_earlier_stages_left_says_what_they_took(config: Config, tmp_path: Path, go: Go) -> None:
    for number in range(9):
        (tmp_path / f"{number}.txt").write_text("the same words in every one of these files")
    text = {"_target_": "data_pipeline.sources.text.Text", "paths": [f"{tmp_path}/*.txt"], "source": "plays"}
    with pytest.raises(SplitError, match=r"of 1 document.*9 were read, .*\(exact: exact_duplicate 8\)"):
        go(config(tmp_path, tmp_path / "out", corpus=text, decontaminate__test_sets=[]))
