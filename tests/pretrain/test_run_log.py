"""Each step's line is written once, with its evaluation, however the run is interrupted."""

from __future__ import annotations

import errno
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from foundation.errors import ConfigError
from pretrain.checkpoint.state import decode, encode
from pretrain.metrics.alerts.follow import Follower, standing
from pretrain.metrics.fields import StepFields
from pretrain.metrics.lines import CHECKPOINT, EVALUATION, STEP_FIELDS, TIMES, MetricsFile, read_metrics
from pretrain.metrics.loggers import NoLogger
from pretrain.metrics.page.history import read_history
from pretrain.metrics.page.marks import read_marks
from pretrain.plan import Plan
from pretrain.run_log import RunLog
from pretrain.types import Record

PLAN = Plan(8, 4, 2, 1, 100, 1000, 0)


def log(folder: Path, peak_flops: float | None = None) -> RunLog:
    return RunLog(
        PLAN, MetricsFile(folder), NoLogger(), flops_per_token=10.0, peak_flops=peak_flops, epochs_at=epochs_at
    )


def epochs_at(data_step: int) -> dict[str, float]:
    return {"books": data_step / 10, "web": data_step / 1e6}


def record(step: int, finished_s: float = 0.0) -> Record:
    return Record(step, step - 1, 1e-3, finished_s, 1.0, 2.0, False, 32, False)


def steps(folder: Path) -> list[int]:
    return [line["step"] for line in read_metrics(folder / "metrics.jsonl")]


def test_an_evaluation_joins_the_line_of_its_step(tmp_path: Path) -> None:
    run_log = log(tmp_path)
    for step in (1, 2):
        run_log.add(record(step), step, 32 * step)
    run_log.join({"val_loss": 3.5})
    run_log.add(record(3), 3, 96)
    run_log.close("finished")
    lines = list(read_metrics(tmp_path / "metrics.jsonl"))
    assert [line.get("val_loss") for line in lines] == [None, 3.5, None]


def test_a_step_says_how_long_what_came_after_it_took(tmp_path: Path) -> None:
    """A checkpoint and an evaluation stand beside the parts of a step's time: the clock stood still for them."""
    run_log = log(tmp_path)
    for step in (1, 2):
        run_log.add(record(step, finished_s=run_log.clock()), step, 32 * step)
    with run_log.pause(CHECKPOINT):
        time.sleep(0.03)
    with run_log.pause(EVALUATION):
        time.sleep(0.01)
    with run_log.pause():
        pass
    run_log.join({"val_loss": 3.5})
    with run_log.pause(CHECKPOINT):  # no step's: nothing is held
        pass
    run_log.add(record(3), 3, 96)
    run_log.close("finished")
    first, second, third = (line["times"] for line in read_metrics(tmp_path / "metrics.jsonl"))
    assert first.keys() == third.keys() == set(TIMES)
    assert second.keys() == {*TIMES, "checkpoint_s", "evaluation_s"}
    assert second["checkpoint_s"] >= 0.03 and second["evaluation_s"] >= 0.01


def test_a_kill_after_a_save_loses_no_line(tmp_path: Path) -> None:
    run_log = log(tmp_path)
    for step in (1, 2, 3):
        run_log.add(record(step), step, 32 * step)
    saved = dict(run_log.last)  # what the checkpoint keeps; line 3 is held and not yet written
    assert steps(tmp_path) == [1, 2]
    again = log(tmp_path)
    assert again.resume(3, saved)
    again.join({"val_loss": 1.0})
    again.close("finished")
    assert steps(tmp_path) == [1, 2, 3]


def test_an_error_between_a_save_and_its_evaluation_leaves_the_evaluation_to_be_made(tmp_path: Path) -> None:
    run_log = log(tmp_path)
    for step in (1, 2, 3):
        run_log.add(record(step), step, 32 * step)
    saved = dict(run_log.last)
    run_log.close("failed")  # writes the line as it is: it may say why
    assert steps(tmp_path) == [1, 2, 3]
    assert not log(tmp_path).resume(3, saved)  # no evaluation belongs to this step
    again = log(tmp_path)
    assert again.resume(3, saved, evaluates=True)
    again.join({"val_loss": 1.0})
    again.close("finished")
    lines = list(read_metrics(tmp_path / "metrics.jsonl"))
    assert [(line["step"], line.get("val_loss")) for line in lines] == [(1, None), (2, None), (3, 1.0)]
    assert not log(tmp_path).resume(3, saved, evaluates=True)  # it is there now
    kept = dict(again.last)  # saved after its evaluation
    assert not log(tmp_path).resume(3, kept, evaluates=True)


def test_the_last_line_is_on_disk_before_the_run_is_said_to_be_over(tmp_path: Path, disk: Any) -> None:
    run_log = log(tmp_path / "run")
    run_log.add(record(1), 1, 32)
    run_log.close("finished")
    assert steps(disk.after_power_loss(tmp_path / "run", tmp_path / "found")) == [1]


def test_a_kill_after_later_lines_drops_them(tmp_path: Path) -> None:
    run_log = log(tmp_path)
    kept: dict[str, Any] = {}
    for step in range(1, 7):
        run_log.add(record(step), step, 32 * step)
        kept = dict(run_log.last) if step == 3 else kept
    run_log.flush()
    again = log(tmp_path)
    assert not again.resume(3, kept)
    again.add(record(4), 4, 128)
    again.close("finished")
    assert steps(tmp_path) == [1, 2, 3, 4]
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.dropped.jsonl")] == [4, 5, 6]


def test_rates_leave_out_what_was_paused(tmp_path: Path) -> None:
    run_log = log(tmp_path, peak_flops=1000.0)
    run_log.start()
    with run_log.pause():
        time.sleep(0.3)
    finished_s = run_log.clock()
    run_log.add(record(1, finished_s + 0.5), 1, 32)
    assert run_log.last["step_time_s"] == pytest.approx(0.5, abs=0.1)
    assert run_log.last["tokens_per_s"] == pytest.approx(32 / run_log.last["step_time_s"])
    assert run_log.last["mfu"] == pytest.approx(run_log.last["tokens_per_s"] * 10.0 / 1000.0)


def test_each_step_has_its_own_time(tmp_path: Path) -> None:
    run_log = log(tmp_path)
    run_log.start()
    finished_s = run_log.clock() + 10
    for step, added_s in enumerate((0.0, 0.5, 2.5), start=1):
        finished_s += added_s
        run_log.add(record(step, finished_s), step, 32 * step)
    run_log.close("finished")
    times = [line["step_time_s"] for line in read_metrics(tmp_path / "metrics.jsonl")]
    assert times[1:] == pytest.approx([0.5, 2.5])


def test_no_evaluation_overwrites_what_a_step_measured(tmp_path: Path) -> None:
    run_log = log(tmp_path)
    run_log.add(record(1), 1, 32)
    with pytest.raises(ConfigError, match=r"^eval: gives the field 'loss', which every step's line has; rename it$"):
        run_log.join({"val_loss": 3.5, "loss": 0.5})
    run_log.close("failed")
    assert [line["loss"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1.0]


def test_loggers_hear_the_lines_that_the_file_holds(tmp_path: Path) -> None:
    class Listener(NoLogger):
        def __init__(self) -> None:
            self.heard: list[dict[str, Any]] = []

        def log(self, line: dict[str, Any]) -> None:
            self.heard.append(dict(line))

    listener = Listener()
    run_log = RunLog(PLAN, MetricsFile(tmp_path), listener, flops_per_token=10.0, peak_flops=None, epochs_at=epochs_at)
    for step in (1, 2, 3):
        run_log.add(record(step), step, 32 * step)
        if step == 2:
            run_log.join({"val_loss": 3.5})
    run_log.close("finished")
    assert listener.heard == list(read_metrics(tmp_path / "metrics.jsonl"))
    assert [line.get("val_loss") for line in listener.heard] == [None, 3.5, None]


def test_a_logger_is_told_of_the_end_although_the_disk_is_full(tmp_path: Path) -> None:
    class FullDisk(MetricsFile):
        def append(self, line: dict[str, Any]) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    class Ended(NoLogger):
        status = ""

        def close(self, status: str) -> None:
            self.status = status

    logger = Ended()
    full = RunLog(PLAN, FullDisk(tmp_path), logger, flops_per_token=10.0, peak_flops=None, epochs_at=epochs_at)
    full.add(record(1), 1, 32)
    with pytest.raises(OSError, match="No space left"):
        full.close("failed")
    assert logger.status == "failed"


def test_an_unknown_peak_gives_no_mfu(tmp_path: Path) -> None:
    run_log = log(tmp_path)
    run_log.add(record(1), 1, 32)
    assert "mfu" not in run_log.last


def test_a_long_step_is_heard_of_and_a_short_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretrain.run_log.LINE_EVERY_S", 0.05)
    run_log = log(tmp_path)
    for done in range(4):
        run_log.say_progress(6, done, 4)
    assert capsys.readouterr().err == ""
    time.sleep(0.06)
    run_log.say_progress(7, 0, 4)  # the step before took long: this one has only begun
    assert capsys.readouterr().err == ""
    time.sleep(0.06)
    run_log.say_progress(7, 1, 4)
    run_log.say_progress(7, 2, 4)
    assert capsys.readouterr().err == "step 8: 1 of 4 micro batches\n"


def test_a_step_s_fields_are_the_ones_that_readers_know(tmp_path: Path) -> None:
    fields = StepFields(["weight"], ["books", "web"], [4.0, 2.0], 1.0, 8, torch.device("cpu"))
    counted = replace(record(1), source_nats=(3.0, 9.0), source_targets=(2, 6), grad_max_at=0)
    whole = RunLog(PLAN, MetricsFile(tmp_path), NoLogger(), 10.0, 1000.0, epochs_at, fields)
    whole.add(counted, 1, 32)
    assert (*whole.last, "device_memory_bytes") == STEP_FIELDS
    least = log(tmp_path)
    least.add(record(1), 1, 32)
    optional = ("bits_per_byte", "source_losses", "source_tokens", "mfu", "device_memory_bytes")
    assert tuple(least.last) == tuple(name for name in STEP_FIELDS if name not in optional)


def test_a_line_counts_the_epochs_of_each_source_and_their_ends_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretrain.run_log.LINE_EVERY_S", 0.0)
    run_log = log(tmp_path)
    for step in (9, 10, 11, 12):
        run_log.add(record(step), step, 32 * step)
    run_log.close("finished")
    told = [line["epochs"] for line in read_metrics(tmp_path / "metrics.jsonl")]
    assert told == [{"books": step / 10, "web": step / 1e6} for step in (9, 10, 11, 12)]
    assert capsys.readouterr().err == "step 10: epoch 1 of books ended\n"


def test_ends_of_epochs_that_come_fast_are_said_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_log = log(tmp_path)
    for step in range(1, 35):
        run_log.add(record(step), step, 32 * step)
    assert capsys.readouterr().err == "step 10: epoch 1 of books ended\n"
    monkeypatch.setattr("pretrain.run_log.LINE_EVERY_S", 0.0)
    run_log.add(record(35), 35, 32 * 35)
    assert capsys.readouterr().err == "step 30: epoch 3 of books ended\n"


def test_ends_of_epochs_that_wait_are_said_when_the_run_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_log = log(tmp_path)
    for step in range(1, 25):
        run_log.add(record(step), step, 32 * step)
    assert capsys.readouterr().err == "step 10: epoch 1 of books ended\n"
    run_log.close("finished")
    assert capsys.readouterr().err == "step 20: epoch 2 of books ended\n"


def test_ends_of_epochs_that_wait_are_said_of_the_step_that_each_ended_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = lambda data_step: {"books": data_step / 10, "web": data_step / 13}  # noqa: E731
    run_log = RunLog(PLAN, MetricsFile(tmp_path), NoLogger(), 10.0, None, counts)
    for step in range(1, 25):
        run_log.add(record(step), step, 32 * step)
    assert capsys.readouterr().err == "step 10: epoch 1 of books ended\n"
    run_log.close("finished")
    both = "epoch 1 of all sources ended (loss 1.0000 over 416 tokens), epoch 1 of web ended"
    assert capsys.readouterr().err == f"step 13: {both}\nstep 20: epoch 2 of books ended\n"


def test_the_page_ends_an_epoch_at_the_step_at_which_the_console_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretrain.run_log.LINE_EVERY_S", 0.0)
    read = {0: 0.0, 1: 10.5, 2: 10.99998, 3: 10.9999999, 4: 11.0000001}  # six digits of the third are 11
    run_log = RunLog(PLAN, MetricsFile(tmp_path), NoLogger(), 10.0, None, lambda data_step: {"books": read[data_step]})
    for step in range(1, 5):
        run_log.add(record(step), step, 32 * step)
    run_log.close("finished")
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" ended")[0] for line in said] == ["step 1: epoch 10 of books", "step 4: epoch 11 of books"]
    passes = read_history(tmp_path / "metrics.jsonl").passes
    assert [(epoch.number, epoch.last_step) for epoch in passes] == [(10, 1), (11, 4)]


def test_the_end_of_an_epoch_tells_its_loss_and_after_a_resume_from_where_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretrain.run_log.LINE_EVERY_S", 0.0)
    one = lambda data_step: {"books": data_step / 4}  # noqa: E731
    run_log = RunLog(PLAN, MetricsFile(tmp_path), NoLogger(), 10.0, None, one)
    for step in range(1, 8):
        run_log.add(replace(record(step), loss=float(step), skipped=step == 2), step, 32 * step)
    assert capsys.readouterr().err == f"step 4: epoch 1 of books ended (loss {8 / 3:.4f} over 96 tokens)\n"
    run_log.flush()
    run_log.resume(5, dict(run_log.last) | {"step": 5})
    for step in range(6, 9):  # with other losses than those that were left
        run_log.add(replace(record(step), loss=10.0), step, 32 * step)
    assert capsys.readouterr().err == "step 8: epoch 2 of books ended (loss 10.0000 from step 6 on)\n"
    run_log.close("finished")
    (first, second) = read_history(tmp_path / "metrics.jsonl").passes
    assert (first.loss, second.loss, second.first_step) == (pytest.approx(8 / 3), pytest.approx(35 / 4), 5)


def test_a_line_that_comes_back_from_a_checkpoint_has_its_fields_in_order(tmp_path: Path) -> None:
    first, again = log(tmp_path / "first", peak_flops=1000.0), log(tmp_path / "again", peak_flops=1000.0)
    first.add(record(1), 1, 32)
    kept = decode(encode({"line": first.last}, "facts"))["line"]
    assert list(kept) == sorted(first.last)
    assert again.resume(1, kept)
    for run_log in (first, again):
        run_log.join({"val_loss": 2.0, "a_field": 1.0})
        run_log.close("finished")
    lines = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("first", "again")]
    assert lines[0] == lines[1]


@pytest.mark.parametrize("loss", [9.0, math.inf])
def test_a_run_that_diverges_is_told_in_the_journal_and_to_those_who_take_alerts(
    tmp_path: Path, loss: float, capsys: pytest.CaptureFixture[str]
) -> None:
    follower, it = Follower(tmp_path, standing(tmp_path)), log(tmp_path)
    for step in range(1, 41):
        it.add(replace(record(step), loss=5.0 if step == 1 else loss), step, 32 * step)
    it.close("finished")
    (event,) = follower.new()
    assert event.kind == "spike" and event.step == 11 and event.title == "the run diverges"
    assert event.what == next(line for line in capsys.readouterr().err.splitlines() if "diverges" in line)
    (mark,) = read_marks(tmp_path, read_history(tmp_path / "metrics.jsonl"))
    assert (mark.step, mark.kind) == (11, "warning")
