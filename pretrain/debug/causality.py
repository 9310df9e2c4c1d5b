"""Nothing sees ahead: tokens from t on change nothing before t, neither in `forward` nor in the loss of training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pretrain.checkpoint.state import seed_generators
from pretrain.debug.rounding import COARSENESS, ROUNDING, Formats, exact, name_of
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning
from pretrain.types import IGNORE, Batch

# Kernels give the same bits for the same numbers. One that does not is allowed this many times what the same input,
# computed twice, differs by.
NOISE_TIMES = 10.0


@dataclass(frozen=True, slots=True)
class Moved:
    """What tokens from each of several t on move before it.

    Attributes:
        by_loss: nats that the training loss of the targets before t moves by, 0 where equal inputs differ as much.
        by_logits: the most that a logit before t moves by.
        noise: what the logits of equal inputs differ by. behind: whether any logit behind a t moves.
        loss, logit: the loss, and the largest logit.
    """

    by_loss: list[float]
    by_logits: list[float]
    noise: float
    behind: bool
    loss: float
    logit: float

    @property
    def logits_moved(self) -> bool:
        """Whether logits move more than those of equal inputs; NaN counts as moved."""
        return not all(by <= NOISE_TIMES * self.noise for by in self.by_logits)

    def rounded(self, dtype: torch.dtype) -> tuple[float, float]:
        """Return by how much the loss and the logits may move where it is rounding.

        Where the logits before t keep every bit, no order of sums hangs on what follows, and the loss must keep its.
        """
        frac = ROUNDING[dtype]
        loss = frac * abs(self.loss) if self.logits_moved else 0.0
        return loss, max(NOISE_TIMES * self.noise, frac * self.logit)


class Causality(Rung):
    """A model that peeks has a wonderful loss and generates rubbish.

    To the bit as a rule. Where something moves by no more than rounding of the format in which the run computes, it is
    computed again in that of the weights, in which even a leak of little weight is larger.
    """

    name = "causality"
    passes = 11.0

    def check(self, subject: Subject) -> Finding:
        batch = first_sequence(subject)
        places = places_of(batch.inputs_BT.size(1), 2 if subject.is_short else 5)
        if not places:
            return self.found("sequences of one token have nothing ahead")
        told = f"tokens from t = {', '.join(map(str, places))} on move"
        with torch.no_grad(), subject.computing():
            found = moved(subject, batch, places)
            if judged(places, found, 0.0, NOISE_TIMES * found.noise):
                return self._rounding(subject, batch, places, found, told)
        problems = list[Problem]()
        if not found.behind:
            problems = [
                warning(
                    "nor has any logit moved behind them: while a layer's initial weights are all zero this shows "
                    "nothing; look again with resume=<a checkpoint of some steps>"
                )
            ]
        how = (
            "to the bit" if found.noise == 0 else f"within {NOISE_TIMES * found.noise:.1e}, what equal inputs differ by"
        )
        return self.found(f"{told} nothing before them, {how}", problems)

    def _rounding(self, subject: Subject, batch: Batch, places: list[int], found: Moved, told: str) -> Finding:
        """Return whether what was seen is rounding."""
        dtype = coarsest(subject, batch)
        if problems := judged(places, found, *found.rounded(dtype)):
            return self.found(f"{told} what is before them", problems)
        try:
            with exact(subject.run.mesh.device):
                again, dtype = moved(subject, batch, places), coarsest(subject, batch)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # of a kernel that takes no float32
            return self.found(f"{told} {rounding_told(found, dtype)}", [unseen(dtype, f"in float32 it fails: {error}")])
        if problems := judged(places, again, *again.rounded(dtype)):
            return self.found(f"{told} what is before them, in {name_of(dtype)}", problems)
        is_coarse = COARSENESS[dtype] > COARSENESS[torch.float32]
        problems = [unseen(dtype, "without autocast, too")] if is_coarse else []
        return self.found(f"{told} {rounding_told(again, dtype)}", problems)


def first_sequence(subject: Subject) -> Batch:
    """Return the first sequence of the run as a batch."""
    sample = subject.sample
    return Batch(sample.inputs_BT[:1], sample.targets_BT[:1], sample.samples[:1], sample.keys_B[:1])


def places_of(seq_len: int, count: int) -> list[int]:
    """Return positions t, at least 1, spread over a sequence; the last one among them."""
    return sorted({max(1, (seq_len - 1) * number // count) for number in range(1, count + 1)}) if seq_len > 1 else []


def moved(subject: Subject, batch: Batch, places: list[int]) -> Moved:
    """Compute a sequence, and the same with other tokens from each t on; leaves the model in evaluation mode.

    Args:
        batch: of one sequence. places: the t.
    """
    vocab_size = subject.run.loader.dataset.manifest.vocab_size
    subject.run.model.train()
    by_loss = [loss_moved(subject, batch, t, vocab_size) for t in places]
    subject.run.model.eval()
    by_logits, noise, behind, logit = logits_moved(subject, batch, places, vocab_size)
    return Moved([by for by, _ in by_loss], by_logits, noise, behind, max(loss for _, loss in by_loss), logit)


def changed_from(inputs_BT: Tensor, t: int, vocab_size: int) -> Tensor:
    """Return the inputs with another token at every position from `t` on."""
    changed_BT = inputs_BT.clone()
    changed_BT[:, t:] = (changed_BT[:, t:] + 1) % vocab_size
    return changed_BT


def loss_moved(subject: Subject, batch: Batch, t: int, vocab_size: int) -> tuple[float, float]:
    """Return by how many nats the loss over the targets before `t` moves when tokens from `t` on change, and that loss.

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
    by = abs(losses[0] - losses[1])
    return (0.0 if by <= NOISE_TIMES * noise else by), losses[0]  # NaN compares as moved


def logits_moved(
    subject: Subject, batch: Batch, places: list[int], vocab_size: int
) -> tuple[list[float], float, bool, float]:
    """Return by how much the logits before each t move, what equal inputs differ by, whether any behind move, and the
    largest.

    Args:
        places: the t.
    """
    model, inputs_BT = subject.run.model, batch.inputs_BT
    base_BTV = model(inputs_BT)
    noise = (model(inputs_BT) - base_BTV).abs().max().item()
    found, behind = [], False
    for t in places:
        difference_BT = (model(changed_from(inputs_BT, t, vocab_size)) - base_BTV).abs().amax(dim=-1)
        found.append(difference_BT[:, :t].max().item())
        behind |= bool(difference_BT[:, t:].max() > NOISE_TIMES * noise)
    return found, noise, behind, base_BTV.abs().max().item()


def coarsest(subject: Subject, batch: Batch) -> torch.dtype:
    """Return the coarsest number format that a forward pass computes in."""
    with Formats() as formats:
        subject.run.model(batch.inputs_BT)
    found: torch.dtype = formats.coarsest
    return found


def judged(places: list[int], found: Moved, loss_allowed: float, logits_allowed: float) -> list[Problem]:
    """Return what peeks.

    Args:
        places: the t. loss_allowed, logits_allowed: how far something before t may move.
    """
    return [
        *peeks(places, found.by_loss, "the training loss", loss_allowed),
        *peeks(places, found.by_logits, "the logits", logits_allowed),
    ]


def peeks(places: list[int], by: list[float], what: str, allowed: float) -> list[Problem]:
    """Return what is said where something moves further than is allowed.

    Args:
        places: the t. by: how far it moves before each. what: that is.
    """
    seen = [(t, far) for t, far in zip(places, by, strict=True) if not far <= allowed]
    if not seen:
        return []
    if any(math.isnan(far) for _, far in seen):
        return [stop(f"{what} is not a number: see the rung `first loss`")]
    t, far = seen[0]
    beyond = f", more than the {allowed:.1e} of rounding" if allowed else ""
    return [
        stop(
            f"tokens from position {t} on move {what} before it by {far:.2g}{beyond}: the model sees what it is to "
            "predict. Look for a missing causal mask, a mean or norm over positions, a shift by one"
        )
    ]


def rounding_told(found: Moved, dtype: torch.dtype) -> str:
    """Return by how much the logits move, and how much that may be."""
    return (
        f"what is before them by rounding alone: logits by {max(found.by_logits):.1e} in {name_of(dtype)}, "
        f"{ROUNDING[dtype]:g} of the largest may be"
    )


def unseen(dtype: torch.dtype, why: str) -> Problem:
    """Return what is said where a leak may be as small as rounding."""
    return warning(
        f"it computes in {name_of(dtype)} ({why}): a leak that moves logits by less than {ROUNDING[dtype]:g} of the "
        "largest would not be seen; look again where the model can compute in float32"
    )
