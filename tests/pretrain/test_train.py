"""One step and the loop around it: the gradient of any split, a NaN that touches nothing, lines that tell the truth."""

from __future__ import annotations

import itertools
import json
import math
import resource
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import pretrain.train as loop
from pretrain.checkpoint.checkpointer import NoCheckpoint
from pretrain.checkpoint.errors import ResumeRefused, SaveFailed
from pretrain.checkpoint.integrity import step_folders
from pretrain.checkpoint.labels import Label, read_label
from pretrain.checkpoint.reading import open_checkpoint
from pretrain.evaluate.evaluator import NoEval
from pretrain.mesh import Mesh
from pretrain.metrics.lines import read_metrics
from pretrain.run import Run, restore
from pretrain.seats import nothing
from pretrain.train import forward_backward, norms_of_gradients, norms_plainly, train
from pretrain.types import IGNORE, Status, TrainState

WORKER = Path(__file__).with_name("train_worker.py")
CPU = Mesh(0, 1, 0, torch.device("cpu"))


def test_norms_of_gradients_are_the_formula_s() -> None:
    model = nn.Sequential(nn.Linear(40, 30), nn.LayerNorm(30), nn.Linear(30, 1))
    model(torch.randn(50, 40, generator=torch.Generator().manual_seed(1))).sum().backward()
    model[1].bias.grad = None
    model[2].weight.requires_grad_(False)
    norms_P = norms_of_gradients(model)
    torch.testing.assert_close(norms_plainly(model), norms_P)
    assert norms_P[0].item() == pytest.approx(float(model[0].weight.grad.double().square().sum().sqrt()), rel=1e-5)
    assert (len(norms_P), norms_P[3].item()) == (5, 0.0)


def gradients(run: Run) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in run.model.named_parameters()}


def whole_batch(run: Run, data_step: int) -> tuple[float, dict[str, Tensor], int]:
    """The oracle: mean loss of all targets of the global batch in one float64 pass, no parts, no weights."""
    batches = run.loader.micro_batches(data_step)
    inputs = torch.cat([batch.inputs_BT for batch in batches])
    targets = torch.cat([batch.targets_BT for batch in batches])
    model = run.model.double()
    logits = functional.linear(model._hidden(inputs), model.token_embedding.weight)
    loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
    loss.backward()
    found = gradients(run)
    model.float().zero_grad(set_to_none=True)
    return loss.item(), found, int((targets != IGNORE).sum())


@pytest.mark.parametrize("micro_batch_size", [1, 2, 4, 8])
def test_any_split_has_the_gradient_of_the_whole_batch(
    worker: ModuleType, overrides: list[str], micro_batch_size: int
) -> None:
    run = worker.make_run(CPU, [*overrides, f"trainer.micro_batch_size={micro_batch_size}"])
    for data_step in range(3):
        loss, expected, num_targets = whole_batch(run, data_step)
        assert num_targets < run.plan.tokens_per_step  # documents end inside: some targets are masked
        result = forward_backward(run, run.loader.micro_batches(data_step))
        assert result.num_targets.item() == num_targets and result.num_targets.dtype == torch.int64
        assert result.loss.item() == pytest.approx(loss, rel=1e-5)
        norm = torch.stack([gradient.square().sum() for gradient in expected.values()]).sum().sqrt()
        assert result.grad_norm.item() == pytest.approx(norm.item(), rel=1e-4)
        for name, gradient in gradients(run).items():
            torch.testing.assert_close(gradient, expected[name].float(), rtol=1e-3, atol=1e-6, msg=name)
        run.optimizer.zero_grad()
    run.loader.close()


def test_the_loss_of_each_source_is_that_of_its_own_sequences(
    worker: ModuleType, overrides: list[str], tmp_path: Path, write_data: Callable[..., None]
) -> None:
    words = {"web": "the quick brown fox jumps over it ", "code": "def f(x): return x + 1  # of code\n"}
    texts = {name: [text * 9 for _ in range(40)] for name, text in words.items()}
    write_data(tmp_path / "two", texts, {"web": texts["web"][:2]}, 280)
    line = [text for text in overrides if not text.startswith("data.path=")]
    run = worker.make_run(CPU, [*line, f"data.path={tmp_path / 'two'}", "trainer.max_steps=4"])
    expected, tokens = [], []
    for data_step in range(4):
        sums: dict[str, list[float]] = {name: [0.0, 0] for name in run.loader.samples.sources}
        for batch in run.loader.micro_batches(data_step):
            for row, source in enumerate(run.loader.samples.sources_of(batch.samples).tolist()):
                logits, targets = run.model(batch.inputs_BT[row : row + 1])[0], batch.targets_BT[row]
                loss = functional.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum")
                sums[list(sums)[source]][0] += loss.item()
                sums[list(sums)[source]][1] += int((targets != IGNORE).sum())
        expected.append({name: nats / count for name, (nats, count) in sums.items() if count})
        tokens.append({name: count for name, (_, count) in sums.items() if count})
    object.__setattr__(run, "max_grad_norm", 1e-30)  # every step is clipped to nothing: all are of the same weights
    run.optimizer.lr = 1e-12
    assert train(run) is Status.FINISHED
    run.loader.close()
    run.log.close("finished")
    lines = list(read_metrics(tmp_path / "run/metrics.jsonl"))
    assert [line["source_losses"] for line in lines] == [pytest.approx(losses, rel=1e-4) for losses in expected]
    assert [line["source_tokens"] for line in lines] == tokens
    assert len({line["batch_hash"] for line in lines}) == 4
    assert all(line["grad_max_name"] in dict(run.model.named_parameters()) for line in lines)
    assert all(0 < line["grad_max"] <= line["grad_norm"] for line in lines)


def test_micro_batches_hold_unequal_numbers_of_targets(worker: ModuleType, overrides: list[str]) -> None:
    run = worker.make_run(CPU, overrides)
    counts = {int((batch.targets_BT != IGNORE).sum()) for batch in run.loader.micro_batches(0)}
    run.loader.close()
    assert len(counts) > 1


def test_a_nan_in_an_early_micro_batch_skips_the_step_and_nothing_else(
    worker: ModuleType, overrides: list[str], tmp_path: Path
) -> None:
    run = worker.make_run(CPU, overrides)
    worker.Poison(run, step=3)
    snapshots = worker.Snapshots(run)
    object.__setattr__(run, "profiler", snapshots)
    assert train(run) is Status.FINISHED
    run.loader.close()
    run.log.close("finished")
    check_one_skip(snapshots.seen, step=3)
    lines = list(read_metrics(tmp_path / "run/metrics.jsonl"))
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert [line["skipped"] for line in lines] == [step == 4 for step in range(1, 9)]
    assert [line["num_updates"] for line in lines] == [1, 2, 3, 3, 4, 5, 6, 7]
    journal = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").read_text().splitlines()]
    assert [(line["event"], line["step"], line["data_step"]) for line in journal] == [("skip", 4, 3)]


def check_one_skip(seen: list[dict[str, Tensor]], step: int) -> None:
    """Every tensor of model, moments and counters kept its bits in that step alone."""
    weights = [name for name in seen[0] if not name.startswith("guard.")]
    assert len(weights) > 50
    for number, (before, after) in enumerate(itertools.pairwise(seen)):
        changed = [name for name in weights if not torch.equal(before[name], after[name])]
        assert (changed == []) if number == step else (len(changed) > len(weights) / 2), number
        assert all(torch.isfinite(tensor).all() for tensor in after.values())


def test_what_the_guard_counted_goes_on_with_the_run(worker: ModuleType, overrides: list[str]) -> None:
    line = [*overrides, "checkpoint=default"]
    run = worker.make_run(CPU, line)
    worker.Poison(run, step=3)
    assert train(run) is Status.FINISHED
    again = worker.make_run(CPU, [*line, "allow_change=[spike]"])
    assert restore(again)
    assert again.guard.facts() == run.guard.facts() != worker.make_run(CPU, line).guard.facts()
    for name, tensor in run.guard.tensors().items():
        assert torch.equal(tensor, again.guard.tensors()[name])
    for ended in (run, again):
        ended.loader.close()


@pytest.mark.slow
def test_a_nan_on_one_rank_skips_the_step_on_all(
    overrides: list[str], tmp_path: Path, one_thread: dict[str, str], typed: Any
) -> None:
    code, text = typed.start(WORKER, [str(tmp_path), *overrides], tmp_path, one_thread, ranks=2).wait()
    assert code == 0, text
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    for status, num_updates, seen in ranks:
        assert (status, num_updates) == ("finished", 7)
        check_one_skip(seen, step=3)
    for one, other in zip(ranks[0][2], ranks[1][2], strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_loss_falls(worker: ModuleType, overrides: list[str], tmp_path: Path) -> None:
    run = worker.make_run(CPU, [*overrides, "trainer.max_steps=40", "optim.lr=1e-2", "schedule.warmup_steps=5"])
    assert train(run) is Status.FINISHED
    run.loader.close()
    losses = [line["loss"] for line in read_metrics(tmp_path / "run/metrics.jsonl")]
    assert losses[0] == pytest.approx(torch.tensor(512.0).log().item(), abs=0.3)
    assert sum(losses[-5:]) / 5 < losses[0] - 0.5


def textbook(run: Run, steps: int, max_norm: float) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """The oracle: torch's optimizer and clipping, the mean loss of the whole batch, the learning rate's formula."""
    decayed = [parameter for parameter in run.model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in run.model.parameters() if parameter.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
    lines, tokens_seen = [], 0
    for step in range(steps):
        batches = run.loader.micro_batches(step)
        logits = torch.cat([run.model(batch.inputs_BT) for batch in batches])
        targets = torch.cat([batch.targets_BT for batch in batches])
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), max_norm)
        factor = (step + 1) / 3 if step < 2 else 0.1 + 0.45 * (1 + math.cos(math.pi * (step - 2) / (steps - 2)))
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * factor
        optimizer.step()
        tokens_seen += int((targets != IGNORE).sum())
        lines.append({"loss": loss.item(), "grad_norm": norm.item(), "lr": 1e-2 * factor, "tokens_seen": tokens_seen})
    return lines, dict(run.model.named_parameters())


@pytest.mark.parametrize(("setting", "max_norm"), [("0.05", 0.05), ("null", math.inf)])
def test_the_loop_is_the_textbook_s(
    worker: ModuleType, overrides: list[str], tmp_path: Path, setting: str, max_norm: float
) -> None:
    line = [*overrides, "optim.lr=1e-2", "schedule.warmup_steps=2", f"trainer.max_grad_norm={setting}"]
    run, twin = worker.make_run(CPU, line), worker.make_run(CPU, [*line, "run_name=twin"])
    start = {name: parameter.detach().clone() for name, parameter in run.model.named_parameters()}
    expected, weights = textbook(twin, steps=8, max_norm=max_norm)
    assert train(run) is Status.FINISHED
    for ended in (run, twin):
        ended.loader.close()
    run.log.close("finished")
    for found, wanted in zip(read_metrics(tmp_path / "run/metrics.jsonl"), expected, strict=True):
        assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-4)
    for name, parameter in run.model.named_parameters():
        error = (parameter - weights[name]).norm() / (weights[name] - start[name]).norm()
        assert error < 1e-3, name


def test_a_checkpoint_is_not_taken_with_other_data(worker: ModuleType, overrides: list[str], tmp_path: Path) -> None:
    line = [*overrides, "checkpoint=default", "trainer.max_steps=2"]
    first = worker.make_run(CPU, line)
    assert train(first) is Status.FINISHED
    path = str(tmp_path / "run/checkpoints/step_00000002")
    tokens = 2 * first.plan.tokens_per_step
    refused = {
        "data.mask_after_eot=false": r"data\.mask_after_eot +true +false +refused: ",
        f"data.mixture={{pydocs: {{tokens: {tokens}}}}}": r"pydocs\.samples_of_the_run .* can't be made longer",
    }
    for change, told in refused.items():
        other = worker.make_run(CPU, [*line, change, "run_name=other"])
        with pytest.raises(ResumeRefused, match=told):
            restore(other, path)
        other.loader.close()
    first.loader.close()


def test_a_save_that_lasts_is_told_to_what_listens_for_signals(worker: ModuleType, overrides: list[str]) -> None:
    run, told = worker.make_run(CPU, [*overrides, "trainer.max_steps=2"]), list[float]()
    object.__setattr__(run, "checkpointer", Slow())
    run.signal.saving_took = told.append
    assert train(run) is Status.FINISHED
    run.loader.close()
    assert len(told) == 1
    assert told[0] >= 0.1


class Slow(NoEval, NoCheckpoint):
    """On the evaluator's and the checkpointer's seat: takes its time every other step, and looks at autocast."""

    def __init__(self) -> None:
        self.slept_s, self.seen = 0.0, set[bool]()

    def due(self, step: int) -> bool:
        return step % 2 == 0

    def evaluate(self, step: int, between: Callable[[], None] = nothing) -> dict[str, Any]:
        self.save(step)
        self.seen.add(torch.is_autocast_enabled("cpu"))
        return {"val_loss": 1.0}

    def save(self, step: int, state: TrainState | None = None) -> None:
        time.sleep(0.1)
        self.slept_s += 0.1


@pytest.mark.parametrize("seat", ["evaluator", "checkpointer"])
def test_steps_are_timed_without_what_stands_between_them(
    worker: ModuleType, overrides: list[str], tmp_path: Path, seat: str
) -> None:
    run, slow = worker.make_run(CPU, overrides), Slow()
    object.__setattr__(run, seat, slow)
    started = time.perf_counter()
    run.log.start()
    assert train(run) is Status.FINISHED
    elapsed_s = time.perf_counter() - started
    run.loader.close()
    run.log.close("finished")
    times = [line["step_time_s"] for line in read_metrics(tmp_path / "run/metrics.jsonl")]
    assert slow.slept_s >= 0.4
    assert sum(times) <= elapsed_s - slow.slept_s


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_an_evaluation_computes_as_training_does(worker: ModuleType, overrides: list[str], precision: str) -> None:
    run, slow = worker.make_run(CPU, [*overrides, f"precision={precision}", "trainer.max_steps=2"]), Slow()
    object.__setattr__(run, "evaluator", slow)
    train(run)
    run.loader.close()
    assert slow.seen == {precision == "bf16"}


def test_a_checkpoint_never_outlives_the_lines_before_it(
    worker: ModuleType, overrides: list[str], tmp_path: Path, disk: Any
) -> None:
    run, seen = worker.make_run(CPU, [*overrides, "checkpoint=default", "checkpoint.every_steps=2"]), []

    def look(path: Path) -> None:
        if path.name != "checkpoints":
            return
        found = disk.after_power_loss(tmp_path / "run", tmp_path / f"found{len(seen)}", names_kept=True)
        seen.append(step_folders(found / "checkpoints")[0].name)
        held = open_checkpoint(found / "checkpoints" / seen[-1]).facts["line"]["step"]
        steps = {line["step"] for line in read_metrics(found / "metrics.jsonl")} | {held}
        assert set(range(1, held + 1)) <= steps

    disk.then = look
    assert train(run) is Status.FINISHED
    run.loader.close()
    assert {f"step_{step:08d}" for step in (2, 4, 6, 8)} <= set(seen)


class SavesEndBeforeTheirStepDoes:
    """On the profiler's seat: what goes on beside the steps has ended when the loop looks after it."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def step(self, step: int) -> None:
        while not self.run.checkpointer._beside.ended:
            time.sleep(0.001)

    def close(self) -> None:
        pass


def test_a_save_that_fails_beside_the_steps_ends_the_run_within_one(
    worker: ModuleType, overrides: list[str], tmp_path: Path
) -> None:
    run = worker.make_run(CPU, [*overrides, "checkpoint=default", "checkpoint.every_steps=2"])
    object.__setattr__(run, "profiler", SavesEndBeforeTheirStepDoes(run))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
    try:
        with pytest.raises(SaveFailed, match="step 2 could not be saved"):
            train(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        run.loader.close()
    assert run.progress.step == 3
    assert list((tmp_path / "run/checkpoints").iterdir()) == []


def test_a_run_labels_what_it_saved(worker: ModuleType, overrides: list[str], tmp_path: Path) -> None:
    run = worker.make_run(CPU, [*overrides, "checkpoint=default", "checkpoint.every_steps=2"])
    told = list[float]()
    run.signal.saving_took = told.append
    object.__setattr__(run, "profiler", SavesEndBeforeTheirStepDoes(run))
    assert train(run) is Status.FINISHED
    run.checkpointer.close()
    run.loader.close()
    found = {path.name: read_label(path).label for path in step_folders(tmp_path / "run/checkpoints")}
    healthy = dict.fromkeys(("step_00000004", "step_00000006"), Label.HEALTHY)
    assert found == healthy | {"step_00000008": Label.PENDING}
    assert len(told) == 4 + 3  # how long each was held; the last one ends after the loop


def test_what_the_guard_s_stop_leaves_is_labelled_bad(
    worker: ModuleType, overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [*overrides, "checkpoint=default", "checkpoint.every_steps=3", "trainer.max_steps=12"]
    run = worker.make_run(CPU, [*line, "spike.max_skips_in_row=2"])
    real, calls = loop.norm_of_gradients, itertools.count()
    norm = lambda model: real(model) * (float("nan") if next(calls) >= 5 else 1.0)  # noqa: E731
    monkeypatch.setattr(loop, "norm_of_gradients", norm)
    assert train(run) is Status.STOPPED
    run.loader.close()
    found = {path.name: read_label(path) for path in step_folders(tmp_path / "run/checkpoints")}
    bad = [name for name, labelled in found.items() if labelled.label is Label.BAD]
    last = f"step_{run.progress.step:08d}"
    assert bad[0] == last and "step_00000006" in bad and "step_00000003" not in bad
    assert found[last].reason == f"the guard ended the run at step {run.progress.step}, no clean step followed"
    again = worker.make_run(CPU, [*line, "allow_change=[spike]"])
    assert restore(again) and again.progress.step == 3
    again.loader.close()


@pytest.mark.slow
def test_ranks_have_generators_of_their_own(
    overrides: list[str], tmp_path: Path, one_thread: dict[str, str], typed: Any
) -> None:
    line = [*overrides, "trainer.max_steps=1"]
    code, text = typed.start(WORKER, [str(tmp_path), *line], tmp_path, one_thread, ranks=2).wait()
    assert code == 0, text
    seeds = [(tmp_path / f"seed{rank}.txt").read_text() for rank in range(2)]
    assert seeds[0] != seeds[1]
