"""Any step can be done again with its bits, and shows what was in it; each skipped one left a black box."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from foundation.config import DEFAULT_TARGETS
from foundation.errors import ConfigError
from pretrain.main import Config, assemble, check_config
from pretrain.mesh import Mesh
from pretrain.metrics.lines import MetricsFile, read_metrics
from pretrain.replay import ahead, config_for, lines_to, nearest_checkpoint, replay
from pretrain.resuming import tell_changes
from pretrain.run import Run, restore
from pretrain.train import train
from pretrain.types import Status
from tests.pretrain.faults import BadData, finish

CPU = Mesh(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"))
BAD = (20, 21, 22)


@pytest.fixture
def run_line(overrides: list[str]) -> list[str]:
    kept = [text for text in overrides if not text.startswith(("checkpoint=", "trainer.max_steps="))]
    saving = ["checkpoint=default", "checkpoint.every_steps=10", "checkpoint.healthy_after_steps=5"]
    saving += ["checkpoint.keep_last=9", "checkpoint.asynchronous=false", "trainer.max_steps=30"]
    rewind = ["spike=rewind", "spike.rewind.before_steps=4", "spike.rewind.after_steps=3", "spike.rewind.replay=false"]
    return [*kept, *saving, *rewind, "spike.rewind.within_steps=6"]


@pytest.fixture
def trained(worker: ModuleType, run_line: list[str], tmp_path: Path) -> Path:
    run = worker.make_run(CPU, run_line)
    BadData(run, BAD)
    assert train(run) is Status.FINISHED
    for part in (run.loader, run.checkpointer):
        part.close()
    run.log.close("finished")
    return tmp_path / "run"


@pytest.fixture
def again(worker: ModuleType, run_line: list[str], tmp_path: Path) -> Run:
    run: Run = worker.make_run(CPU, [*run_line, f"runs_dir={tmp_path / 'scratch'}"])
    return run


def test_a_kept_step_is_done_again_with_its_bits(trained: Path, again: Run, capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_to(trained, 27)
    checkpoint = nearest_checkpoint(trained, lines)
    assert checkpoint is not None and checkpoint.name == "step_00000020"
    before = sorted(path.name for path in trained.rglob("*"))
    found = replay(again, checkpoint, lines)
    assert found.differs is None and found.num_steps == 7
    assert f"step 27: 7 steps from {checkpoint} on are done again, about " in capsys.readouterr().err
    assert found.record.loss == lines[-1]["loss"] and not found.record.skipped
    assert sorted(path.name for path in trained.rglob("*")) == before
    inside = found.inside
    assert inside is not None
    total = sum(sequence["loss"] * sequence["num_targets"] for sequence in inside.sequences)
    targets = sum(sequence["num_targets"] for sequence in inside.sequences)
    assert total / targets == pytest.approx(found.record.loss, rel=1e-5)
    norms = np.array(list(inside.facts["grad_norm_per_parameter"].values()))
    assert np.sqrt((norms**2).sum()) == pytest.approx(found.record.grad_norm, rel=1e-5)
    again.loader.close()


def test_what_lies_ahead_is_told_with_its_time_and_what_shortens_it() -> None:
    times = [9.0] + [0.5] * 199  # the first compiled
    lines = [{"step": step, "step_time_s": each} for step, each in enumerate(times, start=1)]
    assert ahead(lines, "the initial weights") == (
        "step 200: 200 steps from the initial weights on are done again, about 1:40 where a step takes 500 ms as then; "
        "a training with checkpoint.keep_every_steps=N keeps checkpoints that lie nearer to each step"
    )
    assert ahead([{"step": 8}, {"step": 9}], "here") == "step 9: 2 steps from here on are done again"


@pytest.mark.parametrize(("first_samples", "epochs"), [("null", [1] * 8), ("2", [5, 5, 6, 6, 7, 7, 8, 8])])
def test_epochs_are_counted_from_1_and_of_samples_that_recur_each_time(
    worker: ModuleType, run_line: list[str], first_samples: str, epochs: list[int]
) -> None:
    sizes = ["trainer.global_batch_size=8", "trainer.micro_batch_size=8"]
    kept = [text for text in run_line if not text.startswith(("trainer.global_batch", "trainer.micro_batch"))]
    run = worker.make_run(CPU, [*kept, *sizes, f"data.first_samples={first_samples}"])
    line = {"step": 2, "data_step": 1, "lr": 0.0, "loss": 0.0, "grad_norm": 0.0}
    run.progress.step = 1
    found = replay(run, None, [line]).inside
    assert found is not None
    assert [sequence["epoch"] for sequence in found.sequences] == epochs
    run.loader.close()


def test_a_dropped_step_is_done_again_on_its_own_timeline(trained: Path, again: Run) -> None:
    with pytest.raises(ConfigError, match=r"^dropped: 2, but step 22 was dropped 1 times"):
        lines_to(trained, 22, dropped=2)
    lines = lines_to(trained, 22, dropped=1)
    assert [line["data_step"] for line in lines] == list(range(22))
    checkpoint = nearest_checkpoint(trained, lines)
    assert checkpoint is not None and checkpoint.name == "step_00000010"  # that of step 20 is of the other timeline
    BadData(again, BAD)
    found = replay(again, checkpoint, lines)
    assert found.differs is None and found.record.skipped and np.isnan(found.record.loss)
    again.loader.close()


def test_without_a_checkpoint_before_it_begins_with_the_initial_weights(trained: Path, again: Run) -> None:
    lines = lines_to(trained, 3)
    assert nearest_checkpoint(trained, lines) is None
    found = replay(again, None, lines)
    assert found.differs is None and found.begun == "the initial weights"
    again.loader.close()


def test_other_bits_are_said_with_their_step(trained: Path, again: Run) -> None:
    lines = lines_to(trained, 15)
    lines[12]["lr"] *= 1.5
    assert replay(again, nearest_checkpoint(trained, lines), lines).differs == 14
    again.loader.close()


def test_a_step_dropped_before_a_deeper_going_back_stands_on_what_was_there_then(tmp_path: Path) -> None:
    def line(step: int, loss: float) -> str:
        return json.dumps({"step": step, "data_step": step, "loss": loss, "grad_norm": 1.0}) + "\n"

    # 11 to 25 were dropped first, then all from 6 on: for the first 22 the steps 6 to 10 are those that went last
    dropped = [line(step, 1.0) for step in range(11, 26)] + [line(step, 2.0) for step in range(6, 41)]
    (tmp_path / "metrics.dropped.jsonl").write_text("".join(dropped))
    (tmp_path / "metrics.jsonl").write_text("".join(line(step, 3.0) for step in range(1, 51)))
    found = [line["loss"] for line in lines_to(tmp_path, 22, dropped=2)]
    assert found == [3.0] * 5 + [2.0] * 5 + [1.0] * 12
    assert [line["loss"] for line in lines_to(tmp_path, 22, dropped=1)] == [3.0] * 5 + [2.0] * 17
    assert [line["loss"] for line in lines_to(tmp_path, 22)] == [3.0] * 22


def test_two_blocks_whose_steps_follow_each_other_are_two(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)

    def write(steps: range, loss: float) -> None:
        for step in steps:
            file.append({"step": step, "data_step": step, "loss": loss, "grad_norm": 1.0})

    # a kill after 13, back to 10; a kill after 16, back to 13, whose lines are those of the second time
    for first, last, loss in ((1, 13, 1.0), (11, 16, 2.0), (14, 20, 3.0)):
        write(range(first, last + 1), loss)
        file.close()
    dropped = list(read_metrics(tmp_path / "metrics.dropped.jsonl"))
    assert [line["step"] for line in dropped] == [11, 12, 13, 14, 15, 16]
    found = [line["loss"] for line in lines_to(tmp_path, 15, dropped=1)]
    assert found == [1.0] * 10 + [2.0] * 5
    found = [line["loss"] for line in lines_to(tmp_path, 12, dropped=1)]
    assert found == [1.0] * 12
    assert [line["loss"] for line in lines_to(tmp_path, 15)] == [1.0] * 10 + [2.0] * 3 + [3.0] * 2


def test_the_config_is_that_of_then_and_not_of_the_last_start(
    worker: ModuleType, run_line: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    def go_on(*more: str, step: int) -> None:
        kept = [text for text in run_line if not text.startswith(("trainer.max_steps=", "checkpoint.keep_last="))]
        line = [*kept, f"trainer.max_steps={step}", "checkpoint.keep_last=9", *more]
        run = worker.make_run(CPU, line)
        if restore(run):
            tell_changes(run, folder)
        finish(run)
        (folder / "config.yaml").write_text(json.dumps(run.gate["config"]))

    allowed = "allow_change=[model.dropout,trainer.max_steps]"
    go_on("model.dropout=0.0", step=10)
    go_on("model.dropout=0.2", allowed, step=25)
    go_on("model.dropout=0.4", allowed, step=28)

    def dropout_of(step: int) -> tuple[float, list[str]]:
        config = config_for(folder, nearest_checkpoint(folder, lines_to(folder, step)), step)
        return config["model"]["dropout"], config["allow_change"]

    written = json.loads((folder / "config.yaml").read_text())
    moved = written | {"data": written["data"] | {"path": str(tmp_path / "moved")}}
    (folder / "config.yaml").write_text(json.dumps(moved))
    assert config_for(folder, nearest_checkpoint(folder, lines_to(folder, 27)), 27)["data"] == moved["data"]
    (folder / "config.yaml").write_text(json.dumps(written))
    assert dropout_of(5) == (0.0, [])
    assert dropout_of(15) == (0.2, ["model.dropout", "trainer.max_steps"])  # from the checkpoint of step 10
    assert dropout_of(23) == (0.2, [])
    assert dropout_of(27) == (0.4, ["model.dropout", "trainer.max_steps"])
    lines = lines_to(folder, 15)
    checkpoint = nearest_checkpoint(folder, lines)
    config = config_for(folder, checkpoint, 15) | {"runs_dir": str(tmp_path / "scratch"), "resume": "auto"}
    again = assemble(CPU, Config(**check_config(config, DEFAULT_TARGETS)))
    assert replay(again, checkpoint, lines).differs is None
    again.loader.close()


def test_a_step_that_was_never_done_is_refused(trained: Path) -> None:
    with pytest.raises(ConfigError, match=r"^step: 31 is not in .*metrics.jsonl, whose last is 30$"):
        lines_to(trained, 31)
    shutil.copy(trained / "metrics.jsonl", trained / "kept")
    (trained / "metrics.jsonl").write_text("")
    with pytest.raises(ConfigError, match="it was done and dropped 1 times: dropped=1 is the last of them"):
        lines_to(trained, 22)


def test_each_skipped_step_leaves_a_black_box(trained: Path, again: Run) -> None:
    boxes = sorted((trained / "blackbox").iterdir())
    assert [box.name for box in boxes] == [f"step_{step + 1:08d}_batch_{step:08d}" for step in BAD]
    facts = json.loads((boxes[0] / "step.json").read_text())
    assert facts["loss"] == "NaN" and facts["skipped"] and len(facts["grad_norm_per_parameter"]) > 20
    sequences = [json.loads(line) for line in (boxes[0] / "sequences.jsonl").read_text().splitlines()]
    tokens_BT = np.load(boxes[0] / "tokens.npy")
    plan = again.plan
    assert tokens_BT.shape == (plan.global_batch_size, plan.seq_len + 1)
    losses = [sequence["loss"] for sequence in sequences]
    assert losses[: plan.micro_batch_size] == ["NaN"] * plan.micro_batch_size  # the first micro batch, and it first
    assert all(isinstance(loss, float) for loss in losses[plan.micro_batch_size :])
    for sequence in sequences:
        row = tokens_BT[sequence["sample"] - facts["data_step"] * plan.global_batch_size]
        assert sequence["text"] == again.tokenizer.decode(row.tolist())
        parts = [(document["first"], document["end"]) for document in sequence["documents"]]
        assert parts[0][0] == 0 and parts[-1][1] == plan.seq_len
        assert all(one[1] == other[0] for one, other in itertools.pairwise(parts))
    again.loader.close()


def test_documents_are_those_of_the_input(trained: Path, again: Run) -> None:
    """Each part of a sample is the text of its document, at that row of the input."""
    lines = list(read_metrics(trained / "metrics.jsonl"))
    found = replay(again, None, lines[:1]).inside
    assert found is not None
    eot = again.loader.dataset.manifest.eot_id
    for sequence, row in zip(found.sequences, found.tokens_BT, strict=True):
        ends = [document["end"] for document in sequence["documents"]][:-1]
        assert all(row[end - 1] == eot for end in ends)
        assert (row[: sequence["documents"][-1]["end"]] == eot).sum() in (len(ends), len(ends) + 1)
    again.loader.close()
