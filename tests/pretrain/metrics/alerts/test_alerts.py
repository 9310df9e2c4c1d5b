"""Alerts of whole runs, received: what a run's files tell arrives once, and nobody waits for it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pretrain.json_lines import JsonLines
from pretrain.main import execute
from pretrain.mesh import Mesh
from pretrain.metrics.alerts.events import KINDS
from pretrain.metrics.alerts.webhook import Webhook
from pretrain.run_files import CRASH_LOOP
from pretrain.run_folder import write_status
from pretrain.types import Status
from tests.pretrain.faults import BadData
from tests.pretrain.metrics.alerts.lines import (
    CANARY,
    DYING,
    REWIND,
    add_hang,
    assert_no_secret,
    skip,
)
from tests.pretrain.metrics.alerts.receivers import Posts, wait_for

BAD = (12, 13, 14)  # data steps


@pytest.mark.slow
def test_what_a_run_writes_of_itself_arrives(posts: Posts, run_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal, logger = JsonLines(run_dir / "journal.jsonl"), Webhook(run_dir, events=list(KINDS), min_interval_s=0.0)
    journal.append(skip(3))  # of an earlier start
    logger.start(step=20)
    for line in (
        skip(21),
        {"event": "asked", "at_step": 21, "what": "save"},
        REWIND,
        {"event": "rewound", "number": 2},
    ):
        journal.append(line)
    journal.append(DYING)
    add_hang(run_dir, 41)
    wait_for(lambda: len(posts.got) >= 5)
    logger.close("failed")
    write_status(run_dir, Status.FAILED, f"RuntimeError: no route from {posts.address}", 42)
    wait_for(lambda: len(posts.got) == 6)
    assert posts.kinds() == ["start", "spike", "rewind", "stall", "dying_layer", "stop"]
    start, spike, rewind, stall, dying, stop = posts.got
    assert start["what"] == "the run goes on from step 20" and start["run"] == "night"
    assert spike["what"] == (
        "step 21 was skipped: loss not finite (loss NaN, median 3.25; gradient norm NaN, median 1.5)"
    )
    assert spike["look"] == [f"{run_dir}/blackbox/step_00000021_batch_00000020"]
    assert rewind["look"][1] == f"python launch/replay.py run={run_dir} step=23 dropped=1"
    assert spike["now"] == "the step has changed no weight" and spike["step"] == 21 and spike["count"] == 1
    assert rewind["what"] == "step 23: back to step 10: 3 of the last 6 steps were skipped"
    assert rewind["now"] == "batches 16 to 25 are passed over, at 0.5 of the learning rate for a while"
    assert "blocks.3 has learnt nothing for 10 looks" in dying["what"]
    assert "gave no sign for 301 s: step 42, micro batch 1, forward; 1 more rank waits for it" in stall["what"]
    assert stall["now"].startswith("it is left alone: nobody would start them again") and stall["step"] == 42
    assert stop["what"] == "failed after step 42: RuntimeError: no route from ***"
    assert stop["now"] == "it is down; the same line goes on from the newest checkpoint, if there is one"
    for body in posts.got:
        assert all(body[key] in body["text"] for key in ("run", "host", "what", "now", "page"))
    assert capfd.readouterr() == ("", "") and not (run_dir / "webhook.log").read_text()
    assert CANARY in posts.tries[0][1]  # the address does hold one
    assert_no_secret(run_dir, json.dumps(posts.got))


@pytest.mark.slow
def test_a_start_that_goes_on_sends_nothing_twice(posts: Posts, run_dir: Path) -> None:
    """Steps are done again, their lines are dropped and written again; the file is another one by then."""
    journal, logger = JsonLines(run_dir / "journal.jsonl"), Webhook(run_dir, min_interval_s=0.0)
    logger.start(step=0)
    journal.append(skip(5))
    journal.append(DYING)
    add_hang(run_dir, 6)
    wait_for(lambda: len(posts.got) == 4)
    logger.close("preempted")
    write_status(run_dir, Status.PREEMPTED, "stopped by Ctrl-C; the state is saved, the same line goes on", 44)
    wait_for(lambda: len(posts.got) == 5)
    (run_dir / "status.json").unlink()
    again = Webhook(run_dir, min_interval_s=0.0)
    again.start(step=4)
    wait_for(lambda: len(posts.got) == 6)
    journal.drop_after(4)
    for line in (skip(5), skip(6), DYING | {"step": 41}):
        journal.append(line)
    add_hang(run_dir, 7)
    wait_for(lambda: len(posts.got) == 8)
    again.close("finished")
    write_status(run_dir, Status.FINISHED, "all steps of the plan are done", 50)
    time.sleep(1.0)
    assert [(body["kind"], body["step"]) for body in posts.got[5:]] == [("start", 4), ("spike", 6), ("stall", 8)]


def train_for_ever(run_dir: Path) -> None:
    Webhook(run_dir).start(0)
    time.sleep(1000)


@pytest.mark.slow
def test_a_trainer_that_is_killed_is_told(posts: Posts, run_dir: Path) -> None:
    trainer = multiprocessing.get_context("fork").Process(target=train_for_ever, args=(run_dir,))
    trainer.start()
    wait_for(lambda: len(posts.got) == 1)
    if sys.platform == "linux":  # what a batch system sends to every process of a job is not meant for this one
        tasks = Path(f"/proc/{trainer.pid}/task").glob("*/children")
        (child,) = [int(pid) for path in tasks for pid in path.read_text().split()]
        os.kill(child, signal.SIGTERM)
    JsonLines(run_dir / "metrics.jsonl").append({"step": 7, "loss": 2.0})
    JsonLines(run_dir / "journal.jsonl").append(skip(7))
    trainer.kill()
    trainer.join()
    wait_for(lambda: len(posts.got) == 3)
    assert posts.kinds() == ["start", "spike", "stop"]
    assert posts.got[2]["what"] == (
        "the run ended without a word after step 7: kill -9, out of memory, or another rank took it with it"
    )


@pytest.mark.slow
def test_a_run_that_is_given_up_at_its_next_start_is_told(
    posts: Posts, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash loop is found before anything of the new start runs: the last one's process tells of it."""
    for name, value in (("RANK", "0"), ("TORCHELASTIC_MAX_RESTARTS", "3"), ("TORCHELASTIC_RESTART_COUNT", "2")):
        monkeypatch.setenv(name, value)
    logger = Webhook(run_dir)
    logger.start(0)
    wait_for(lambda: len(posts.got) == 1)
    logger.close("failed")
    write_status(run_dir, Status.FAILED, "RuntimeError: CUDA error", 3)
    wait_for(lambda: len(posts.got) == 2)
    assert posts.got[1]["now"] == "its launcher may start it again; it goes on from the newest checkpoint then"
    write_status(run_dir, Status.FAILED, "a crash loop: 3 tries in a row failed", 3, CRASH_LOOP)
    wait_for(lambda: len(posts.got) == 3)
    assert posts.got[2]["now"] == "nobody starts it again" and "a crash loop" in posts.got[2]["what"]


@pytest.mark.slow
def test_a_run_whose_loss_is_nan_reaches_the_webhook(
    posts: Posts, worker: ModuleType, overrides: list[str], tmp_path: Path
) -> None:
    """The whole of it: composed, trained, gone back twice, finished."""
    kept = [text for text in overrides if not text.startswith(("checkpoint=", "trainer.max_steps=", "logger="))]
    line = [*kept, "trainer.max_steps=18", "trainer.preflight=none", "checkpoint=default", "checkpoint.every_steps=5"]
    line += ["checkpoint.healthy_after_steps=2", "checkpoint.asynchronous=false", "spike=rewind"]
    line += ["spike.rewind.skips=3", "spike.rewind.within_steps=6", "spike.rewind.before_steps=2"]
    line += ["spike.rewind.after_steps=1", "logger=console", "+logger/alerts@logger.loggers.webhook=webhook"]
    events = ",".join(KINDS)
    line += [f"logger.loggers.webhook.events=[{events}]", "logger.loggers.webhook.min_interval_s=0"]
    run = worker.make_run(Mesh(0, 1, 0, torch.device("cpu")), line)
    BadData(run, BAD)
    (tmp_path / "run").mkdir()
    assert execute(run, {"resume": "auto", "run_name": "night"}, tmp_path / "run") is Status.FINISHED
    wait_for(lambda: "finish" in posts.kinds())
    assert posts.kinds()[0] == "start" and posts.kinds()[-1] == "finish" and posts.got[0]["what"] == "the run begins"
    spikes, rewinds = ([body for body in posts.got if body["kind"] == kind] for kind in ("spike", "rewind"))
    skipped = [sentence.partition(" (loss")[0] for body in spikes for sentence in body["events"]]
    assert skipped == [f"step {step + 1} was skipped: loss not finite, gradient norm not finite" for step in BAD]
    # a replay, and the going back that passes over the batches; the steps that were skipped again are told once
    back = [sentence for body in rewinds for sentence in body["events"]]
    assert back == ["step 15: back to step 10: 3 of the last 6 steps were skipped"] * 2
    assert rewinds[-1]["now"] == "batches 10 to 15 are passed over"
    assert Path(rewinds[-1]["look"][0]).is_dir()
    assert posts.got[-1]["what"].startswith("finished at step 18: all steps of the plan are done")
    assert_no_secret(tmp_path / "run")


@pytest.mark.slow
def test_training_does_not_wait_for_a_receiver_that_hangs(posts: Posts, run_dir: Path) -> None:
    posts.hangs.set()
    logger = Webhook(run_dir, timeout_s=600.0)
    logger.start(0)
    wait_for(lambda: len(posts.tries) == 1)
    for step in range(1000):
        logger.log({"step": step})
        logger.show("watch.jsonl", {"step": step})
    logger.close("finished")
    write_status(run_dir, Status.FINISHED, "done", 3)
    assert not posts.got  # a call that waits comes here when the answer has come
    posts.may_go.set()
    wait_for(lambda: len(posts.got) == 1)


@pytest.mark.slow
def test_what_does_not_arrive_is_said_on_the_console_without_the_address(
    posts: Posts, run_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    posts.answers = [500, 500]
    logger, said = Webhook(run_dir), list[str]()
    logger.start(0)
    wait_for(lambda: len(posts.got) == 1)
    logger.close("finished")
    write_status(run_dir, Status.FINISHED, "done", 3)
    wait_for(lambda: bool(said.append(capfd.readouterr().err) or said[-1]))
    why = "the receiver answers 500 Internal Server Error"
    assert "".join(said) == f"webhook: an alert can't be sent ({why}); it is tried again, and training goes on\n"
    assert (run_dir / "webhook.log").read_text().count(f"not sent: {why}") == 2
    assert_no_secret(run_dir, *said)


def test_a_run_that_never_begins_starts_nothing(run_dir: Path, posts: Posts) -> None:
    Webhook(run_dir).close("failed")
    assert [path.name for path in run_dir.iterdir()] == ["config.yaml"] and not posts.tries
