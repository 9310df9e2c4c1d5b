"""Learning a few sequences by heart: what can't bring the loss of one sequence near 0 won't learn a corpus.

Every step takes the same batch with the same keys and the same random states, so nothing but the weights changes from
one to the next. Regularisation stays as it is configured; the learning rate is optim.lr after a short warm-up, for a
schedule is cut to a run of its own length.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from foundation.text import number_of
from pretrain.checkpoint.state import seed_generators
from pretrain.data.keys import sample_keys
from pretrain.debug.eager import eager
from pretrain.debug.gradients import listed
from pretrain.debug.kept import kept
from pretrain.debug.pulse import Beat, beating
from pretrain.debug.watched_gradients import PositionGradients, layer_norms
from pretrain.evaluate.loss import token_nats
from pretrain.heartbeat import Phase
from pretrain.parallel.replicas import digest
from pretrain.run import Run, trained_names
from pretrain.train import clip_scale, norm_of_gradients, norms_of_gradients
from pretrain.types import IGNORE, Batch

SEQUENCES = (1, 2, 5)
SYNTHETIC_LENGTHS = (16, 128, None)  # tokens; None: trainer.seq_len
WARMUP_STEPS = 10
LOOK_EVERY_STEPS = 10  # at the probabilities of the targets and at the gradients' norms: a forward pass of its own
SHOWN_POSITIONS = 4  # parts of the sequence at whose ends the gradient's norm is told
# By how much the two paths to the loss may differ, relative: other orders of the same sums
SAME_LOSS, SAME_LOSS_ROUNDED = 1e-4, 2e-2  # in float32, under autocast


@dataclass(slots=True)
class Attempt:
    """One batch that was to be learnt by heart.

    Attributes:
        name: what it was, in words. num_sequences, seq_len: its shape.
        floor: nats per target below which no model can come that sees what this one sees.
        losses: nats per target of each step, before its update, by the training path.
        looks: steps at which the following were measured, the last one after the last update.
        target_probs: mean probability of the targets, by the evaluation path.
        layer_norms: L2 norm of the gradient of each layer, by its name.
        position_norms: L2 norm of the loss's gradient by the embedding of each position, over the sequences; empty
            where a model has no nn.Embedding that takes the tokens.
        training_loss, evaluation_loss: nats per target by `loss_sum` and by `forward`, both with nothing random, at the
            end.
        frozen: names of the parameters that learn nothing by design; they are what they were.
        untouched: names of the others that no gradient has reached: an expert, perhaps, that these tokens don't take.
        problems: what is wrong, a sentence each; none where it was learnt.
        slow: empty, or in a sentence that the loss fell more than half of the way, and not all of it; with frozen
            parameters, which may be what hinders it, that it fell at all.
    """

    name: str
    num_sequences: int
    seq_len: int
    floor: float
    losses: list[float] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)
    target_probs: list[float] = field(default_factory=list)
    layer_norms: list[dict[str, float]] = field(default_factory=list)
    position_norms: list[list[float]] = field(default_factory=list)
    training_loss: float = math.nan
    evaluation_loss: float = math.nan
    frozen: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    slow: str = ""

    @property
    def gradients_told(self) -> str:
        """The gradient's norm by layer and by position, at the first step, in a line."""
        layers = {name: norm for name, norm in self.layer_norms[0].items() if norm}
        if not layers:
            return "no layer has a gradient"
        told = f"gradient at first, by layer: {', '.join(f'{name} {norm:.2g}' for name, norm in layers.items())}"
        places = self.position_norms[0]
        picked = sorted({round((len(places) - 1) * number / SHOWN_POSITIONS) for number in range(SHOWN_POSITIONS + 1)})
        at = (
            ", ".join(f"{t} {places[t]:.2g}" for t in picked)
            if places
            else "not known: no embedding that learns takes the tokens"
        )
        return f"{told}; by position: {at}"

    @property
    def told(self) -> str:
        """How it went, in a line."""
        steps, prob = len(self.losses), self.target_probs[-1]
        return (
            f"{self.name}: loss {self.losses[0]:.3f} to {self.losses[-1]:.3f} in {steps} steps (floor "
            f"{self.floor:.3f}), targets at a probability of {prob:.2f}{''.join(f'; {p}' for p in self.problems)}"
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """When an attempt ends. Attributes: as `overfit` takes them; until_s: of the monotonic clock."""

    max_steps: int
    tolerance: float
    until_s: float


@dataclass(slots=True)
class Overfitting:
    """All attempts, in the order in which they were made; the first one that failed is the last.

    Attributes:
        left_out: names of the batches that there was no time for.
    """

    attempts: list[Attempt]
    left_out: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not any(attempt.problems for attempt in self.attempts)

    @property
    def verdict(self) -> str:
        """What was found, an attempt a line."""
        return "\n".join(attempt.told for attempt in self.attempts)


def overfit(
    run: Run,
    sequences: Sequence[int] = SEQUENCES,
    synthetic_lengths: Sequence[int | None] = SYNTHETIC_LENGTHS,
    max_steps: int = 300,
    tolerance: float = 0.1,
    most_s: float = math.inf,
    beat: Beat | None = None,
) -> Overfitting:
    """Learn synthetic sequences and the run's first ones by heart, the easiest first; leave the run bitwise as it was.

    No rank waits for another. On one device it needs no more memory than the run: what it changes is kept on the host.
    Parameters that are frozen stay so.

    Args:
        run: as assembled or restored; each attempt begins with its weights and with an optimizer that has seen nothing.
        sequences: how many of the run's first sequences, an attempt each.
        synthetic_lengths: tokens of random sequences, an attempt each; None is trainer.seq_len, which bounds them.
        max_steps: of an attempt.
        tolerance: nats per target above the floor at which a batch is learnt.
        most_s: seconds after which no further step is taken, and no further batch is tried.
        beat: told in each step how far it is, and between its layers that it goes on.
    """
    seq_len, found = run.plan.seq_len, Overfitting([])
    limits, beat = Limits(max_steps, tolerance, time.monotonic() + most_s), beat or _quiet
    lengths = sorted({min(length or seq_len, seq_len) for length in synthetic_lengths})
    batches = [(f"a synthetic sequence of {length} tokens", synthetic(run, length)) for length in lengths]
    for count in sequences:
        name = "the first sequence" if count == 1 else f"the first {count} sequences"
        batches.append((name, run.loader.first(count)))
    for name, batch in batches:
        # lengths of checks alone would be compiled anew, each of them
        with kept(run, copies=True), eager(run.model), beating(run.model, run.mesh.device, beat):
            found.attempts.append(_attempt(run, name, batch, limits, beat))
        if found.attempts[-1].problems:
            break
        if time.monotonic() > limits.until_s:
            found.left_out = [name for name, _ in batches[len(found.attempts) :]]
            break
    last = found.attempts[-1]
    if never := [name for name in last.untouched if all(name in attempt.untouched for attempt in found.attempts)]:
        last.problems.append(f"no gradient reaches {listed(never)}")
    return found


def synthetic(run: Run, length: int) -> Batch:
    """Return one sequence of ids drawn alike from the vocabulary, a function of the run's seed and the length."""
    vocab_size = run.loader.dataset.manifest.vocab_size
    generator = torch.Generator().manual_seed(run.plan.seed % 2**63)
    ids_BT = torch.randint(vocab_size, (1, length + 1), generator=generator)
    samples = np.zeros(1, dtype=np.int64)
    keys_B = torch.from_numpy(sample_keys(run.plan.seed, 0, samples))
    device = run.mesh.device
    inputs_BT, targets_BT = ids_BT[:, :-1].contiguous().to(device), ids_BT[:, 1:].contiguous().to(device)
    return Batch(inputs_BT, targets_BT, samples, keys_B.to(device))


def conditional_entropy(inputs_BT: Tensor, targets_BT: Tensor, seen_tokens: int | None = None) -> float:
    """Return nats per target that stay where the same tokens seen are followed by different ones: the least loss.

    Args:
        inputs_BT: (B, T) int64 ids.
        targets_BT: (B, T) int64, IGNORE where masked.
        seen_tokens: up to the current one; None: all of the sequence so far.
    """
    pairs: Counter[tuple[bytes, int]] = Counter()
    inputs, targets = inputs_BT.cpu().numpy(), targets_BT.cpu().numpy()
    for row, of_row in zip(inputs, targets.tolist(), strict=True):
        for t, target in enumerate(of_row):
            if target != IGNORE:
                start = 0 if seen_tokens is None else max(0, t + 1 - seen_tokens)
                pairs[row[start : t + 1].tobytes(), target] += 1
    seen: Counter[bytes] = Counter()
    for (context, _), count in pairs.items():
        seen[context] += count
    nats = sum(count * math.log(seen[context] / count) for (context, _), count in pairs.items())
    return nats / max(1, pairs.total())


def _attempt(run: Run, name: str, batch: Batch, limits: Limits, beat: Beat) -> Attempt:
    floor = conditional_entropy(batch.inputs_BT, batch.targets_BT, run.model.seen_tokens)
    attempt = Attempt(name, batch.inputs_BT.size(0), batch.inputs_BT.size(1), floor)
    before = _digests(run.model)
    largest_P = torch.zeros(len(trained_names(run.model)), device=run.mesh.device)
    for tensor in run.optimizer.tensors().values():
        tensor.zero_()
    for step in range(limits.max_steps):
        run.mesh.heartbeat.at(Phase.STARTING)
        looks = step % LOOK_EVERY_STEPS == 0
        if looks:
            _look(run, batch, attempt, step)
        loss = _forward_backward(run, batch, attempt if looks else None)
        attempt.losses.append(loss)
        beat(f"{name}, step {step + 1} of at most {limits.max_steps}, loss {loss:.3f}")
        norms_P = norms_of_gradients(run.model)
        torch.maximum(largest_P, norms_P, out=largest_P)
        if not math.isfinite(loss) or loss <= floor + limits.tolerance or time.monotonic() > limits.until_s:
            break
        norm = norm_of_gradients(norms_P)
        scale, bad = clip_scale(norm, run.max_grad_norm), torch.zeros_like(norm)
        run.optimizer.step(run.optimizer.lr * min(1.0, (step + 1) / WARMUP_STEPS), bad, scale)
        run.optimizer.zero_grad()
    run.optimizer.zero_grad()
    _look(run, batch, attempt, len(attempt.losses))
    attempt.training_loss, attempt.evaluation_loss = _both_paths(run, batch)
    _note_parameters(run.model, attempt, largest_P, before)
    _judge(run, attempt, limits)
    scored_T = (batch.targets_BT != IGNORE).any(dim=0).tolist()
    deaf = [t for t, norm in enumerate(attempt.position_norms[0]) if scored_T[t] and norm == 0]
    if deaf:
        attempt.problems.append(f"no gradient reaches the embeddings at the positions {deaf[:5]}, {len(deaf)} in all")
    return attempt


def _digests(model: nn.Module) -> dict[str, int]:
    """Return the digest of each parameter's bits, by its name."""
    digests = {name: digest(parameter) for name, parameter in model.named_parameters()}
    return {name: int(each) for name, each in digests.items()}


def _note_parameters(model: nn.Module, attempt: Attempt, largest_P: Tensor, before: dict[str, int]) -> None:
    """Take into the attempt what became of each parameter.

    Args:
        largest_P: (P,) float32, the largest gradient norm of each trained one over the steps, in their order.
        before: digests as the attempt began.
    """
    names, after = trained_names(model), _digests(model)
    attempt.frozen = [name for name in before if name not in set(names)]
    largest = dict(zip(names, largest_P.tolist(), strict=True))
    attempt.untouched = [name for name, norm in largest.items() if norm == 0]
    if len(attempt.losses) > 1:  # else the optimizer has taken no step
        stuck = [name for name, norm in largest.items() if norm > 0 and after[name] == before[name]]
        if stuck:
            attempt.problems.append(
                f"these parameters are what they were, though they have gradients: {listed(stuck)}; does the optimizer "
                "hold them?"
            )
    if thawed := [name for name in attempt.frozen if after[name] != before[name]]:
        attempt.problems.append(f"frozen, and changed all the same: {listed(thawed)}; mend optim=")


def _forward_backward(run: Run, batch: Batch, attempt: Attempt | None) -> float:
    """Leave the gradient of the mean loss in `.grad`, its norms in the attempt; return the loss, nats per target."""
    seed_generators(run.plan.seed)
    run.model.train()
    num_targets = (batch.targets_BT != IGNORE).sum().clamp(min=1)
    with PositionGradients(run.model, batch.inputs_BT.shape) as positions:
        with run.numerics.autocast(run.mesh.device):
            loss_sum, _ = run.model.loss_sum(batch.inputs_BT, batch.targets_BT, batch.keys_B)
        loss = loss_sum / num_targets
        loss.backward()  # type: ignore[no-untyped-call]
    if attempt is not None:
        attempt.layer_norms.append(layer_norms(run.model))
        attempt.position_norms.append(positions.norms())
    return loss.item()


def _look(run: Run, batch: Batch, attempt: Attempt, step: int) -> None:
    nats_BT, targets_BT = _evaluated(run, batch), batch.targets_BT
    attempt.looks.append(step)
    attempt.target_probs.append(nats_BT[targets_BT != IGNORE].neg().exp().mean().item())


def _both_paths(run: Run, batch: Batch) -> tuple[float, float]:
    """Return nats per target of the training and of the evaluation path, both in evaluation mode."""
    num_targets = max(1, int((batch.targets_BT != IGNORE).sum()))
    evaluated = _evaluated(run, batch).sum().item()
    with torch.no_grad(), run.numerics.autocast(run.mesh.device):
        trained, _ = run.model.loss_sum(batch.inputs_BT, batch.targets_BT, batch.keys_B)
    return trained.item() / num_targets, evaluated / num_targets


def _evaluated(run: Run, batch: Batch) -> Tensor:
    """Return (B, T) float32, nats of the targets by the evaluation path, a sequence at a time: logits are large."""
    seed_generators(run.plan.seed)
    run.model.eval()
    rows = zip(torch.split(batch.inputs_BT, 1), torch.split(batch.targets_BT, 1), strict=True)
    with run.numerics.autocast(run.mesh.device):
        return torch.cat([token_nats(run.model, inputs_BT, targets_BT) for inputs_BT, targets_BT in rows])


def _judge(run: Run, attempt: Attempt, limits: Limits) -> None:
    """Take into the attempt what is wrong with its losses and probabilities."""
    first, last, bound = attempt.losses[0], attempt.losses[-1], attempt.floor + limits.tolerance
    with run.numerics.autocast(run.mesh.device):
        rounded = torch.is_autocast_enabled(run.mesh.device.type)
    found = attempt.problems
    if not math.isfinite(last):
        found.append(f"step {len(attempt.losses)} has a loss of {last}; debug=nan names the operation")
    elif not last <= bound:
        attempt.slow = _slow(run, attempt, bound, limits)
        found.append(attempt.slow or _not_learnt(run, bound))
    loss = attempt.training_loss
    allowed = (SAME_LOSS_ROUNDED if rounded else SAME_LOSS) * max(1.0, abs(loss))
    if not abs(loss - attempt.evaluation_loss) <= allowed:
        found.append(
            f"with nothing random loss_sum gives {loss:.4f} and forward {attempt.evaluation_loss:.4f} on the same "
            "batch: one of them takes other targets or other weights"
        )
    if first > bound and len(attempt.losses) > 1 and not attempt.target_probs[-1] > attempt.target_probs[0]:
        found.append("the probability that forward gives the targets has not risen")


def _slow(run: Run, attempt: Attempt, bound: float, limits: Limits) -> str:
    """Return what is said of a loss that is on its way down; empty where it is not."""
    first, last = attempt.losses[0], attempt.losses[-1]
    if time.monotonic() > limits.until_s and len(attempt.losses) < limits.max_steps:
        return f"no time for more than {number_of(len(attempt.losses), 'step')}: the loss is {last:.3f}"
    if last < (first + attempt.floor) / 2:
        return _not_learnt(run, bound)
    if attempt.frozen and last < first:
        return f"{_not_learnt(run, bound)}; or too much is frozen for it: {listed(attempt.frozen)}"
    return ""


def _not_learnt(run: Run, bound: float) -> str:
    return (
        f"the loss is not down to {bound:.3f}; where it still falls give more steps or a higher optim.lr than "
        f"{run.optimizer.lr:g}, else look at the loss, the optimizer and how layers are joined"
    )


def _quiet(_: str) -> None:
    pass
