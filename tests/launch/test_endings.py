"""How a run ends, whatever ended it: its exit code, its status.json, and what the same line does next."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.shards.manifest import Manifest
from pretrain.checkpoint.reading import open_checkpoint
from pretrain.json_lines import read_lines
from pretrain.metrics.lines import MACHINE_FIELDS, read_metrics

TRAIN = Path(__file__).parents[2] / "launch" / "train.py"

pytestmark = pytest.mark.slow
Type = Callable[..., str]


@pytest.fixture
def type_line(tmp_path: Path, one_thread: dict[str, str], typed: Any) -> Type:
    """Type launch/train.py with arguments, in an empty folder; return what all ranks printed."""

    def type_it(*arguments: str, code: int = 0, restarts: int = 0, **how: Any) -> str:
        environment = one_thread | {"TORCHELASTIC_RESTART_COUNT": str(restarts)}
        found, text = typed.start(TRAIN, arguments, tmp_path, environment, **how).wait()
        assert found == code, text
        return str(text)

    return type_it


def status(run_dir: Path) -> dict[str, Any]:
    return dict(json.loads((run_dir / "status.json").read_text()))


def lines(run_dir: Path) -> list[dict[str, Any]]:
    """The lines without what a clock says."""
    return [
        {key: value for key, value in line.items() if key not in MACHINE_FIELDS}
        for line in read_metrics(run_dir / "metrics.jsonl")
    ]


def test_the_guards_stop_is_saved_told_and_not_restarted(type_line: Type, tmp_path: Path, tiny: list[str]) -> None:
    run = [*tiny, "run_name=x", "trainer.max_steps=20", "spike.max_skips_in_row=2", "checkpoint.every_steps=100"]
    broken = """
import itertools, pretrain.train as loop
real, calls = loop.norm_of_gradients, itertools.count()
loop.norm_of_gradients = lambda model: real(model) * (float("nan") if next(calls) >= 6 else 1.0)
"""
    text = type_line(*run, ranks=2, before=broken, code=3)
    assert "stopped at step 11: 3 steps in a row were skipped, spike.max_skips_in_row=2, up to step 9; none" in text
    ended = status(tmp_path / "runs/x")
    assert (ended["status"], ended["step"]) == ("stopped", 11)
    assert "spike.max_skips_in_row=2" in ended["reason"]
    assert open_checkpoint(tmp_path / "runs/x/checkpoints/step_00000011").facts["num_updates"] == 6
    assert "from step" not in type_line(*run, ranks=2, restarts=1, code=3)  # torchrun restarts whoever leaves with 3
    assert status(tmp_path / "runs/x") == ended
    assert "from step 11 of 20" in type_line(*run, ranks=2)
    found = lines(tmp_path / "runs/x")
    assert [line["step"] for line in found] == list(range(1, 21))
    assert [line["step"] for line in found if line["skipped"]] == [7, 8, 9, 10, 11]
    assert found[-1]["num_updates"] == 15


def test_a_run_that_skipped_steps_says_so_at_its_end(terminal: Any, tiny: list[str]) -> None:
    broken = """
import itertools, pretrain.train as loop
real, calls = loop.norm_of_gradients, itertools.count()
loop.norm_of_gradients = lambda model: real(model) * (float("inf") if next(calls) in (2, 3) else 1.0)
"""
    text = terminal.type(*tiny, "run_name=x", "trainer.max_steps=6", before=broken)
    assert len(re.findall(r"^step +[34]/6 .*SKIPPED: grad norm inf$", text, re.MULTILINE)) == 2
    told = "all steps of the plan are done; 2 of them were skipped and changed no weight: journal.jsonl says why"
    assert f"finished at step 6: {told}\n" in text
    assert status(terminal.folder / "runs/x")["reason"] == told
    reasons = [line["reason"] for line in read_lines(terminal.folder / "runs/x/journal.jsonl")]
    assert reasons == ["gradient norm not finite"] * 2


def test_one_skipped_step_is_told_as_one(terminal: Any, tiny: list[str]) -> None:
    broken = """
import itertools, pretrain.train as loop
real, calls = loop.norm_of_gradients, itertools.count()
loop.norm_of_gradients = lambda model: real(model) * (float("inf") if next(calls) == 1 else 1.0)
"""
    text = terminal.type(*tiny, "run_name=x", "trainer.max_steps=3", before=broken)
    assert (
        "all steps of the plan are done; one of them was skipped and changed no weight: journal.jsonl says why" in text
    )


def test_an_error_of_ours_is_shown_whole_and_written_down(type_line: Type, tmp_path: Path, tiny: list[str]) -> None:
    broken = "import pretrain.main as it; it.train = lambda run: 1 / 0"
    text = type_line(*tiny, "run_name=x", before=broken, code=1)
    assert "Traceback" in text
    assert "in <lambda>" in text
    ended = status(tmp_path / "runs/x")
    assert (ended["status"], ended["reason"]) == ("failed", "ZeroDivisionError: division by zero")
    killed = "import os, pretrain.main as it; it.train = lambda run: os.kill(os.getpid(), 9)"
    type_line(*tiny, "run_name=x", before=killed, code=-9)
    assert not (tmp_path / "runs/x/status.json").exists()  # how it ended before is no answer any more


@pytest.mark.parametrize(("ranks", "failing", "code"), [(1, 0, 1), (2, 0, 2), (2, 1, 2)])
def test_a_run_that_fails_in_a_step_says_so_and_has_the_lines_before(
    type_line: Type, tmp_path: Path, tiny: list[str], ranks: int, failing: int, code: int
) -> None:
    broken = f"""
import itertools, os, pretrain.train as loop
real, calls = loop.forward_backward, itertools.count()
fails = os.environ.get("RANK", "0") == "{failing}"
loop.forward_backward = lambda *given: 1 / (not fails or next(calls) - 4) and real(*given)
"""
    line = [*tiny, "run_name=x", "trainer.max_steps=20", "trainer.preflight=none"]
    text = type_line(*line, before=broken, code=code, ranks=ranks)
    assert "failed after step 4, in step 5: the error follows" in text
    assert status(tmp_path / "runs/x")["step"] == 4
    assert [line["step"] for line in lines(tmp_path / "runs/x")] == [1, 2, 3, 4]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_that_one_rank_hears_stops_all(type_line: Type, tmp_path: Path, tiny: list[str], rank: int) -> None:
    heard = f"""
import itertools, os, pretrain.train as loop
real, calls = loop.forward_backward, itertools.count()
def hear(run, batches):
    run.signal.requested |= next(calls) == 5 and os.environ["RANK"] == "{rank}"
    return real(run, batches)
loop.forward_backward = hear
"""
    text = type_line(*tiny, "run_name=x", "trainer.max_steps=20", ranks=2, before=heard)
    assert "step 5: stopped by a signal; the state is saved, the same line goes on" in text
    assert status(tmp_path / "runs/x")["step"] == 5
    assert "from step 5 of 20" in type_line(*tiny, "run_name=x", "trainer.max_steps=20", ranks=2)


LEFT = "stopped without saving: typed again, a run goes on from its last checkpoint, or begins anew without one\n"


def signalled(numbers: str, step: int) -> str:
    """Return what sends the process signals at the start of a step, a second one later than an echo would come."""
    return f"""
import os, signal, time, pretrain.signals, pretrain.train as loop
pretrain.signals.ECHO_S = 0.05
real, calls = loop.forward_backward, iter(range(1000))
def then_asked(*arguments):
    if next(calls) == {step}:
        for number in [{numbers}]:
            os.kill(os.getpid(), number)
            time.sleep(0.1)
    return real(*arguments)
loop.forward_backward = then_asked
"""


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [("SIGINT", 130, "Ctrl-C"), ("SIGTERM", 0, "SIGTERM"), ("SIGHUP", 0, r"a closed terminal (SIGHUP)")],
)
def test_what_stands_behind_a_run_does_not_follow_a_ctrl_c(
    terminal: Any, tiny: list[str], number: str, code: int, words: str
) -> None:
    run = [*tiny, "run_name=x", "trainer.max_steps=9"]
    text = terminal.type(*run, before=signalled(f"signal.{number}", 3), code=code)
    assert f"step 3: stopped by {words}; the state is saved, the same line goes on" in text
    ended = status(terminal.folder / "runs/x")
    assert (ended["status"], ended["step"]) == ("preempted", 3)
    assert f"Step 3: stopped by {words}" in (terminal.folder / "runs/x/report.html").read_text()
    assert "from step 3 of 9" in terminal.type(*run)


@pytest.mark.parametrize("launcher", ["inline", "local"])
def test_a_terminal_that_is_closed_stops_the_run_with_its_state_saved(
    terminal: Any, tiny: list[str], launcher: str
) -> None:
    ranks = [] if launcher == "inline" else ["launcher.processes=1"]
    run = [*tiny, "run_name=x", "trainer.max_steps=3000", f"launcher={launcher}", *ranks]
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    line, how = [sys.executable, str(TRAIN), *run], {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    process = subprocess.Popen(
        line, cwd=terminal.folder, env=terminal.environment, preexec_fn=own_terminal, pass_fds=(theirs,), **how
    )
    os.close(theirs)
    shown = b""
    while not re.search(rb"step +\d+/3,000", shown):
        shown += os.read(ours, 10_000)  # an error when the run has ended
    os.close(ours)
    assert process.wait(120) == 0
    ended = status(terminal.folder / "runs/x")
    assert ended["reason"] == "stopped by a closed terminal (SIGHUP); the state is saved, the same line goes on"
    assert f"step_{ended['step']:08d}" in {path.name for path in (terminal.folder / "runs/x/checkpoints").iterdir()}


def test_a_second_ctrl_c_leaves_without_a_traceback(terminal: Any, tiny: list[str]) -> None:
    # a save that goes on beside the steps would be given up by the second one
    run = [*tiny, "run_name=x", "trainer.max_steps=9", "checkpoint.every_steps=2", "checkpoint.asynchronous=false"]
    text = terminal.type(*run, before=signalled("signal.SIGINT, signal.SIGINT", 3), code=130)
    assert "Traceback" not in text
    assert "the error follows" not in text
    assert text.endswith(LEFT)
    ended = status(terminal.folder / "runs/x")
    assert ended["status"] == "preempted"
    assert ended["reason"] == "stopped by a second Ctrl-C; nothing was saved after the last checkpoint"
    assert "from step 2 of 9" in terminal.type(*run)


def test_a_second_ctrl_c_of_a_run_without_checkpoints_promises_none(terminal: Any, tiny: list[str]) -> None:
    run = [*(text for text in tiny if "checkpoint" not in text), "run_name=x", "trainer.max_steps=9", "checkpoint=none"]
    text = terminal.type(*run, before=signalled("signal.SIGINT, signal.SIGINT", 3), code=130)
    assert text.endswith(LEFT)
    assert "starting anew" in terminal.type(*run)


def test_a_ctrl_c_before_the_training_is_no_traceback(terminal: Any, tiny: list[str]) -> None:
    early = """
import foundation.config.compose as it
def interrupted(*_):
    raise KeyboardInterrupt
it.CommandLine.__init__ = interrupted
"""
    text = terminal.type(*tiny, before=early, code=130)
    assert text == LEFT


def test_what_rank_0_was_told_holds_for_all(type_line: Type, tmp_path: Path, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=3", "run_name=x"]
    other = (
        "import os, sys\nif os.environ['RANK'] == '1': sys.argv += ['optim.lr=0.5', 'seed=3', 'trainer.max_steps=2']"
    )
    type_line(*run, "runs_dir=same", ranks=2)
    type_line(*run, "runs_dir=other", ranks=2, before=other)
    assert lines(tmp_path / "same/x") == lines(tmp_path / "other/x")


def test_a_page_that_cannot_be_written_fails_no_run(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "run_name=x", "trainer.max_steps=2"]
    torn = """
import pathlib, pretrain.main as it
real = it.train
def train_beside_a_broken_file(run):
    status = real(run)
    pathlib.Path("runs/x/samples.jsonl").write_text('{"step": "one"}\\n')
    return status
it.train = train_beside_a_broken_file
"""
    text = terminal.type(*run, before=torn)
    assert "runs/x: the page failed at the end (" in text
    assert status(terminal.folder / "runs/x")["status"] == "finished"


def failing_on(rank: int, step: int) -> str:
    """Return what makes one rank meet an error of its own in a step."""
    return f"""
import os, pretrain.train as loop
from foundation.errors import InputError
real, calls = loop.forward_backward, iter(range(1000))
def fails(*arguments):
    if next(calls) == {step} and os.environ["RANK"] == "{rank}":
        raise InputError("shard 7: byte 4096 is not what was written; restore it")
    return real(*arguments)
loop.forward_backward = fails
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_of_one_rank_is_the_reason_on_all(terminal: Any, tiny: list[str], rank: int) -> None:
    text = terminal.type(*tiny, "run_name=x", "trainer.max_steps=9", ranks=2, before=failing_on(rank, 3), code=2)
    assert text.count("error: shard 7: byte 4096") == 1
    assert f"error: another rank has ended: rank {rank}: InputError: shard 7: byte 4096" in text
    assert "Traceback" not in text
    ended = status(terminal.folder / "runs/x")
    assert ended["status"] == "failed"
    assert "shard 7: byte 4096 is not what was written" in ended["reason"]


def test_a_collective_that_fails_on_all_ranks_is_told_in_its_own_words(terminal: Any, tiny: list[str]) -> None:
    broken = """
import torch.distributed as dist, pretrain.train as loop
def fails(*arguments):
    raise dist.DistBackendError("NCCL error: no interface matching eth7")
loop.forward_backward = fails
"""
    text = terminal.type(*tiny, "run_name=x", ranks=2, before=broken, code=2)
    assert "no interface matching eth7" in text
    assert "Traceback" not in text
    assert "no interface matching eth7" in status(terminal.folder / "runs/x")["reason"]


def test_a_tokenizer_that_cannot_be_kept_is_named_once_by_all_ranks(terminal: Any, tiny: list[str]) -> None:
    blocked = """
import pathlib
pathlib.Path("runs/x").mkdir(parents=True, exist_ok=True)
pathlib.Path("runs/x/tokenizer").touch()
"""
    text = terminal.type(*tiny, "run_name=x", ranks=2, before=blocked, code=2)
    assert text.count("error: runs/x/tokenizer: the tokenizer of") == 1
    assert "Traceback" not in text


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "run_name=x", "trainer.max_steps=30", "logger=none"]
    run = [text for text in run if text != "logger=console"]
    full = """
import resource, signal, pretrain.main as it
real = it.train
def train_on_a_full_disk(run):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
    return real(run)
it.train = train_on_a_full_disk
"""
    text = terminal.type(*run, before=full, ranks=2, code=2)
    assert re.search(
        r"^error: .*metrics\.jsonl.*; make room there, or write elsewhere with runs_dir=", text, re.MULTILINE
    )
    assert "Traceback" not in text
    assert status(terminal.folder / "runs/x")["status"] == "failed"
    assert "finished at step 30" in terminal.type(*run)
    assert [line["step"] for line in lines(terminal.folder / "runs/x")] == list(range(1, 31))


def test_a_folder_that_vanishes_is_named_in_one_line(terminal: Any, tiny: list[str]) -> None:
    gone = """
import pathlib, pretrain.train as loop
real, calls = loop.forward_backward, iter(range(1000))
def then_moved(*arguments):
    if next(calls) == 3:
        pathlib.Path("runs/x").rename("moved")
    return real(*arguments)
loop.forward_backward = then_moved
"""
    run = [*tiny, "run_name=x", "trainer.max_steps=6", "checkpoint.every_steps=2", "checkpoint.asynchronous=false"]
    text = terminal.type(*run, before=gone, code=2)
    assert "Traceback" not in text
    assert text.count("error: runs/x: the run's folder has vanished (step 4)") == 1
    shutil.rmtree(terminal.folder / "runs/x")  # it holds how the run ended
    (terminal.folder / "moved").rename(terminal.folder / "runs/x")
    assert "from step 2 of 6" in terminal.type(*run)


def test_lines_that_were_cut_out_are_told_and_a_run_begun_elsewhere_lacks_none(terminal: Any, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=6", "checkpoint.every_steps=2", "checkpoint.asynchronous=false"]
    terminal.type(*run, "run_name=x", before=signalled("signal.SIGTERM", 4))
    begun = [*run, "run_name=y", f"resume={terminal.folder}/runs/x/checkpoints/step_00000002"]
    terminal.type(*begun, before=signalled("signal.SIGTERM", 2))
    assert "missing" not in terminal.type(*run, "run_name=y")
    metrics = terminal.folder / "runs/x/metrics.jsonl"
    metrics.write_bytes(b"".join(metrics.read_bytes().splitlines(keepends=True)[2:]))
    assert "runs/x/metrics.jsonl: steps 1 to 2 are missing; the run goes on" in terminal.type(*run, "run_name=x")


def test_a_refused_resume_leaves_the_run_as_it_was(
    type_line: Type, tmp_path: Path, tiny: list[str], data_dir: Path
) -> None:
    run = [*tiny, "run_name=x", "checkpoint.every_steps=2"]
    type_line(*run, "trainer.max_steps=2")
    other = tmp_path / "data/other"
    shutil.copytree(data_dir, other)
    manifest = Manifest.load(other)
    fewer = {"pydocs": replace(manifest.splits["train"]["pydocs"], weight=2.0)}
    replace(manifest, splits=manifest.splits | {"train": fewer}).save(other)
    before = {
        name: (tmp_path / "runs/x" / name).read_bytes() for name in ("status.json", "report.html", "metrics.jsonl")
    }
    longer = [*run, "trainer.max_steps=4", "allow_change=[trainer.max_steps]"]
    text = type_line(*longer, f"data.path={other}", code=2)
    assert "Traceback" not in text
    assert "data." in text
    assert {name: (tmp_path / "runs/x" / name).read_bytes() for name in before} == before
    assert "from step 2 of 4" in type_line(*longer)
