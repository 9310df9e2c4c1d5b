"""What the table of the pipeline rests on: stages timed from outside, peers that do the work, missing ones said."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

WORDS = "the quick brown fox that jumps over a lazy dog and runs with it to the end of this long and winding road"


@pytest.fixture(scope="module")
def pipeline(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("pipeline")


def write_jsonl(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts)))
    return path


def test_an_input_is_named_and_there(pipeline: ModuleType, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ["x"])
    assert pipeline.Input.named(f"a = b={path}") == pipeline.Input("a = b", path)
    for wrong in (str(path), f"name={path}x", f"={path}"):
        with pytest.raises(argparse.ArgumentTypeError, match="NAME=FILE"):
            pipeline.Input.named(wrong)


def test_a_missing_peer_is_said(pipeline: ModuleType) -> None:
    run = pipeline.Run(timing={"tokenizer": {"seconds": 3.0}})
    there = {"seconds": 2.0, "peak_mb": 100.0, "version": "tokenizers 1", "note": "n"}
    peers = {"tokenizers train": [there], "datatrove GopherQualityFilter": [{"missing": "No module named 'datatrove'"}]}
    run.timing |= {"clean": {"seconds": 1.0}, "filter": {"seconds": 0.5}}
    _, _, ours, missing = pipeline.peer_table([run], peers).splitlines()
    assert [cell.strip() for cell in ours.split("|")[2:6]] == [
        "3.00",
        "tokenizers train (tokenizers 1)",
        "2.00",
        "1.50",
    ]
    assert "not measured: No module named 'datatrove'" in missing


def test_a_wrong_timing_is_said(pipeline: ModuleType) -> None:
    seconds = dict.fromkeys(pipeline.STAGES, 1.0)
    run = pipeline.Run(seconds=seconds, timing={stage: {"seconds": 1.02} for stage in pipeline.STAGES})
    assert pipeline.timing_amiss([run], 1) == []
    run.timing["near"]["seconds"] = 0.5
    assert pipeline.timing_amiss([run], 1) == ["timing.json, 1 workers, near: it says 0.50 s, 1.00 s were seen"]


def test_the_tokenizers_train_a_vocabulary(pipeline: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    write_jsonl(tmp_path / "kept" / "documents.jsonl", [WORDS] * 3)
    (tmp_path / "settings.json").write_text(json.dumps({"vocab_size": 300}))
    record = pipeline.measure_peer("tokenizers train", sys.executable, tmp_path)
    assert record["note"].startswith("vocabulary ")
    assert record["version"].startswith("tokenizers ")
    assert record["whole_s"] > record["seconds"] > 0
    assert min(record["peak_mb"], record["tree_mb"]) > 10


@pytest.mark.slow
def test_the_stages_are_timed_from_outside(pipeline: ModuleType, tmp_path: Path) -> None:
    texts = [" ".join(f"{word} {word}{number}{place}" for place, word in enumerate(WORDS.split() * 5))
             for number in range(400)]  # fmt: skip
    corpus = pipeline.Input("made up", write_jsonl(tmp_path / "made_up.jsonl", texts))
    run = pipeline.run_pipeline(corpus, 2, tmp_path, "tokenizer.vocab_size=300")
    assert list(run.seconds) == [pipeline.START, *pipeline.STAGES, pipeline.END, pipeline.ALL]
    assert set(run.timing) == set(pipeline.STAGES)  # all that the pipeline has
    parts = [seconds for stage, seconds in run.seconds.items() if stage != pipeline.ALL]
    assert sum(parts) == pytest.approx(run.seconds[pipeline.ALL], abs=0.05)
    assert run.peak_mb[pipeline.ALL] == max(run.peak_mb.values()) > 50
    pipeline.write_documents(corpus, tmp_path)
    counts = [len((tmp_path / name / "documents.jsonl").read_text().splitlines()) for name in ("read", "kept")]
    assert counts[0] == 400 >= counts[1] > 0
