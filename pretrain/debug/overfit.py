"""Learning a few sequences by heart: what can't bring the loss of one sequence near 0 won't learn a corpus.

Every step takes the same batch with the same keys and the same random states, so nothing but the weights changes from
one to the next. Regularisation stays as it is configured; the learning rate is optim.lr after a short warm-up, for a
schedule is cut to a run of its own length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pretrain.checkpoint.state import seed_generators
from pretrain.data.keys import sample_keys
from pretrain.debug.eager import eager
from pretrain.debug.kept import kept
from pretrain.debug.watched_gradients import PositionGradients, layer_norms
from pretrain.evaluate.loss import token_nats
from pretrain.heartbeat import Phase
from pretrain.run import Run
from pretrain.train import clip_scale, norm_of_gradients, norms_of_gradients
from pretrain.types import IGNORE, Batch

SEQUENCES = (1, 2, 5)
SYNTHETIC_LENGTHS = (16, 128, None)  # tokens; None: trainer.seq_len
WARMUP_STEPS = 10
LOOK_EVERY_STEPS = 10  # at the probabilities of the targets and at the gradients' norms: a forward pass of its own
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
        problems: what is wrong, a sentence each; none where it was learnt.
        slow: empty, or in a sentence that the loss fell more than half of the way, and not all of it.
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
    problems: list[str] = field(default_factory=list)
    slow: str = ""

    @property
    def told(self) -> str:
        """How it went, in a line."""
        steps, prob = len(self.losses), self.target_probs[-1]
        return (
            f"{self.name}: loss {self.losses[0]:.3f} to {self.losses[-1]:.3f} in {steps} steps (floor "
            f"{self.floor:.3f}), targets at a probability of {prob:.2f}{''.join(f'; {p}' for p in self.problems)}"
        )


@dataclass(frozen=True, slots=True)
class Overfitting:
    """All attempts, in the order in which they were made; the first one that failed is the last."""

    attempts: list[Attempt]

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
) -> Overfitting:
    """Learn synthetic sequences and the run's first ones by heart, the easiest first; leave the run bitwise as it was.

    No rank waits for another. On one device it needs no more memory than the run: what it changes is kept on the host.

    Args:
        run: as assembled or restored; each attempt begins with its weights and with an optimizer that has seen nothing.
        sequences: how many of the run's first sequences, an attempt each.
        synthetic_lengths: tokens of random sequences, an attempt each; None is trainer.seq_len, which bounds them.
        max_steps: of an attempt.
        tolerance: nats per target above the floor at which a batch is learnt.
    """
    seq_len, found = run.plan.seq_len, Overfitting([])
    lengths = sorted({min(length or seq_len, seq_len) for length in synthetic_lengths})
    batches = [(f"a synthetic sequence of {length} tokens", synthetic(run, length)) for length in lengths]
    for count in sequences:
        name = "the first sequence" if count == 1 else f"the first {count} sequences"
        batches.append((name, run.loader.first(count)))
    for name, batch in batches:
        with kept(run, copies=True), eager(run.model):  # lengths of checks alone would be compiled anew, each of them
            found.attempts.append(_attempt(run, name, batch, max_steps, tolerance))
        if found.attempts[-1].problems:
            break
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


def _attempt(run: Run, name: str, batch: Batch, max_steps: int, tolerance: float) -> Attempt:
    floor = conditional_entropy(batch.inputs_BT, batch.targets_BT, run.model.seen_tokens)
    attempt = Attempt(name, batch.inputs_BT.size(0), batch.inputs_BT.size(1), floor)
    initial = {name: parameter.detach().to("cpu", copy=True) for name, parameter in run.model.named_parameters()}
    for tensor in run.optimizer.tensors().values():
        tensor.zero_()
    for step in range(max_steps):
        run.mesh.heartbeat.at(Phase.STARTING)
        looks = step % LOOK_EVERY_STEPS == 0
        if looks:
            _look(run, batch, attempt, step)
        loss = _forward_backward(run, batch, attempt if looks else None)
        attempt.losses.append(loss)
        if not math.isfinite(loss) or loss <= floor + tolerance / 2:
            break
        norm = norm_of_gradients(norms_of_gradients(run.model))
        scale, bad = clip_scale(norm, run.max_grad_norm), torch.zeros_like(norm)
        run.optimizer.step(run.optimizer.lr * min(1.0, (step + 1) / WARMUP_STEPS), bad, scale)
        run.optimizer.zero_grad()
    run.optimizer.zero_grad()
    _look(run, batch, attempt, len(attempt.losses))
    attempt.training_loss, attempt.evaluation_loss = _both_paths(run, batch)
    still = [name for name, parameter in run.model.named_parameters() if torch.equal(parameter.cpu(), initial[name])]
    attempt.problems += _problems(run, attempt, tolerance, still)
    scored_T = (batch.targets_BT != IGNORE).any(dim=0).tolist()
    deaf = [t for t, norm in enumerate(attempt.position_norms[0]) if scored_T[t] and norm == 0]
    if deaf:
        attempt.problems.append(f"no gradient reaches the embeddings at the positions {deaf[:5]}, {len(deaf)} in all")
    return attempt


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


def _problems(run: Run, attempt: Attempt, tolerance: float, still: list[str]) -> list[str]:
    first, last, bound = attempt.losses[0], attempt.losses[-1], attempt.floor + tolerance
    with run.numerics.autocast(run.mesh.device):
        rounded = torch.is_autocast_enabled(run.mesh.device.type)
    found = []
    if not math.isfinite(last):
        found.append(f"step {len(attempt.losses)} has a loss of {last}; debug=nan names the operation")
    elif not last <= bound:
        text = (
            f"the loss is not down to {bound:.3f}; where it still falls give more steps or a higher optim.lr than "
            f"{run.optimizer.lr:g}, else look at the loss, the optimizer and how layers are joined"
        )
        if last < (first + attempt.floor) / 2:
            attempt.slow = text
        found.append(text)
    loss = attempt.training_loss
    allowed = (SAME_LOSS_ROUNDED if rounded else SAME_LOSS) * max(1.0, abs(loss))
    if not abs(loss - attempt.evaluation_loss) <= allowed:
        found.append(
            f"with nothing random loss_sum gives {loss:.4f} and forward {attempt.evaluation_loss:.4f} on the same "
            "batch: one of them takes other targets or other weights"
        )
    if first > bound and not attempt.target_probs[-1] > attempt.target_probs[0]:
        found.append("the probability that forward gives the targets has not risen")
    if still:
        found.append(f"these parameters are what they were: {', '.join(still)}; they are frozen or take no part")
    dead = [name for name in attempt.layer_norms[0] if not any(norms[name] for norms in attempt.layer_norms)]
    if dead:
        found.append(f"no gradient reaches {', '.join(dead)}")
    return found
