"""The README holds what it says: its notebook runs as written, its lines are lines that the commands take."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from data_pipeline.classifier.train import check_config as check_classifier
from data_pipeline.compare_tokenizers.compare import check_config as check_comparing
from data_pipeline.pipeline import check_config as check_pipeline
from data_pipeline.shards.command_line import parser as shards_parser
from data_pipeline.storage import write_removed
from foundation.config import DEFAULT_TARGETS
from foundation.config.compose import plain
from launch.generate_line import parse
from pretrain.main import check_config as check_train
from tests.lines import Lines

REPOSITORY = Path(__file__).parents[1]
TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
TYPED = [line for language, block in BLOCKS if not language for line in block.replace("\\\n", "").splitlines()]
TRAINING = [line for line in TYPED if "launch/train.py" in line]
PIPELINE = [line for line in TYPED if line.startswith("python -m data_pipeline ") and "extra_targets" not in line]
CLASSIFIER = [line for line in TYPED if line.startswith("python -m data_pipeline.classifier")]
SHARDS = [line for line in TYPED if line.startswith("python -m data_pipeline.shards")]
COMPARING = [line for line in TYPED if line.startswith("python -m data_pipeline.compare_tokenizers")]
SETTINGS = re.findall(r"`([^`]+=[^`]*)`", "".join(re.findall(r"^\| (`.*?) \|", TEXT.partition("## Training")[2], re.M)))


@functools.cache
def checked(root: str, words: tuple[str, ...]) -> None:
    """Compose and check every combination of values, as the command would before it does anything."""
    for word in OverridesParser.create().parse_overrides([word for word in words if "=" in word]):
        for value in word.sweep_string_iterator() if word.is_sweep_override() else [None]:
            one = word.input_line if value is None else f"{word.get_key_element()}={value}"
            rest = [text for text in words if "=" in text and text != word.input_line and "," not in text]
            name = "run_name=x" if root == "train" else "name=x"
            with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
                tree = plain(compose(root, [name, *rest, one]))
            (check_train if root == "train" else check_pipeline)(tree, DEFAULT_TARGETS)


@pytest.mark.parametrize("line", TRAINING)
def test_a_line_of_training_is_taken(line: str) -> None:
    words = shlex.split(line, comments=True)
    assert (REPOSITORY / "launch/train.py").exists()
    arguments = words[words.index("launch/train.py") + 1 :]
    if "--config-path" not in arguments:
        checked("train", tuple(arguments))


@pytest.mark.parametrize("line", PIPELINE)
def test_a_line_of_the_pipeline_is_taken(line: str) -> None:
    checked("pipeline", tuple(shlex.split(line, comments=True)[3:]))


@pytest.mark.parametrize("line", CLASSIFIER)
def test_a_line_of_the_classifier_is_taken(line: str) -> None:
    typed = shlex.split(line, comments=True)[3:]
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        check_classifier(plain(compose("classifier", typed)), typed, DEFAULT_TARGETS)


@pytest.mark.parametrize("line", SHARDS)
def test_a_line_of_the_shards_is_taken(line: str) -> None:
    shards_parser().parse_args(shlex.split(line, comments=True)[3:])


@pytest.mark.parametrize("line", COMPARING)
def test_a_line_that_compares_tokenizers_is_taken(line: str) -> None:
    typed = shlex.split(line, comments=True)[3:]
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        check_comparing(plain(compose("compare_tokenizers", typed)), {"corpus": "jsonl"}, typed, DEFAULT_TARGETS)


def test_a_line_of_generation_is_taken() -> None:
    lines = [line for line in TYPED if "launch/generate.py" in line]
    assert lines
    for line in lines:
        parse(shlex.split(line, comments=True)[2:])


def test_there_are_lines_to_test() -> None:
    assert len(TRAINING) >= 6
    assert len(PIPELINE) >= 3
    assert len(SHARDS) >= 6 and COMPARING


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_of_the_training_exists(setting: str) -> None:
    key, _, value = setting.partition("=")
    checked("train", (setting if value else "run_name=x",))
    node, _, name = f"tree.{key}".rpartition(".")
    assert name in OmegaConf.select(OmegaConf.create({"tree": usual()}), node)


@functools.cache
def usual() -> DictConfig:
    """Return the config of training as it is composed where nothing is typed."""
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        return compose("train")


@pytest.mark.slow
def test_the_notebook_runs_as_written(data_dir: Path, tmp_path: Path, one_thread: dict[str, str], typed: Lines) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "loss.backward()" in block]
    code += "\nassert loss.item() < 12 and all(p.grad is not None for p in model.parameters())"
    (tmp_path / "notebook.py").write_text(code)
    found, text = typed.start(tmp_path / "notebook.py", [], data_dir.parents[1], one_thread).wait()
    assert found == 0, text


def test_removed_documents_are_read_as_written(tmp_path: Path) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "removed/near" in block]
    for part in ("00000-00000", "00001-00000"):
        place = {"id": part, "source": "web", "file": "a.jsonl", "row": 0}
        row = {**place, "stage": "near", "reason": "near_duplicate", "snippet": "the"}
        write_removed(tmp_path / "data/pydocs/removed/near" / f"{part}.parquet", [row])
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "'reason': 'near_duplicate'" in shown and "'kept_snippet'" in shown


@pytest.mark.slow
def test_a_rule_of_ones_own_works_as_written(tmp_path: Path) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "class Lorem" in block]
    (tmp_path / "my_rules.py").write_text(code)
    numbers = itertools.count()
    texts = [" ".join(f"the word{next(numbers) % 997} of that" for _ in range(40)) + "." for _ in range(60)]
    records = ({"text": text + " lorem" * (place < 2)} for place, text in enumerate(texts))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (typed,) = [line for line in TYPED if "extra_targets" in line]
    small = "mix.held_out_frac=0.2 tokenizer.vocab_size=300 executor.workers=1"
    rest = f"corpus=jsonl corpus.paths=a.jsonl name=a dedup=none {small}"
    subprocess.run([sys.executable, *shlex.split(f"{typed} {rest}")[1:]], cwd=tmp_path, check=True, timeout=120)
    assert json.loads((tmp_path / "data/a/ledger.json").read_text())["stages"]["filter"]["a"]["dropped"] == {"lorem": 2}


@pytest.mark.slow
def test_signatures_go_to_datasketch_and_come_back_as_written(tmp_path: Path) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "LeanMinHash(" in block]
    (looked_at,) = [block for language, block in BLOCKS if language == "python" and "clusters/near" in block]
    texts = [" ".join(f"Word{i * place % 89}" for place in range(7, 60)) for i in range(1, 41)]
    texts += [f"{text} and one more" for text in texts[:3]]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    small = "clean=none mix.held_out_frac=0.2 tokenizer.vocab_size=300 executor.workers=1 decontaminate=none"

    def pipe(name: str, more: str) -> str:
        line = f"-m data_pipeline corpus=jsonl corpus.paths=a.jsonl name={name} dedup.engine=compatible {more} {small}"
        command = [sys.executable, *shlex.split(line)]
        done = subprocess.run(command, cwd=tmp_path, check=True, timeout=120, capture_output=True, text=True)
        return done.stderr

    pipe("web", "dedup.save_signatures=true")
    check = f"""
texts = {texts!r}
assert len(sketches) == len(texts)
for text, sketch in zip(texts, sketches):
    words = text.lower().split()
    theirs = datasketch.MinHash(num_perm=128)
    theirs.update_batch([" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)])
    assert sketch == datasketch.LeanMinHash(theirs)
"""
    subprocess.run([sys.executable, "-c", code + check], cwd=tmp_path, check=True, timeout=120)
    said = pipe("again", "dedup.signatures=mine.parquet")
    assert "exact: 43 of 43 documents have a stored signature; 43 of these were signed anew" in said
    shown = [sys.executable, "-c", looked_at.replace("pydocs", "web")]
    lines = subprocess.run(shown, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) >= 2
    assert any(" went for " in line for line in lines) and any(" kept " in line for line in lines)


@pytest.mark.slow
def test_a_run_is_loaded_and_exported_as_written(
    tiny: list[str], tmp_path: Path, one_thread: dict[str, str], typed: Lines
) -> None:
    line = [*tiny, "run_name=gpt_small", "trainer.max_steps=2"]
    code, text = typed.start(REPOSITORY / "launch/train.py", line, tmp_path, one_thread).wait()
    assert code == 0, text
    (code,) = [block for language, block in BLOCKS if language == "python" and "to_huggingface_state" in block]
    code += "\nassert state['lm_head.weight'].shape[0] == trained.tokenizer.vocab_size"
    (tmp_path / "written.py").write_text(code)
    found, text = typed.start(tmp_path / "written.py", [], tmp_path, one_thread).wait()
    assert found == 0, text
