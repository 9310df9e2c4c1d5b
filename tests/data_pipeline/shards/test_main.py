"""The commands, as they are typed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from data_pipeline.exchange.exporting import SHARD_TOKENS, TRAINERS
from data_pipeline.exchange.formats import FORMATS
from data_pipeline.inspection.trace import AROUND
from data_pipeline.shards import command_line
from data_pipeline.shards.manifest import Manifest
from data_pipeline.tokenize.checks import END_OF_TEXT

COMMANDS = ("verify", "inspect", "trace", "merge", "import", "export")
LIGHT = """
import re, sys
from pathlib import Path
ours = re.compile(r"from (data_pipeline\\.shards\\.\\w+) import")
rooms = [path for half in ("pretrain", "launch") for path in Path(half).rglob("*.py")]
used = {name for path in rooms for name in ours.findall(path.read_text())}
assert len(used) > 3
for name in {*used, "data_pipeline.shards.verify", "data_pipeline.shards.command_line"}:
    __import__(name)
heavy = {"pyarrow", "tokenizers", "numba", "hydra", "torch", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""

TypeLine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def type_line(tmp_path: Path) -> TypeLine:
    def type_line(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "data_pipeline.shards", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return type_line


def test_what_the_trainer_imports_of_it_is_light() -> None:
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", LIGHT], check=True, timeout=60, cwd=root)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_can_be_parsed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command_line.parser().parse_args([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    example = re.search(rf"example: python -m data_pipeline\.shards ({command} .*)", shown)
    assert example and command_line.parser().parse_args(example[1].split()).command == command
    assert command in command_line.SUMMARIES


def test_the_defaults_in_the_help_are_those_of_the_rooms() -> None:
    assert tuple(FORMATS) == command_line.FORMATS
    parse = command_line.parser().parse_args
    export = parse(["export", "out", "in", "--format", "llmc"])
    assert export.shard_tokens == SHARD_TOKENS and set(TRAINERS) < set(FORMATS)
    assert parse(["trace", "in", "5"]).around == AROUND
    line = ["import", "out", "f", "--format", "llmc", "--source", "s", "--tokenizer", "t"]
    assert parse(line).eot_token == END_OF_TEXT


def test_out_and_in_again_and_merged(type_line: TypeLine, finished: Path, tmp_path: Path) -> None:
    made = type_line("export", tmp_path / "llmc", finished, "--format", "llmc", "--shard-tokens", "20000")
    assert made.returncode == 0 and "web_train_000001.bin" in made.stdout
    train = sorted((tmp_path / "llmc").glob("web_train_*.bin"))
    line = ["import", tmp_path / "in", *train, "--split", f"val={tmp_path / 'llmc' / 'web_val_000000.bin'}"]
    line += ["--format", "llmc", "--source", "web", "--tokenizer", tmp_path / "llmc" / "tokenizer.json"]
    brought = type_line(*line)
    assert brought.returncode == 0 and re.search(r"^train +web ", brought.stdout, re.MULTILINE)
    merged = type_line("merge", tmp_path / "all", finished, tmp_path / "in", "--rename", f"{tmp_path / 'in'}/web=again")
    assert merged.returncode == 0, merged.stderr
    train_sources = Manifest.load(tmp_path / "all").splits["train"]
    assert set(train_sources) == {"books", "web", "again"}
    assert train_sources["again"].utf8_bytes == train_sources["web"].utf8_bytes
    assert type_line("verify", tmp_path / "all").returncode == 0
    again = type_line("merge", tmp_path / "all", finished)
    assert again.returncode == 2 and "is there already" in again.stderr and "Traceback" not in again.stderr


def test_trace_for_people_and_for_machines(type_line: TypeLine, finished: Path) -> None:
    told = type_line("trace", finished, "train/web_00000:5")
    found = orjson.loads(type_line("trace", finished, "train/web_00000:5", "--json").stdout)
    assert told.returncode == 0
    assert told.stdout.startswith("position   train/web_00000:5, ") and found["document"]["id"] in told.stdout
    wrong = type_line("trace", finished, "nothing:5")
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: nothing:5: train has no shard and no source")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inspect", "{out}", "--documents", "-1"], "--documents -1: give a number from 0"),
        (["inspect", "{out}/manifest.json", "--documents", "1"], "no data folder; name one, or a .bin or .idx"),
        (["merge", "{tmp}/x", "{out}", "--rename", "web=web2"], "--rename web=web2: is not <folder>/<source>=<name>"),
        (["merge", "{tmp}/x", "{out}", "--rename", "{out}/web"], "is not <folder>/<source>=<name>"),
        (["merge", "{tmp}/x", "{out}", "{out}"], "is named twice"),
        (["import", "{tmp}/x", "f", "--split", "test=f"], "--split test=f: is not <split>=<file>"),
        (["import", "{tmp}/x"], "no file to train on"),
    ],
)
def test_what_was_typed_wrongly_is_told(
    type_line: TypeLine, finished: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    rest = ["--format", "llmc", "--source", "s", "--tokenizer", "t"] if words[0] == "import" else []
    refused = type_line(*(word.format(out=finished, tmp=tmp_path) for word in words), *rest)
    assert refused.returncode == 2 and said in refused.stderr and "Traceback" not in refused.stderr
    assert not (tmp_path / "x").exists()
