"""Every model learns a few sequences by heart, what is broken does not and is told how, and the run stays as it was."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from pretrain.debug.by_heart import judged
from pretrain.debug.overfit import Overfitting, conditional_entropy, overfit, synthetic
from pretrain.debug.rung import Verdict
from pretrain.evaluate.loss import token_nats
from pretrain.mesh import Mesh
from pretrain.run import Run, state_of
from pretrain.types import IGNORE

CPU = Mesh(0, 1, 0, torch.device("cpu"))
LINE = [
    "model.d_model=32",
    "model.context_len=64",
    "trainer.seq_len=32",
    "trainer.global_batch_size=8",
    "trainer.micro_batch_size=2",
    "data.max_epochs_per_source=null",
    "precision=float32",
    "logger=none",
    "eval=none",
    "checkpoint=none",
    "optim.lr=1e-2",
    "run_name=run",
]
MODELS = {
    "gpt_tiny": ["model.num_layers=2", "model.num_heads=2", "model.dropout=0.1"],
    "lstm_tiny": ["model.dropout=0.1", "optim.lr=2e-2"],
    "bigram": [],
}
Make = Callable[..., Run]


@pytest.fixture(name="make")
def maker(worker: ModuleType, data_dir: Path, tmp_path: Path) -> Make:
    def make_run(model: str = "gpt_tiny", *more: str) -> Run:
        line = [f"model={model}", *LINE, *MODELS[model], f"data.path={data_dir}", f"runs_dir={tmp_path}", *more]
        run = worker.make_run(CPU, line)
        run.loader.close()
        return run

    return make_run


def one(run: Run, **changes: object) -> Overfitting:
    return overfit(run, **{"sequences": [1], "synthetic_lengths": [], **changes})


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_all_of_them_by_heart(make: Make, model: str) -> None:
    run = make(model)
    found = overfit(run)
    assert found.passed, found.verdict
    shapes = [(attempt.num_sequences, attempt.seq_len) for attempt in found.attempts]
    assert shapes == [(1, 16), (1, 32), (1, 32), (2, 32), (5, 32)]
    for attempt in found.attempts:
        assert attempt.losses[0] > 5 and attempt.floor <= attempt.losses[-1] + 1e-3 <= attempt.floor + 0.2
        assert attempt.floor < 0.2 or model == "bigram"
        assert attempt.target_probs[0] < 0.05 and attempt.target_probs[-1] > 0.3
        assert attempt.looks[-1] == len(attempt.losses) and len(attempt.looks) == len(attempt.target_probs)
        assert all(norm > 0 for norm in attempt.position_norms[0]) and len(attempt.position_norms[0]) == attempt.seq_len
        assert all(norm > 0 for norm in attempt.layer_norms[0].values())
        assert attempt.name in found.verdict and "gradient at first, by layer: " in attempt.gradients_told


def test_the_run_is_bitwise_what_it_was(make: Make) -> None:
    run = make("gpt_tiny")
    run.loader.first(1)
    run.model.blocks[0].eval()
    parameter = next(run.model.parameters())
    parameter.grad = torch.full_like(parameter, 3.0)
    for tensor in run.optimizer.tensors().values():
        tensor.add_(0.25)
    before = {name: tensor.clone() for name, tensor in state_of(run).tensors.items()}
    modes = [module.training for module in run.model.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    one(run, max_steps=3)
    for name, tensor in state_of(run).tensors.items():
        assert torch.equal(tensor, before[name]), name
    assert [module.training for module in run.model.modules()] == modes
    assert torch.equal(parameter.grad, torch.full_like(parameter, 3.0))
    assert all(other.grad is None for other in list(run.model.parameters())[1:])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == states[1:]  # noqa: NPY002
    assert all(not module._forward_hooks for module in run.model.modules())


def test_it_is_the_same_twice_and_dropout_is_on(make: Make) -> None:
    run = make("gpt_tiny", "model.dropout=0.3")
    one_time, other = (one(run, max_steps=4).attempts[0] for _ in "ab")
    assert one_time == other
    batch = run.loader.first(1)
    plain = run.model.eval().loss_sum(batch.inputs_BT, batch.targets_BT)[0].item() / 32
    assert abs(one_time.losses[0] - plain) > 1e-4


def test_the_gradient_of_a_position_is_that_of_its_embedding(make: Make) -> None:
    run = make("gpt_tiny", "model.dropout=0")
    attempt, batch = one(run, max_steps=1).attempts[0], run.loader.first(1)
    norms = []
    for t in range(0, 32, 9):
        # moved along its gradient, an embedding changes the loss by the gradient's norm: by finite differences
        moved = torch.zeros(1, 32, 32, dtype=torch.float64, requires_grad=True)
        run.model.double()
        handle = run.model.token_embedding.register_forward_hook(lambda _m, _i, out, moved=moved: out + moved)
        loss = token_loss(run, batch.inputs_BT, batch.targets_BT)
        (gradient,) = torch.autograd.grad(loss, moved)
        direction = gradient[0, t] / gradient[0, t].norm()
        moved.data[0, t] = 1e-4 * direction
        up = token_loss(run, batch.inputs_BT, batch.targets_BT).item()
        moved.data[0, t] = -1e-4 * direction
        down = token_loss(run, batch.inputs_BT, batch.targets_BT).item()
        handle.remove()
        norms.append((up - down) / 2e-4)
    assert attempt.position_norms[0][::9] == pytest.approx(norms, rel=1e-3)


def token_loss(run: Run, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
    logits = torch.nn.functional.linear(run.model._hidden(inputs_BT), run.model.token_embedding.weight)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets_BT.flatten())


def test_the_floor_is_the_entropy_of_what_is_seen() -> None:
    inputs = torch.tensor([[1, 2, 1, 2], [1, 3, 1, 2]])
    targets = torch.tensor([[2, 1, 2, 4], [3, 1, 2, IGNORE]])
    # pairs: 1 -> 2, 2, 3, 2; 2 -> 1, 4; 3 -> 1
    of_pairs = (4 * (0.25 * math.log(4) + 0.75 * math.log(4 / 3)) + 2 * math.log(2)) / 7
    assert conditional_entropy(inputs, targets, 1) == pytest.approx(of_pairs)
    # of whole sequences only the first token is seen before two different ones
    assert conditional_entropy(inputs, targets) == pytest.approx(2 * math.log(2) / 7)


def test_a_learning_rate_of_nothing_is_told(make: Make) -> None:
    found = one(make("gpt_tiny", "optim.lr=1e-12"), max_steps=5)
    assert (
        not found.passed and "the loss is not down to 0.1" in found.verdict and "optim.lr than 1e-12" in found.verdict
    )


def test_what_is_frozen_stays_and_the_rest_learns(make: Make) -> None:
    run = make("gpt_tiny", "model.dropout=0")
    run.model.blocks[1].requires_grad_(False)
    found = one(run)
    assert found.passed, found.verdict
    assert found.attempts[0].frozen[0] == "blocks.1.attention_norm.weight" and len(found.attempts[0].frozen) == 12
    run.model.blocks.requires_grad_(False)
    run.model.position_embedding.requires_grad_(False)
    found = one(run, max_steps=5)
    attempt = found.attempts[0]
    assert attempt.problems == [attempt.slow] and "too much is frozen for it: position_embedding" in attempt.slow


def test_an_optimizer_that_moves_what_is_frozen_or_leaves_what_learns_is_told(make: Make) -> None:
    run = make("gpt_tiny")
    frozen = run.model.blocks[1].feed_forward.up.weight.requires_grad_(False)
    honest, stuck = run.optimizer.step, run.model.final_norm.bias

    def step(lr: float, bad: Tensor, grad_scale: Tensor) -> None:
        before = stuck.detach().clone()
        honest(lr, bad, grad_scale)
        with torch.no_grad():
            frozen.mul_(1 - 1e-3)
            stuck.copy_(before)

    run.optimizer.step = step  # type: ignore[method-assign]
    told = one(run, max_steps=3).verdict
    assert "frozen, and changed all the same: blocks.1.feed_forward.up.weight; mend optim=" in told
    assert "what they were, though they have gradients: final_norm.bias; does the optimizer hold them?" in told


def test_an_expert_needs_one_batch_of_all_to_reach_it(make: Make, load_module: Callable[[Path], ModuleType]) -> None:
    faults = load_module(Path(__file__).with_name("faults.py"))
    run = make("gpt_tiny", "model.dropout=0")
    layer = run.model.blocks[1].feed_forward
    run.model.blocks[1].feed_forward = faults.Expert(layer, 32, lambda x_BTD: x_BTD.size(1) == 32)
    found = overfit(run, [1], [16], max_steps=40, tolerance=9)
    expert = ["blocks.1.feed_forward.branch.weight", "blocks.1.feed_forward.branch.bias"]
    assert [attempt.untouched for attempt in found.attempts] == [expert, []]
    assert found.passed, found.verdict
    found = overfit(run, [], [8, 16], max_steps=2, tolerance=9)
    assert f"no gradient reaches {', '.join(expert)}" in found.verdict


def test_it_ends_in_time_and_says_what_it_left_out(make: Make) -> None:
    told: list[str] = []
    found = overfit(make("gpt_tiny"), [1, 2], [16], most_s=0.0, beat=told.append)
    assert [attempt.slow[:32] for attempt in found.attempts] == ["no time for more than 1 step: th"]
    assert [problem.verdict for problem in judged(found)] == [Verdict.WARNING]
    assert told.count("") > 20  # layers, forward and backward
    assert any(text.startswith("a synthetic sequence of 16 tokens, step 1 of at most 300, loss ") for text in told)
    found = overfit(make("gpt_tiny"), [1, 2], [16], most_s=0.0, tolerance=99)
    assert found.left_out == ["the first sequence", "the first 2 sequences"] and found.passed
    assert "no time for the first sequence, the first 2 sequences: " in judged(found)[0].text


def test_a_layer_that_no_gradient_reaches_is_named(make: Make) -> None:
    run = make("gpt_tiny")
    run.model.blocks[1].register_forward_hook(lambda module, inputs, output: inputs[0])
    assert "no gradient reaches blocks.1" in one(run, max_steps=3).verdict


def test_positions_that_no_gradient_reaches_are_named(make: Make) -> None:
    run = make("gpt_tiny")
    run.model.blocks[0].register_forward_pre_hook(
        lambda module, inputs: (torch.cat([inputs[0][:, :3].detach(), inputs[0][:, 3:]], 1), *inputs[1:])
    )
    assert "no gradient reaches the embeddings at the positions [0, 1, 2], 3 in all" in one(run, max_steps=3).verdict


@pytest.mark.slow
def test_a_loss_that_takes_the_wrong_targets_is_told(make: Make) -> None:
    run = make("gpt_tiny", "model.dropout=0")
    right = run.model.loss_sum
    run.model.loss_sum = lambda inputs, targets, keys=None: right(inputs, targets.roll(-1, dims=1), keys)
    found = one(run)
    assert "with nothing random loss_sum gives 0.0" in found.verdict and "other targets" in found.verdict


def test_a_synthetic_sequence_is_random_and_the_same_each_time(make: Make) -> None:
    run = make("bigram")
    one_time, other = synthetic(run, 30), synthetic(run, 30)
    assert torch.equal(one_time.inputs_BT, other.inputs_BT) and torch.equal(one_time.keys_B, other.keys_B)
    assert torch.equal(one_time.inputs_BT[:, 1:], one_time.targets_BT[:, :-1])
    assert one_time.inputs_BT.unique().numel() > 25 and one_time.inputs_BT.max() < 512
    nats_BT = token_nats(run.model, one_time.inputs_BT, one_time.targets_BT)
    assert nats_BT.shape == (1, 30)


@pytest.mark.slow
def test_a_run_of_two_ranks_goes_on_as_if_nothing_had_been(
    overrides: list[str], tmp_path: Path, run_ranks: Callable[..., str]
) -> None:
    worker = Path(__file__).with_name("overfit_worker.py")
    for overfits in (False, True):
        run_ranks(worker, tmp_path, overfits, *overrides, "trainer.max_steps=2", ranks=2)
    (_, plain), (first, one), (second, other) = (
        torch.load(tmp_path / f"{name}.pt") for name in ("False0", "True0", "True1")
    )
    assert first == second and len(first) == 4 and first[-1] < first[0]
    assert all(torch.equal(tensor, one[name]) and torch.equal(tensor, other[name]) for name, tensor in plain.items())
