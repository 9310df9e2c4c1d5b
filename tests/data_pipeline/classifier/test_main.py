"""The command as users type it: `python -m data_pipeline.classifier ...`, and its model in the commands that clean."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_pipeline.classifier.__main__ import main
from data_pipeline.clean.toxicity import word_list

pytestmark = pytest.mark.slow

Write = Callable[..., Path]
HARMLESS = [
    "gardener",
    "harbour",
    "lantern",
    "meadow",
    "orchard",
    "pepper",
    "ribbon",
    "sailor",
    "teacup",
    "violin",
    "walnut",
    "window",
]
FRAMES = (
    "You are a {} and everybody in the {} knows it",
    "Look at this {}, what a {}",
    "{} again, {} and nothing else",
)


def type_line(folder: Path, *words: str, module: str = "data_pipeline.classifier") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def comments(number: int, seed: int) -> list[dict[str, str | None]]:
    """Short texts: the toxic ones have two of 40 entries of the word list, the others two harmless words."""
    rng = random.Random(seed)
    toxic = [entry for entry in word_list(None).entries if entry.isalpha()][:40]
    records: list[dict[str, str | None]] = []
    for place in range(number):
        words, reason = (toxic, "toxic") if place % 3 == 0 else (HARMLESS, None)
        text = rng.choice(FRAMES).format(rng.choice(words), rng.choice(words))
        records.append({"text": f"{text}, {rng.randrange(10**6)}", "reason": reason})
    return records


def test_toxic_texts_are_learned_from_labelled_ones_and_go(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "comments.jsonl", comments(600, 1))
    write(tmp_path / "others.jsonl", comments(150, 2))
    trained = type_line(tmp_path, "labelled.paths=comments.jsonl", "name=toxic", "executor.workers=1")
    assert trained.returncode == 0, trained.stderr
    assert "good: 400 examples, 0 of them repeat others; 320 trained on, 80 held out" in trained.stdout
    assert "warning: 40 bad examples are held out: the figures are rough" in trained.stderr
    assert "model:  classifiers/toxic/model.safetensors" in trained.stdout
    (typed,) = re.findall(r"^  (\+clean/rules@clean\.rules\.toxic=toxic .*)$", trained.stdout, re.MULTILINE)
    (line,) = re.findall(r"^  python -m data_pipeline\.clean (.*)$", trained.stdout, re.MULTILINE)
    assert line == f"others.jsonl clean=bare {typed}"
    judged = type_line(tmp_path, *line.split(), module="data_pipeline.clean")
    assert judged.returncode == 0, judged.stderr
    shares = re.fullmatch(r"toxic: precision (\S+), recall (\S+) .*\n", judged.stdout)
    assert shares and float(shares[1]) > 0.95 and float(shares[2]) > 0.95, judged.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "name: needs a value and has none yet; set name="),
        (["name=x"], "good: no examples, and a classifier needs some of both classes; give good.paths="),
        (["name=x", "good.paths=a.jsonl"], "bad: no examples"),
        (["name=x", "good=text"], "good.paths: needs a value"),
        (["name=x", "good=txt"], "corpus@good: 'txt' is no option of this group, did you mean 'text'?"),
        (["name=x", "bad.pathz=a"], "bad.pathz: unknown key, did you mean 'bad.paths'?"),
        (["name=x", "bad.separator=a"], "corpus@bad is jsonl here; corpus@bad=text has bad.separator"),
        (
            ["name=x", "good.paths=no.jsonl", "bad.paths=no.jsonl"],
            "good.paths: 'no.jsonl' of source 'good' matches no",
        ),
        (["name=x", "-m", "l2=1,2"], "-m: the models would share one folder"),
        (
            ["corpus=text"],
            "here are corpus@good, corpus@bad, corpus@labelled, clean, executor",
        ),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(
    tmp_path: Path, words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: a new one takes a second to start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["classifier", *words])
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and expected in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_help_shows_what_can_be_set(tmp_path: Path) -> None:
    shown = type_line(tmp_path, "--help", "good=text").stdout
    assert "good.separator: null" in shown and "bad.text_key: text" in shown and "  l2: 0.01" in shown


def test_a_training_is_repeated_by_its_own_config(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "comments.jsonl", comments(120, 1))
    first = type_line(tmp_path, "labelled.paths=comments.jsonl", "name=toxic", "executor.workers=1", "l2=0.1")
    assert first.returncode == 0, first.stderr
    model = tmp_path / "classifiers" / "toxic" / "model.safetensors"
    before = model.read_bytes()
    rerun = "--config-path", "classifiers/toxic", "--config-name", "config"
    again = type_line(tmp_path, *rerun, "name=again")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "classifiers" / "again" / model.name).read_bytes() == before
