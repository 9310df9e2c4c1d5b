"""The command as users type it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def type_line(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "data_pipeline.compare_tokenizers", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_a_line_ends_with_a_table_and_a_page(tmp_path: Path, texts: list[str], other: Path, small: Path) -> None:
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts]) + "{\n")
    done = type_line(
        tmp_path,
        *("corpus=jsonl", "corpus.paths=docs.jsonl", f"tokenizers=[{other}]", "executor.workers=1", "name=mine"),
        *("+tokenizer@given.small=file", f"given.small.path={small}"),
    )
    assert done.returncode == 0, done.stderr
    assert "warning: left out, unreadable: json 1" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split()[:2] == ["tokenizer", "vocabulary"]
    assert [line.split()[:2] for line in lines[2:4]] == [[other.parent.name, "540"], ["small", "300"]]
    folder = tmp_path / "comparisons" / "mine"
    assert lines[-1].endswith("tokenizers.html") and (folder / "tokenizers.html").is_file()
    assert [each["name"] for each in json.loads((folder / "tokenizers.json").read_text())["tokenizers"]] == [
        other.parent.name,
        "small",
    ]


def test_help_and_errors_name_what_to_type(tmp_path: Path) -> None:
    told = type_line(tmp_path, "--help")
    assert told.returncode == 0 and "tokenizers" in told.stdout and "data_dir" in told.stdout
    nothing = type_line(tmp_path)
    assert nothing.returncode == 2 and "data_dir, corpus: no text to compare tokenizers on" in nothing.stderr
    none = type_line(tmp_path, "corpus=pydocs")
    assert none.returncode == 2 and "tokenizers: no tokenizer to look at" in none.stderr
    trained = type_line(tmp_path, "corpus=pydocs", "+tokenizer@given.mine=bpe")
    assert (
        trained.returncode == 2
        and "given.mine: data_pipeline.tokenize.bpe.ByteLevelBPE is trained on text" in trained.stderr
    )
    swept = type_line(tmp_path, "-m", "seed=1,2")
    assert swept.returncode == 2 and "-m: the pages would share one folder" in swept.stderr
    assert "e.g. python -m data_pipeline.compare_tokenizers -m seed=1,2 name='of-${seed}'" in swept.stderr
    (tmp_path / "web" / "work").mkdir(parents=True)
    mine = type_line(tmp_path, "corpus=pydocs", "tokenizers=[a]", "output_dir=web")
    assert mine.returncode == 2 and f"output_dir: {tmp_path / 'web'} is a data folder; the page goes" in mine.stderr
    assert [path.name for path in (tmp_path / "web").iterdir()] == ["work"]
    rehearsed = type_line(tmp_path, "-m", "corpus=pydocs", "executor.workers=1,-1", "name=n${executor.workers}")
    assert rehearsed.returncode == 2 and "executor.workers: -1 is not allowed" in rehearsed.stderr
    assert "so would end trial 1: executor.workers=-1; no trial was started" in rehearsed.stderr
    assert not (tmp_path / "comparisons").exists()
