from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import SettingError
from foundation.stops import STOPS
from pretrain.json_lines import JsonLines
from pretrain.metrics.wandb import WandB
from pretrain.metrics.wandb_child.__main__ import clean, place_of, send

MakeLine = Callable[..., dict[str, Any]]
SECRET = "hunter2-canary"
CONFIG = f"""
run_name: gpt_tiny
seed: 7
model: {{_target_: pretrain.model.transformer.Transformer, num_layers: 4}}
data: {{path: "https://user:{SECRET}@host/data"}}
token: {SECRET}
"""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, so that a developer's own account is never used; nothing may be written there."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    return home


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "gpt_tiny"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def records(path: Path) -> Iterator[Any]:
    """Read the records of a .wandb file: LevelDB's log format (blocks of 32 KiB) of protobuf messages."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the whole record, or the last piece of one
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def history(run_dir: Path) -> list[list[dict[str, Any]]]:
    """Return what each start of the run logged, offline, in order."""
    runs = []
    for path in sorted(run_dir.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        lines = [record.history.item for record in records(path) if record.WhichOneof("record_type") == "history"]
        runs.append(
            [{(item.key or item.nested_key[0]): json.loads(item.value_json) for item in line} for line in lines]
        )
    return runs


@pytest.mark.slow
def test_offline_every_line_is_on_disk_resume_and_rewind_included(
    run_dir: Path, own_home: Path, make_line: MakeLine, capfd: pytest.CaptureFixture[str]
) -> None:
    for steps in ([1, 2, 3, 2, 3, 4], [3, 4, 5]):
        logger = WandB(run_dir)
        for step in steps:
            logger.log(make_line(step, loss=float("nan") if step == 4 else 1.5, val_loss=float("inf")))
        logger.close("finished")
    first, second = history(run_dir)
    assert [line["step"] for line in first] == [1, 2, 3, 2, 3, 4]
    assert [line["step"] for line in second] == [3, 4, 5]
    assert first[0]["loss"] == 1.5 and str(first[-1]["loss"]).lower() == "nan"
    assert first[0]["val_loss"] in (float("inf"), "Infinity")
    assert list(own_home.rglob("*")) == []
    assert "wandb sync" in capfd.readouterr().err


@pytest.mark.slow
def test_the_run_says_its_axis_and_the_allowed_part_of_the_config(run_dir: Path, make_line: MakeLine) -> None:
    logger = WandB(run_dir, project="p", tags=["t"])
    logger.log(make_line(1, samples=[{"prompt": "a", "text": "b"}], weight_norms=[1.0], probe=0.5))
    logger.close("finished")
    (line,) = history(run_dir)[0]
    assert line["probe"] == 0.5 and "samples" in line and "weight_norms" not in line
    (path,) = run_dir.glob("wandb/offline-run-*/*.wandb")
    found = {record.WhichOneof("record_type"): record for record in records(path)}
    run = found["run"].run
    assert (run.project, run.display_name, run.run_group, list(run.tags)) == ("p", "gpt_tiny", "gpt_tiny", ["t"])
    sent = {update.key: json.loads(update.value_json) for update in run.config.update}
    assert sent["seed"] == 7 and sent["model"]["num_layers"] == 4
    assert sent["data"] == {"path": "https://host/data"}
    assert "token" not in sent
    axes = {m.metric.name or m.metric.glob_name: m.metric.step_metric for m in records(path) if m.HasField("metric")}
    assert axes["*"] == "step"
    assert list(run_dir.glob("wandb/offline-run-*/files/media/table/*.json"))
    for file in run_dir.glob("wandb/**/*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


@pytest.mark.slow
def test_what_was_looked_at_goes_as_histograms_and_tables(run_dir: Path) -> None:
    histogram = {"edges": [-1.0, 0.0, 2.0], "counts": [3, 5]}
    watched: dict[str, Any] = {"step": 2, "layers": {"head": {"grad_norm": 0.5}}, "logits": {"entropy": 3.5}}
    watched |= {"histograms": {"weights": {"head": histogram}}}
    watched |= {"projections": {"final_states": {"tokens": ["a", "b"], "xy": [[1.0, 2.0], [3.0, 4.0]]}}}
    columns = ("inputs", "targets", "predictions", "target_probs", "prediction_probs", "kinds")
    point: dict[str, Any] = {"step": 2, "split": "val", "sequence": 0} | {name: ["x", None] for name in columns}
    logger = WandB(run_dir, mode="offline")
    logger.show("watch.jsonl", watched)
    logger.show("datapoints.jsonl", point)
    logger.close("finished")
    (path,) = run_dir.glob("wandb/offline-run-*/*.wandb")
    items = [item for record in records(path) for item in record.history.item if record.HasField("history")]
    sent = {tuple(item.nested_key or [item.key]): json.loads(item.value_json) for item in items}
    assert (sent[("step",)], sent[("grad_norm/head",)], sent[("logits/entropy",)]) == (2, 0.5, 3.5)
    found = [sent["histograms/weights/head", part] for part in ("_type", "values", "bins")]
    assert found == ["histogram", [3, 5], [-1.0, 0.0, 2.0]]
    assert sent["projections/final_states", "_type"] == sent["datapoints/val/0", "_type"] == "table-file"
    assert not (run_dir / "wandb.log").read_text()


@pytest.mark.slow
def test_without_a_network_training_is_not_held(
    run_dir: Path, make_line: MakeLine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    logger = WandB(run_dir, mode="auto", queue_lines=50, close_timeout_s=1.0)
    started = time.monotonic()
    for step in range(1, 2000):
        logger.log(make_line(step))
    assert time.monotonic() - started < 10.0  # 2,000 lines, none of which waits
    logger.close("finished")
    assert time.monotonic() - started < 20.0  # a thread inside this process was held for 61 s
    said = capfd.readouterr().err
    assert logger.num_dropped > 0
    assert said.count("does not keep up") == 1
    assert f"{logger.num_dropped} lines were dropped" in said
    assert "it goes on without this process" in said


@pytest.mark.slow
@pytest.mark.parametrize("setting", [("WANDB_BASE_URL", "no address"), ("WANDB_CONSOLE", "no such choice")])
def test_what_raises_inside_is_said_once_and_training_goes_on(
    run_dir: Path,
    make_line: MakeLine,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    setting: tuple[str, str],
) -> None:
    monkeypatch.setenv(*setting)
    logger = WandB(run_dir, close_timeout_s=20.0)
    logger.log(make_line(1))
    for thread in threading.enumerate():
        if thread.name == "wandb":
            thread.join(0.1)
    deadline = time.monotonic() + 15
    step = 2
    while "training goes on" not in (said := capfd.readouterr().err) and time.monotonic() < deadline:
        logger.log(make_line(step))
        step += 1
        time.sleep(0.05)
    assert "stopped (" in said and "wandb.log" in said
    logger.log(make_line(step))
    logger.close("finished")
    assert "stopped (" not in capfd.readouterr().err
    assert (run_dir / "wandb.log").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize(("status", "code"), [("finished", 0), ("preempted", 0), ("failed", 1)])
def test_how_it_ended_and_what_happened_is_told(run_dir: Path, make_line: MakeLine, status: str, code: int) -> None:
    journal, logger = JsonLines(run_dir / "journal.jsonl"), WandB(run_dir, mode="offline")
    skip = {"event": "skip", "loss": "NaN", "grad_norm": "NaN", "reason": "loss not finite", "median_loss": 3.25}
    skip |= {"median_grad_norm": 1.5}
    journal.append(skip | {"step": 1, "data_step": 0})  # of an earlier start
    logger.start(1)
    journal.append(skip | {"step": 2, "data_step": 1})
    logger.log(make_line(2))
    logger.close(status)
    (path,) = run_dir.glob("wandb/offline-run-*/*.wandb")
    assert [it.exit.exit_code for it in records(path) if it.WhichOneof("record_type") == "exit"] == [code]
    spike, *end = [record.alert for record in records(path) if record.WhichOneof("record_type") == "alert"]
    assert (spike.title, spike.level) == ("a step was skipped at step 2", "WARN")
    assert spike.text == (
        "step 2 was skipped: loss not finite (loss NaN, median 3.25; gradient norm NaN, median 1.5)\n"
        "now: the step has changed no weight"
    )
    assert [(alert.title, alert.level) for alert in end] == ([(status, "ERROR")] if status != "finished" else [])
    assert not any(str(run_dir) in alert.text for alert in [spike, *end])


@pytest.mark.slow
def test_a_killed_trainer_leaves_a_run_that_ended(run_dir: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from pretrain.metrics.wandb import WandB\n"
        "logger = WandB(Path(sys.argv[1]), mode='offline')\n"
        "logger.log({'step': 1, 'loss': 2.0})\n"
        "print('logged', flush=True); time.sleep(60)\n"
    )
    trainer = subprocess.Popen(
        [sys.executable, "-c", script, str(run_dir)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert trainer.stdout is not None and trainer.stderr is not None
    assert trainer.stdout.readline() == "logged\n"
    assert "wandb sync" in trainer.stderr.readline()
    if sys.platform == "linux":  # what a batch system sends to every process of a job is not meant for this one
        tasks = Path(f"/proc/{trainer.pid}/task").glob("*/children")
        (child,) = [int(pid) for path in tasks for pid in path.read_text().split()]
        for number in STOPS:
            os.kill(child, number)
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    deadline = time.monotonic() + 20
    exits: list[Any] = []
    while not exits and time.monotonic() < deadline:
        time.sleep(0.2)
        (path,) = run_dir.glob("wandb/offline-run-*/*.wandb")
        exits = [record.exit.exit_code for record in records(path) if record.WhichOneof("record_type") == "exit"]
    assert exits == [1]
    assert [line["step"] for line in history(run_dir)[0]] == [1]


def test_a_run_without_a_line_starts_nothing(run_dir: Path) -> None:
    WandB(run_dir).close("finished")
    assert [entry.name for entry in run_dir.iterdir()] == ["config.yaml"]


def test_user_names_and_passwords_leave_addresses() -> None:
    value = {"a": ["s3://key:secret@bucket/x", 3], "b": "mail me@example.org", "c": None}
    assert clean(value) == {"a": ["s3://bucket/x", 3], "b": "mail me@example.org", "c": None}


def test_numbers_by_source_go_under_names_of_their_own(make_line: MakeLine) -> None:
    sent: list[dict[str, Any]] = []

    class Run:
        log = staticmethod(sent.append)

    send(Run(), make_line(500, epochs={"web": 2.0, "books": 0.5}, grad_norm="Infinity"))
    assert sent[0]["epochs/web"] == 2.0 and sent[0]["epochs/books"] == 0.5
    assert "epochs" not in sent[0] and sent[0]["grad_norm"] == float("inf")


@pytest.mark.parametrize(("name", "value"), [("queue_lines", 0), ("close_timeout_s", -1.0), ("min_interval_s", -1.0)])
def test_numbers_that_cannot_be_name_the_key(run_dir: Path, name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=f"^{name}: {value} is not allowed; give "):
        WandB(run_dir, **{name: value})


def test_a_run_that_w_and_b_is_told_to_leave_alone_promises_no_files(tmp_path: Path) -> None:
    assert place_of(None, "disabled", tmp_path) == "disabled by WANDB_MODE: nothing is sent or kept"
    assert place_of(None, "offline", tmp_path).endswith(f"wandb sync {tmp_path}/wandb/offline-run-*")
