from __future__ import annotations

import dataclasses
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.shards.manifest import Manifest
from data_pipeline.tokenize.bpe import ByteLevelBPE
from foundation.errors import GroundworkError, InputError
from foundation.hashes import hash_bytes
from launch.continuation import continuation, load
from launch.generate import main
from launch.generate_line import GenerateError, Settings, parse, read_prompt
from pretrain.checkpoint.errors import CheckpointError
from pretrain.evaluate.sampling import generate
from pretrain.parallel.precision import Precision

CPU = torch.device("cpu")
REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = [
    "model=gpt_tiny",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.d_model=32",
    "model.context_len=64",
]  # longer than seq_len
TRAINER = ["trainer.seq_len=32", "trainer.global_batch_size=2", "trainer.micro_batch_size=2", "trainer.max_steps=4"]
QUIET = ["eval=none", "logger=none", "checkpoint.every_steps=2"]
HOSTILE = 'a=1,{b: [c]} ${now:%Y} "q" \\ <|endoftext|> 世界 ~x @y #z'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, typed: Any, write_data: Callable[..., None]) -> Path:
    """A folder where someone has trained: data/ and runs/tiny with the checkpoints of steps 2 and 4."""
    folder = tmp_path_factory.mktemp("work")
    text = [" ".join(f"{word} {number * number}" for number in range(60)) for word in ("apples", "pears", "figs")]
    write_data(folder / "data", {"text": text}, {"text": text}, vocab_size=300)
    line = ["data.path=data", "run_name=tiny", *MODEL, *TRAINER, *QUIET]
    code, text = typed.start(REPOSITORY / "launch" / "train.py", line, folder, dict(os.environ)).wait()
    assert code == 0, text
    return folder


@pytest.fixture
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def generated(arguments: list[str]) -> list[str]:
    settings = parse(["device=cpu", *arguments])
    trained, prompt = load(settings, CPU), read_prompt(settings)
    return [continuation(trained, prompt, settings, seed, CPU) for seed in settings.seeds]


@given(prompt=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_prompt_is_taken_as_it_is(prompt: str) -> None:
    settings = parse(["run=r", f"prompt={prompt}"])
    assert settings.prompt == prompt
    if prompt != "-":
        assert read_prompt(settings) == prompt


def test_every_setting_is_read() -> None:
    words = "run=a/b temperature=0 top_k=null top_p=0.5 seed=7 max_new_tokens=9 num_samples=2 checkpoint=c data.path=d"
    words += " extra_targets=[mine.]"
    expected = Settings(
        run=Path("a/b"),
        temperature=0.0,
        top_k=None,
        top_p=0.5,
        seed=7,
        max_new_tokens=9,
        num_samples=2,
        checkpoint=Path("c"),
        data_path=Path("d"),
        extra_targets=("mine.",),
    )
    assert parse(words.split()) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run=r", "temprature=1"], "temprature: unknown key, did you mean 'temperature'"),
        (["run=r", "Hello", "world"], "a prompt with spaces needs quotes"),
        (["run=r", "seed=1", "seed=2"], "seed: given twice"),
        (["run=r", "top_k=five"], "top_k: 'five' is not an integer"),
        (["run=r", "top_p=much"], "top_p: 'much' is not a number"),
        (["run=r", "device=gpu"], "device: 'gpu' is not one of auto, cuda, mps, cpu"),
        (["run=r", "num_samples=0"], "num_samples: 0 is not at least 1"),
        (["run=r", "prompt=a", "prompt_file=b"], "both given"),
        (["prompt=a"], "run: missing"),
        (["run="], "run: is empty"),
        (["run=r", "seed=99999999999999999999"], "seed: 99999999999999999999 is beyond 64 bits"),
        (["run=r", "prompt=a\udcffb"], "prompt: is no valid UTF-8 .*; give it in a file: prompt_file="),
    ],
)
def test_what_cannot_be_followed_is_refused_by_its_key(arguments: list[str], words: str) -> None:
    with pytest.raises(GenerateError, match=words):
        parse(arguments)


def test_a_prompt_from_a_file_and_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prompt.txt"
    path.write_bytes(f"{HOSTILE}\r\n".encode())
    assert read_prompt(parse(["run=r", f"prompt_file={path}"])) == f"{HOSTILE}\r\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert read_prompt(parse(["run=r", "prompt=-"])) == f"{HOSTILE}\r\n"
    path.write_bytes(b"one\ntwo \xff\n")
    with pytest.raises(InputError, match=r"prompt\.txt:2: not valid UTF-8"):
        read_prompt(parse(["run=r", f"prompt_file={path}"]))
    with pytest.raises(InputError, match="is no file"):
        read_prompt(parse(["run=r", f"prompt_file={tmp_path / 'none'}"]))


@pytest.mark.slow
def test_the_command_writes_prompt_and_continuation(there: Path) -> None:
    arguments = ["run=runs/tiny", f"prompt={HOSTILE}", "max_new_tokens=12", "seed=5", "device=cpu"]
    command = [sys.executable, str(REPOSITORY / "launch" / "generate.py"), *arguments]
    done = subprocess.run(command, cwd=there, check=True, capture_output=True, timeout=60)
    text = done.stdout.decode()
    assert text.startswith(HOSTILE)
    assert len(text) > len(HOSTILE) + 1
    assert text == generated(arguments[:-1])[0] + "\n"
    assert b"step_00000004" in done.stderr


@pytest.mark.slow
def test_greedy_is_the_likeliest_token_each_time(there: Path) -> None:
    settings = parse(["run=runs/tiny", "prompt=apples 1", "temperature=0", "max_new_tokens=40"])
    trained = load(settings, CPU)
    ids = trained.tokenizer.encode("apples 1")
    for _ in range(40):
        with torch.no_grad():
            logits_V = trained.model(torch.tensor([ids[-32:]]))[0, -1, : trained.tokenizer.vocab_size]
        ids.append(int(logits_V.argmax()))
        if ids[-1] == trained.tokenizer.eot_id:
            ids.pop()
            break
    assert continuation(trained, "apples 1", settings, 0, CPU) == trained.tokenizer.decode(ids)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_computes_in_what_the_model_was_trained_in(there: Path, dtype: str) -> None:
    settings = parse(["run=runs/tiny", "prompt=figs", "max_new_tokens=1"])
    trained, seen = dataclasses.replace(load(settings, CPU), numerics=Precision(dtype)), set[tuple[bool, bool]]()
    model = trained.model
    model.register_forward_pre_hook(lambda *_: seen.add((torch.is_autocast_enabled("cpu"), model.training)))
    continuation(trained, "figs", settings, 0, CPU)
    assert seen == {(dtype == "bfloat16", False)}


@pytest.mark.slow
def test_the_text_is_heard_token_by_token_and_is_that_of_the_whole(there: Path) -> None:
    settings = parse(["run=runs/tiny", "prompt=世界 figs", "temperature=3", "top_k=null", "max_new_tokens=200"])
    trained, heard = load(settings, CPU), list[str]()
    drawn = list[int]()
    text = continuation(trained, "世界 figs", settings, 3, CPU, on_text=heard.append)
    assert heard[0] == "世界 figs"
    assert len(heard) > 20
    assert "".join(heard) == text
    ids = trained.tokenizer.encode("世界 figs")
    generate(
        trained.model, ids, max_new_tokens=200, temperature=3.0, top_k=None, top_p=None, seed=3, context_len=32,
        vocab_size=trained.tokenizer.vocab_size, stop_id=trained.tokenizer.eot_id, on_token=drawn.append,
    )  # fmt: skip
    assert text == trained.tokenizer.decode(ids + drawn)  # most draws are single bytes: no UTF-8, or parts of it
    assert "\ufffd" in text


@pytest.mark.slow
def test_a_run_is_read_from_another_folder_without_its_data(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    here = generated(["run=runs/tiny", "prompt=figs"])
    shutil.copytree(folder / "runs/tiny", tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert generated(["run=moved", "prompt=figs"]) == here


@pytest.mark.slow
def test_samples_are_numbered_by_their_seeds(there: Path) -> None:
    three = generated(["run=runs/tiny", "prompt=figs", "num_samples=3", "seed=10"])
    assert len(set(three)) == 3
    assert three[1:] == generated(["run=runs/tiny", "prompt=figs", "num_samples=2", "seed=11"])


@pytest.mark.slow
def test_the_command_draws_each_sample_with_its_own_seed(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run=runs/tiny", "prompt=figs", "num_samples=2", "seed=10", "device=cpu"]
    monkeypatch.setattr(sys, "argv", ["generate.py", *arguments])
    main()
    first, second = generated(arguments[:-1])
    assert first != second
    expected = f"--- 1 of 2, seed 10 ---\n{first}\n--- 2 of 2, seed 11 ---\n{second}\n"
    assert capsys.readouterr().out == expected


@pytest.mark.slow
def test_without_a_prompt_it_begins_a_text(there: Path) -> None:
    text = generated(["run=runs/tiny", "max_new_tokens=5"])[0]
    assert text
    assert "<|endoftext|>" not in text


@pytest.mark.slow
def test_checkpoints_differ_and_a_damaged_one_is_passed_over(there: Path) -> None:
    arguments = ["run=runs/tiny", "prompt=figs", "temperature=1.0", "top_k=null"]
    newest, older = (generated([*arguments, f"checkpoint=runs/tiny/checkpoints/step_0000000{n}"]) for n in (4, 2))
    assert generated(arguments) == newest != older
    tensors = max((there / "runs/tiny/checkpoints/step_00000004").iterdir(), key=lambda path: path.stat().st_size)
    intact = tensors.read_bytes()
    try:
        tensors.write_bytes(intact[:100] + bytes([intact[100] ^ 1]) + intact[101:])
        assert generated(arguments) == older
        with pytest.raises(GroundworkError):
            generated([*arguments, "checkpoint=runs/tiny/checkpoints/step_00000004"])
    finally:
        tensors.write_bytes(intact)


@pytest.mark.slow
def test_what_is_not_there_is_named(there: Path, tmp_path: Path) -> None:
    with pytest.raises(GenerateError, match="did you mean 'runs/tiny'"):
        generated(["run=runs/tidy"])
    with pytest.raises(GenerateError, match=r"data\.path: .* is no folder here"):
        generated(["run=runs/tiny", f"data.path={tmp_path / 'gone'}"])
    there_are = "runs/tiny/checkpoints/step_00000004, runs/tiny/checkpoints/step_00000002"
    for missing in ("60", "runs/tiny/checkpoints/step_00000003"):
        message = f"^checkpoint: {missing} is not there; .*; name one of {there_are}, or leave it out for the newest"
        with pytest.raises(CheckpointError, match=message):
            generated(["run=runs/tiny", f"checkpoint={missing}"])


@pytest.mark.slow
def test_what_is_of_a_users_own_package_is_asked_for_only_where_it_is_built(there: Path, tmp_path: Path) -> None:
    shutil.copytree(there / "runs/tiny", tmp_path / "own")
    config = tmp_path / "own/config.yaml"
    expected = generated(["run=runs/tiny", "max_new_tokens=9"])
    config.write_text(config.read_text().replace("pretrain.metrics.loggers.NoLogger", "mine.csv_file.Csv"))
    assert "mine.csv_file.Csv" in config.read_text()
    assert generated([f"run={tmp_path / 'own'}", "max_new_tokens=9"]) == expected
    own_model = "tests_own_model.Transformer"
    config.write_text(config.read_text().replace("pretrain.model.transformer.Transformer", own_model))
    with pytest.raises(GroundworkError, match=r"model\._target_: .*extra_targets=\["):
        generated([f"run={tmp_path / 'own'}"])
    (tmp_path / "tests_own_model.py").write_text(
        "import pretrain.model.transformer as ours\n\n\nclass Transformer(ours.Transformer):\n    pass\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        own = [f"run={tmp_path / 'own'}", "extra_targets=[tests_own_model.]", "max_new_tokens=9"]
        assert generated(own) == expected
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.slow
def test_another_tokenizer_is_refused(there: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(there / "data")
    other = ByteLevelBPE(vocab_size=270).train(iter(["other words, other pairs " * 20]))
    (tmp_path / "tokenizer.json").write_bytes(other)
    Manifest(hash_bytes(other), manifest.vocab_size, manifest.eot_id, manifest.dtype, manifest.splits).save(tmp_path)
    with pytest.raises(GenerateError, match="has another tokenizer"):
        generated(["run=runs/tiny", f"data.path={tmp_path}"])


@pytest.mark.parametrize("setting", ["max_new_tokens=-1", "temperature=-1", "top_k=0", "top_p=2"])
def test_how_to_draw_is_checked_before_a_model_is_loaded(
    setting: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["generate.py", "run=nowhere", "prompt=x", setting])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {setting.partition('=')[0]}: ")
    assert said.out == ""


def test_a_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("launch.generate.generate", interrupted)
    monkeypatch.setattr(sys, "argv", ["generate.py", "run=nowhere", "prompt=x"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "\n"
