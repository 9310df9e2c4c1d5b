"""The lines that users type, typed: torchrun launch/train.py and its kin, in processes of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from foundation.files import folder_lock
from pretrain.checkpoint.reading import open_checkpoint
from pretrain.metrics.lines import MACHINE_FIELDS, read_metrics

TRAIN = Path(__file__).parents[2] / "launch" / "train.py"
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.slow


def lines(run_dir: Path) -> list[dict[str, Any]]:
    return list(read_metrics(run_dir / "metrics.jsonl"))


def deterministic(run_dir: Path) -> list[dict[str, Any]]:
    """The lines without what a clock says."""
    return [{key: value for key, value in line.items() if key not in MACHINE_FIELDS} for line in lines(run_dir)]


def same_tensors(one: Path, other: Path) -> None:
    """Every tensor of two checkpoints has the same bytes: they are stored as such, so their files are equal."""
    for folder in (one, other):
        open_checkpoint(folder)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    data = [name for name in names if name.endswith(".bin")]
    assert data
    for name in data:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def wait_for_step(run_dir: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (run_dir / "metrics.jsonl").exists() and lines(run_dir) and lines(run_dir)[-1]["step"] >= step:
            return
        time.sleep(0.02)
    raise AssertionError(f"no step {step} in {run_dir}")


def test_without_shards_the_error_names_the_command_that_makes_them(terminal: Any) -> None:
    text = terminal.torchrun("model=gpt_small", code=1)
    assert "error: data.path: data/pydocs is no folder; make its shards with `python -m data_pipeline`" in text


def test_the_plain_line_takes_the_default_data(terminal: Any, data_dir: Path, tiny: list[str]) -> None:
    terminal.folder = data_dir.parents[1]
    text = terminal.torchrun("model=gpt_small", *tiny[:-1], "trainer.max_steps=3", f"runs_dir={terminal.folder}/plain")
    assert "finished at step 3" in text
    assert "Warning" not in text
    line = lines(terminal.folder / "plain/gpt_small")[-1]
    needed = {"step", "loss", "lr", "grad_norm", "tokens_seen", "tokens_per_s", "step_time_s", "val_loss"}
    assert needed <= set(line)
    assert line["tokens_seen"] == 3 * 8 * 32


def test_a_stop_and_the_same_line_again_give_the_bits_of_a_straight_run(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=120", "eval.every_steps=35", "checkpoint.every_steps=200", "model.dropout=0.1"]
    terminal.type(*run, "run_name=straight", ranks=2)
    started = terminal.start(*run, "run_name=stopped", ranks=2)
    wait_for_step(terminal.folder / "runs/stopped", 10)
    os.kill(started.ranks[0].pid, signal.SIGTERM)
    started.wait()
    status = terminal.status("stopped")
    assert status["status"] == "preempted"
    assert 10 <= status["step"] < 120
    text = terminal.type(*run, "run_name=stopped", ranks=2)
    assert f"from step {status['step']} of 120" in text
    runs = terminal.folder / "runs"
    same_tensors(runs / "straight/checkpoints/step_00000120", runs / "stopped/checkpoints/step_00000120")
    assert deterministic(runs / "straight") == deterministic(runs / "stopped")
    again = terminal.type(*run, "run_name=stopped", ranks=2)
    assert again.count("finished at step 120 already") == 1


def killed(function: str, call: int, after: bool = False) -> str:
    """Return what makes every rank kill itself at the n-th call of a function of the loop, before or after its work."""
    return f"""
import os, signal, pretrain.run, pretrain.train as loop
real, calls = loop.{function}, iter(range(1000))
def then_killed(*arguments, **named):
    last = next(calls) == {call}
    result = real(*arguments, **named) if {after} or not last else None
    return os.kill(os.getpid(), signal.SIGKILL) if last else result
loop.{function} = then_killed
if hasattr(pretrain.run, "{function}"):  # a run that goes on evaluates there
    pretrain.run.{function} = then_killed
"""


def test_kills_and_the_same_line_again_give_the_bits_of_a_straight_run(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=12", "eval.every_steps=4", "checkpoint.every_steps=4"]
    run = [text for text in run if text != "eval.prompts=[]"] + ["eval.prompts=[The]", "eval.max_new_tokens=4"]
    run += ["checkpoint.asynchronous=false"]  # what is on disk at each of these kills is known
    terminal.type(*run, "run_name=straight", ranks=2)
    for kill in (
        killed("forward_backward", 2),  # before the first checkpoint
        killed("save", 0),  # what was computed since the start is lost
        killed("save", 0, after=True),  # between save and evaluation
        killed("evaluate", 0, after=True),  # evaluated, not yet written
        killed("forward_backward", 2),  # evaluated and written: no rank evaluates again, the one that writes or not
        killed("evaluate", 0),  # the one after
        killed("save", 0, after=True),  # after the last step
    ):
        terminal.type(*run, "run_name=killed", ranks=2, before=kill, code=-signal.SIGKILL)
        assert not (terminal.folder / "runs/killed/status.json").exists()
    terminal.type(*run, "run_name=killed", ranks=2)
    runs = terminal.folder / "runs"
    same_tensors(runs / "straight/checkpoints/step_00000012", runs / "killed/checkpoints/step_00000012")
    assert deterministic(runs / "straight") == deterministic(runs / "killed")
    assert [list(line) for line in lines(runs / "straight")] == [list(line) for line in lines(runs / "killed")]
    assert [line["step"] for line in lines(runs / "killed") if "val_loss" in line] == [4, 8, 12]
    assert (runs / "straight/samples.jsonl").read_bytes() == (runs / "killed/samples.jsonl").read_bytes()


def test_a_run_without_its_checkpoints_says_that_it_starts_anew(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=8", "run_name=x"]
    assert "no checkpoint" not in terminal.type(*run, before=killed("forward_backward", 6), code=-signal.SIGKILL)
    assert "no checkpoint in runs/x; starting anew" in terminal.type(*run)
    assert [line["step"] for line in lines(terminal.folder / "runs/x")] == list(range(1, 9))
    assert (terminal.folder / "runs/x/metrics.dropped.jsonl").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_a_worker_saves_and_leaves_when_torchrun_is_killed(terminal: Any, tiny: list[str]) -> None:
    started = terminal.start(*tiny, "trainer.max_steps=100000", "run_name=x")
    wait_for_step(terminal.folder / "runs/x", 3)
    os.kill(started.ranks[0].pid, signal.SIGKILL)
    deadline = time.monotonic() + 120
    while "page: runs/x" not in started.output.read_text():  # the worker's last word
        assert time.monotonic() < deadline, started.output.read_text()
        time.sleep(0.02)
    assert terminal.status("x")["status"] == "preempted"


def test_one_and_two_processes_have_the_same_losses(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=20", "data.mask_after_eot=true"]
    terminal.type(*run, "run_name=one")
    terminal.type(*run, "run_name=two", ranks=2)
    one, two = (lines(terminal.folder / "runs" / name) for name in ("one", "two"))
    assert len(one) == len(two) == 20
    for a, b in zip(one, two, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5)
        assert b["grad_norm"] == pytest.approx(a["grad_norm"], rel=1e-4)
        assert a["tokens_seen"] == b["tokens_seen"] <= a["step"] * 8 * 32
    assert one[-1]["val_loss"] == pytest.approx(two[-1]["val_loss"], rel=1e-5)


def test_another_number_of_ranks_goes_on_with_the_same_samples(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=12", "checkpoint.every_steps=6"]
    terminal.type(*run, "run_name=straight")
    middle = f"resume={terminal.folder}/runs/straight/checkpoints/step_00000006"
    text = terminal.type(*run, "run_name=elsewhere", middle, ranks=2)
    assert "from step 6 of 12" in text
    straight, elsewhere = (lines(terminal.folder / "runs" / name) for name in ("straight", "elsewhere"))
    assert [line["step"] for line in elsewhere] == list(range(6, 13))  # the checkpoint brings its own line along
    for a, b in zip(straight[6:], elsewhere[1:], strict=True):
        assert (a["step"], a["data_step"], a["tokens_seen"]) == (b["step"], b["data_step"], b["tokens_seen"])
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-6 if a["step"] == 7 else 1e-5)


def test_a_restart_by_torchrun_goes_on_whatever_resume_says(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=12", "checkpoint.every_steps=4", "checkpoint.asynchronous=false", "eval=none"]
    run = [text for text in run if not text.startswith("eval.")]
    terminal.type(*run, "run_name=first")
    restarted = terminal.environment | {"TORCHELASTIC_RESTART_COUNT": "1"}
    for name, resume in (("never", "never"), ("path", f"{terminal.folder}/runs/first/checkpoints/step_00000004")):
        line = [*run, f"run_name={name}", f"resume={resume}"]
        terminal.type(*line, before=killed("forward_backward", 5 if name == "path" else 9), code=-signal.SIGKILL)
        terminal.environment, usual = restarted, terminal.environment
        assert "from step 8 of 12" in terminal.type(*line)
        terminal.environment = usual
    assert sorted(path.name for path in (terminal.folder / "runs").iterdir()) == ["first", "never", "path"]


def test_a_run_begun_with_anothers_checkpoint_goes_on_with_its_own(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=12", "checkpoint.every_steps=2", "checkpoint.keep_last=2", "eval=none"]
    run = [*(text for text in run if not text.startswith("eval.")), "checkpoint.asynchronous=false"]
    terminal.type(*run, "run_name=first", before=killed("forward_backward", 3), code=-signal.SIGKILL)
    line = [*run, "run_name=y", f"resume={terminal.folder}/runs/first/checkpoints/step_00000002"]
    terminal.type(*line, before=killed("forward_backward", 7), code=-signal.SIGKILL)
    assert "from step 8 of 12" in terminal.type(*line)
    assert [line["step"] for line in lines(terminal.folder / "runs/y")] == list(range(2, 13))


def test_a_finished_run_goes_back_when_told_to(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "run_name=x", "trainer.max_steps=6", "checkpoint.every_steps=2"]
    terminal.type(*run)
    straight = deterministic(terminal.folder / "runs/x")
    back = [*run, "resume=runs/x/checkpoints/step_00000002"]
    text = terminal.type(*back)
    assert "from step 2 of 6" in text
    assert "finished at step 6:" in text
    assert deterministic(terminal.folder / "runs/x") == straight


def test_a_change_is_refused_allowed_or_begun_anew(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "run_name=x", "trainer.max_steps=2"]
    terminal.type(*run)
    longer = [*run, "trainer.max_steps=4"]
    refused = terminal.type(*longer, ranks=2, code=2)
    assert "step_00000002: what changed since step 2 can't all go on:\n" in refused
    assert "trainer.max_steps  2      4    needs allow_change=[trainer.max_steps]: the length" in refused
    assert "ranks              1      2    free: the same samples in the same batches" in refused
    assert "to go on so: allow_change=[trainer.max_steps]; or choose another run_name=" in refused
    assert "Traceback" not in refused
    assert not (terminal.folder / "runs/x/journal.jsonl").exists()
    text = terminal.type(*longer, "allow_change=[trainer.max_steps]")
    assert "resume: what changed since step 2\n" in text and "allowed by allow_change" in text
    assert "the schedule goes on at step 2 of 4: learning rate 0.00033 in step 2, 0.00033 in step 3" in text
    assert "from step 2 of 4" in text
    (line,) = (orjson.loads(line) for line in (terminal.folder / "runs/x/journal.jsonl").read_bytes().splitlines())
    length = {"key": "trainer.max_steps", "old": 2, "new": 4}
    assert line == {"event": "change", "step": 2, "afresh": [], **length}
    assert "finished at step 4 already" in terminal.type(*longer)
    assert "finished at step 4:" in terminal.type(*longer, "resume=never")
    assert len(lines(terminal.folder / "runs/x.1")) == len(lines(terminal.folder / "runs/x")) == 4


def test_data_made_anew_under_a_run_is_told_finished_or_not(
    terminal: Any, tiny: list[str], data_dir: Path, write_data: Callable[..., None]
) -> None:
    made = terminal.folder / "made"
    shutil.copytree(data_dir, made)
    run = [*(text for text in tiny if not text.startswith("data.path=")), "data.path=made", "run_name=x"]
    terminal.type(*run, "trainer.max_steps=2")
    assert "other shards" not in terminal.type(*run, "trainer.max_steps=2")
    shutil.rmtree(made)
    write_data(made, {"web": ["some other words " * 40] * 9}, {"web": ["and others " * 40]}, vocab_size=262)
    ended = terminal.type(*run, "trainer.max_steps=2")
    assert "finished at step 2 already" in ended
    assert "data.path: made holds other shards now than those runs/x was trained on\n" in ended
    refused = terminal.type(*run, "trainer.max_steps=4", "allow_change=[trainer.max_steps]", code=2)
    row = r"shards of data\.path  pydocs [\d,]+ samples an epoch, no web  +no pydocs, web [\d,]+ samples an epoch,"
    assert re.search(row, refused)


def test_a_folder_in_use_is_left_alone_by_all_ranks(terminal: Any, tiny: list[str]) -> None:
    soon = "import pretrain.run_folder as it; it.LOCK_WAIT_S = 0.2"
    with folder_lock(terminal.folder / "runs/x"):
        text = terminal.type(*tiny, "run_name=x", ranks=2, before=soon, code=2)
    assert f"runs/x: process {os.getpid()} on" in text
    assert "Traceback" not in text


def test_ranks_that_fail_alike_speak_once(terminal: Any, tiny: list[str]) -> None:
    text = terminal.torchrun(*tiny, "trainer.global_batch_size=6", ranks=2, code=1)
    assert len(re.findall("^error: ", text, re.MULTILINE)) == 1
    assert not (terminal.folder / "runs").exists()


def test_a_launcher_starts_the_ranks_of_a_single_run(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "run_name=x", "trainer.max_steps=2", "resume=never"]
    terminal.type(*run)
    assert "on 2 x cpu" in terminal.type(*run, "launcher=torchrun", "launcher.processes=2")
    assert sorted(path.name for path in (terminal.folder / "runs").iterdir()) == ["x", "x.1"]


def test_a_launcher_of_ones_own_trains_once(terminal: Any, tiny: list[str]) -> None:
    (terminal.folder / "mine").mkdir()
    (terminal.folder / "mine/nice.py").write_text("""
import sys
from pretrain.seats import Launcher
class Nice(Launcher):
    in_process = False
    def prefix(self):
        return ["nice", "-n", "1", sys.executable]
""")
    terminal.environment["PYTHONPATH"] = os.pathsep.join([str(terminal.folder), os.environ.get("PYTHONPATH", "")])
    own = ["launcher._target_=mine.nice.Nice", "extra_targets=[mine.]"]
    text = terminal.type(*tiny, "run_name=x", "trainer.max_steps=2", *own, before="import sys; sys.path.insert(0, '.')")
    assert text.count("finished at step 2") == 1


def test_a_run_is_typed_again_from_its_own_config(terminal: Any, tiny: list[str]) -> None:
    terminal.type(*tiny, "run_name=x", "trainer.max_steps=3")
    terminal.type("--config-path", "runs/x", "--config-name", "config", "run_name=y")
    assert deterministic(terminal.folder / "runs/x") == deterministic(terminal.folder / "runs/y")


def test_a_start_that_failed_claims_nothing(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "run_name=x", "trainer.max_steps=2"]
    assert terminal.type(*run, "resume=./nowhere", code=2).count("or type auto or never") == 1
    assert "finished at step 2" in terminal.type(*run, "model.num_layers=1")


def test_shards_cut_short_and_a_foreign_tokenizer_are_named(terminal: Any, tiny: list[str], data_dir: Path) -> None:
    cut, foreign = terminal.folder / "cut", terminal.folder / "foreign"
    shutil.copytree(data_dir, cut)
    shutil.copytree(data_dir, foreign)
    shard = next((cut / "shards/train").glob("*.bin"))
    shard.write_bytes(shard.read_bytes()[:-100])
    tokenizer = foreign / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace(" ", "  ", 1))
    run = [text for text in tiny if not text.startswith("data.path=")]
    assert "pydocs_00000.bin: cut short" in terminal.type(*run, f"data.path={cut}", code=2)
    assert "a tokenizer that is not the shards' own" in terminal.type(*run, f"data.path={foreign}", code=2)
    assert not (terminal.folder / "runs").exists()


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("trainer.grad_accum_steps=4", ["trainer.grad_accum_steps", "global_batch_size", "micro_batch_size"]),
        ("trainer.global_batch_size=7", ["trainer.global_batch_size: 7", "2 x 1 = 2", "6, 8"]),
        ("model.num_heads=3", ["model.num_heads: 3 is not allowed; give a divisor of d_model, which is 32"]),
        ("trainer.seq_len=65", ["65 tokens are more than model.context_len=64"]),
        ("optim.lrr=1", ["optim.lrr: unknown key", "did you mean 'optim.lr'"]),
        (
            "launcher.processes=2",
            ["launcher is inline here; launcher=local and launcher=torchrun have launcher.processes"],
        ),
        ("optim.lr=fast", ["optim.lr: 'fast'", "a number"]),
        ("modle=gpt_small", ["modle: unknown key", "did you mean 'model'"]),
        ("model=gpt_smal", ["model: 'gpt_smal' is no option", "did you mean 'gpt_small'"]),
        ("schedule.warmup_steps=100", ["schedule.warmup_steps", "100"]),
        ("trainer.seq_len=010", ["trainer.seq_len", "010"]),
        ("spike._target_=os.system", ["spike._target_", "os.system"]),
        (
            "launcher._target_=pretrain.checkpoint.integrity.remove",
            ["launcher._target_: 'pretrain.checkpoint.integrity.remove' is not a pretrain.seats.Launcher"],
        ),
        (
            "trainer.max_tokens=9",
            [
                "trainer.max_steps: 2 is set, and max_tokens=9 as well",
                "add trainer.max_steps=null or trainer.max_tokens=null",
            ],
        ),
        ("run_name=../evil", ["run_name: '../evil' is no name of a folder inside runs_dir", "sweep/try_1"]),
        ("resume=true", ["resume: true is none of auto (goes on", "never (begins anew) or a checkpoint's folder"]),
        ("resume=100", ["resume: 100 is none of auto"]),
        ("runs_dir=/proc/none", ["runs_dir: /proc/none/gpt_small: can't be made or written"]),
    ],
)
def test_a_mistake_is_answered_with_what_to_do(terminal: Any, tiny: list[str], override: str, parts: list[str]) -> None:
    arguments = [*tiny, "trainer.max_steps=2", override] if not override.startswith("model=") else [override]
    text = terminal.type(*arguments, code=2)
    for part in parts:
        assert part in text
    assert "Traceback" not in text
    assert not (terminal.folder / "runs").exists()
