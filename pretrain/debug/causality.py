"""Nothing sees ahead: tokens from t on change nothing before t, neither in `forward` nor in the loss of training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pretrain.checkpoint.state import seed_generators
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning
from pretrain.types import IGNORE, Batch

# Kernels give the same bits for the same numbers. One that does not is allowed this many times what the same input,
# computed twice, differs by.
NOISE_TIMES = 10.0


class Causality(Rung):
    """A model that peeks has a wonderful loss and generates rubbish."""

    name = "causality"
    passes = 11.0

    def check(self, subject: Subject) -> Finding:
        sample = subject.sample
        batch = Batch(sample.inputs_BT[:1], sample.targets_BT[:1], sample.samples[:1], sample.keys_B[:1])
        places = places_of(batch.inputs_BT.size(1), 2 if subject.is_short else 5)
        if not places:
            return self.found("sequences of one token have nothing ahead")
        vocab_size = subject.run.loader.dataset.manifest.vocab_size
        with torch.no_grad(), subject.computing():
            by_loss = [loss_moved(subject, batch, t, vocab_size) for t in places]
            subject.run.model.eval()
            by_logits, noise, moved = logits_moved(subject, batch, places, vocab_size)
        problems = judged(places, by_loss, "the training loss") + judged(places, by_logits, "the logits", noise)
        if not moved and not problems:
            problems.append(
                warning(
                    "nor has any logit moved behind them: while a layer's initial weights are all zero this shows "
                    "nothing; look again with resume=<a checkpoint of some steps>"
                )
            )
        told = ", ".join(map(str, places))
        how = "to the bit" if noise == 0 else f"within {NOISE_TIMES * noise:.1e}, what equal inputs differ by"
        return self.found(f"tokens from t = {told} on move nothing before them, {how}", problems)


def places_of(seq_len: int, count: int) -> list[int]:
    """Return positions t, at least 1, spread over a sequence; the last one among them."""
    return sorted({max(1, (seq_len - 1) * number // count) for number in range(1, count + 1)}) if seq_len > 1 else []


def changed_from(inputs_BT: Tensor, t: int, vocab_size: int) -> Tensor:
    """Return the inputs with another token at every position from `t` on."""
    changed_BT = inputs_BT.clone()
    changed_BT[:, t:] = (changed_BT[:, t:] + 1) % vocab_size
    return changed_BT


def loss_moved(subject: Subject, batch: Batch, t: int, vocab_size: int) -> float:
    """Return by how many nats the loss over the targets before `t` moves when tokens from `t` on change.

    The target at position i is predicted from the inputs up to i, so those before t are all that stays.
    """
    before_BT = batch.targets_BT.clone()
    before_BT[:, t:] = IGNORE
    model = subject.run.model
    losses = []
    for inputs_BT in (batch.inputs_BT, changed_from(batch.inputs_BT, t, vocab_size), batch.inputs_BT):
        seed_generators(subject.run.plan.seed)  # of a model whose dropout hangs on no keys
        losses.append(model.loss_sum(inputs_BT, before_BT, batch.keys_B)[0].item())
    noise = abs(losses[0] - losses[2])
    moved = abs(losses[0] - losses[1])
    return 0.0 if moved <= NOISE_TIMES * noise else moved  # NaN compares as moved


def logits_moved(subject: Subject, batch: Batch, places: list[int], vocab_size: int) -> tuple[list[float], float, bool]:
    """Return by how much the logits before each t move, what equal inputs differ by, and whether any behind move.

    Args:
        places: the t.
    """
    model, inputs_BT = subject.run.model, batch.inputs_BT
    base_BTV = model(inputs_BT)
    noise = (model(inputs_BT) - base_BTV).abs().max().item()
    found, moved = [], False
    for t in places:
        difference_BT = (model(changed_from(inputs_BT, t, vocab_size)) - base_BTV).abs().amax(dim=-1)
        found.append(difference_BT[:, :t].max().item())
        moved |= bool(difference_BT[:, t:].max() > NOISE_TIMES * noise)
    return found, noise, moved


def judged(places: list[int], moved: list[float], what: str, noise: float = 0.0) -> list[Problem]:
    """Return what peeks.

    Args:
        places: the t. moved: by how much something before t moves. what: that is. noise: of equal inputs.
    """
    peeks = [(t, by) for t, by in zip(places, moved, strict=True) if not by <= NOISE_TIMES * noise]
    if not peeks:
        return []
    t, by = peeks[0]
    if any(math.isnan(by) for _, by in peeks):
        return [stop(f"{what} is not a number: see the rung `first loss`")]
    return [
        stop(
            f"tokens from position {t} on move {what} before it by {by:.2g}: the model sees what it is to predict. "
            "Look for a missing causal mask, a mean or norm over positions, a shift by one"
        )
    ]
