"""A live run does what its control file asks for, on all ranks at one step, and goes on with it after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from pretrain.control import Control, Request, parse
from pretrain.mesh import Mesh
from pretrain.metrics.lines import read_metrics
from pretrain.run import Run, restore
from pretrain.types import Status
from tests.pretrain.faults import finish

CPU = Mesh(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("save", Request("save")),
        ("  evaluate ", Request("evaluate")),
        ("stop", Request("stop")),
        ("lr 0.5", Request("lr", 0.5, 1000)),
        ("lr 0.25 20", Request("lr", 0.25, 20)),
        ("lr 1.5", None),
        ("lr 0", None),
        ("lr nan", None),
        ("lr 0.5 0", None),
        ("lr 0.5 99999999999999999999", None),
        ("lr", None),
        ("save now", None),
        ("reboot", None),
        ("", None),
    ],
)
def test_what_a_line_asks_for(line: str, found: Request | None) -> None:
    assert parse(line) == found


def test_a_word_that_is_no_request_is_said_and_the_others_are_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "control").write_text("rebot\n\nsave\nlr 0.5 30\n")
    control = Control(tmp_path, is_main=True)
    assert control.is_asked()
    assert "'rebot' is no request; write save, evaluate, stop, or lr <factor>" in capsys.readouterr().err
    assert [request["what"] for request in control.take(7)] == ["save", "lr"]
    assert "step 7: asked by the control file: lr 0.5 30\n" in capsys.readouterr().err
    assert not list(tmp_path.glob("*control*"))
    told = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert told.pop(0).items() >= {"event": "no_request", "lines": ["rebot"]}.items()
    assert told == [
        {"event": "asked", "at_step": 7, "what": "save"},
        {"event": "asked", "at_step": 7, "what": "lr", "factor": 0.5, "num_steps": 30},
    ]


@pytest.mark.parametrize("name", ["control", ".control.taken"])
def test_what_was_written_before_a_start_is_left_out_but_not_before_a_restart(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / name
    old.write_text("stop\n")
    os.utime(old, (1e9, 1e9))
    restarted = Control(tmp_path, is_main=True)
    restarted.begin(replace(CPU, restarts=1))
    assert restarted.is_asked() and not capsys.readouterr().err
    started = Control(tmp_path, is_main=True)
    started.begin(CPU)
    assert not started.is_asked() and not list(tmp_path.glob("*control*"))
    assert "control: 'stop' was written before this start, and is left out" in capsys.readouterr().err
    again = Control(tmp_path, is_main=True)
    (tmp_path / "control").write_text("save\n")
    os.utime(tmp_path / "control", (2e9, 2e9))
    again.begin(CPU)
    assert again.is_asked()


def test_a_file_that_stays_unreadable_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "control").write_text("save\n")
    monkeypatch.setattr("pretrain.control.LOOK_EVERY_S", 0.0)
    (tmp_path / ".control.taken").mkdir()  # no file can be put in its place
    control = Control(tmp_path, is_main=True)
    assert not any(control.is_asked() for _ in range(3))
    assert capsys.readouterr().err.count("can't be taken") == 1
    (tmp_path / ".control.taken").rmdir()
    assert control.is_asked()


def test_only_rank_0_looks(tmp_path: Path) -> None:
    (tmp_path / "control").write_text("save\n")
    assert not Control(tmp_path, is_main=False).is_asked()
    assert (tmp_path / "control").exists()


@pytest.fixture
def make(worker: ModuleType, overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.setattr("pretrain.control.LOOK_EVERY_S", 0.0)
    kept = [text for text in overrides if not text.startswith(("checkpoint=", "trainer.max_steps="))]
    saving = ["checkpoint=default", "checkpoint.every_steps=100", "checkpoint.asynchronous=false"]

    def make_it(*more: str) -> Run:
        run: Run = worker.make_run(CPU, [*kept, *saving, "trainer.max_steps=20", *more])
        return run

    return make_it


def asking(run: Run, asked: dict[int, str]) -> None:
    """Write to the control file when so many steps are done."""

    class Writer:
        def step(self, step: int) -> None:
            if step in asked:
                (run.run_dir / "control").write_text(asked[step])

        def close(self) -> None:
            pass

    run.run_dir.mkdir(exist_ok=True)
    object.__setattr__(run, "profiler", Writer())


def lines(run: Run) -> dict[int, dict[str, Any]]:
    return {line["step"]: line for line in read_metrics(run.run_dir / "metrics.jsonl")}


def test_it_saves_and_stops_when_asked(make: Callable[..., Run]) -> None:
    run = make()
    asking(run, {3: "save\n", 9: "stop\n"})
    assert finish(run) is Status.PREEMPTED
    # found before step 4, known of when step 6 is done, saved after step 7
    saved = [path.name for path in sorted((run.run_dir / "checkpoints").iterdir())]
    assert saved == ["step_00000007", "step_00000012"]
    assert run.signal.asked_by == "the control file"


def test_a_cut_of_the_learning_rate_heals_and_survives_a_kill(make: Callable[..., Run]) -> None:
    run = make("schedule=constant", "schedule.warmup_steps=0", "run_name=whole")
    asking(run, {2: "lr 0.5 8\n"})
    assert finish(run) is Status.FINISHED
    whole = lines(run)
    rates = [whole[step]["lr"] / run.optimizer.lr for step in sorted(whole)]
    first = next(place for place, rate in enumerate(rates) if rate < 1)
    assert (
        rates[first] == 0.5
        and rates[first + 4] == pytest.approx(0.75)
        and rates[first + 8 :] == [1.0] * len(rates[first + 8 :])
    )
    assert rates[first : first + 9] == sorted(rates[first : first + 9])
    killed = make("schedule=constant", "schedule.warmup_steps=0")
    asking(killed, {2: "lr 0.5 8\n", 5: "stop\n"})
    assert finish(killed) is Status.PREEMPTED
    again = make("schedule=constant", "schedule.warmup_steps=0")
    assert restore(again)
    assert finish(again) is Status.FINISHED
    for step, line in lines(again).items():
        assert (line["lr"], line["loss"]) == (whole[step]["lr"], whole[step]["loss"])


def test_it_evaluates_when_asked(make: Callable[..., Run]) -> None:
    run = make("eval=default", "eval.every_steps=100", "eval.max_tokens=512", "eval.prompts=[]")
    asking(run, {3: "evaluate\n"})
    assert finish(run) is Status.FINISHED
    assert [step for step, line in lines(run).items() if "val_loss" in line] == [7, 20]
