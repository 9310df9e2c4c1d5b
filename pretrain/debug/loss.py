"""The loss before the first step: of fresh weights that of a guess, of read ones that of what they have learnt."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning
from pretrain.types import IGNORE

# Nats above or below ln(vocabulary) at which fresh weights are odd, and at which they can't be. GPT-2's initialisation
# lies 0.1 to 0.4 above: logits of standard deviation s cost s^2 / 2.
ODD_ABOVE, WRONG_ABOVE = 1.0, 3.0
ODD_BELOW, WRONG_BELOW = 0.3, 1.5
MIN_EVENNESS = 0.9  # entropy of the first predictions over ln(vocabulary)
POSITIONS = 256  # whose entropy is taken: a whole context of logits is large
LEARNT = 1.0  # nats below ln(vocabulary): a checkpoint with less has hardly begun
NEAR_SAVED = 0.75  # nats between this batch's loss and that of the step which was saved


class FirstLoss(Rung):
    """Loss and evenness of the predictions on the first batch."""

    name = "first loss"
    passes = 2.0

    def check(self, subject: Subject) -> Finding:
        loss, evenness, uniform = measure(subject)
        if not math.isfinite(loss):
            broken = stop(
                "the loss is not finite before anything was learnt: weights or model are broken; `shapes` names"
            )
            return self.found(f"{loss}", [broken, *bad_weights(subject)])
        if subject.is_fresh:
            figure = f"{loss:.3f} nats, ln(vocabulary) is {uniform:.3f}; predictions are {evenness:.1%} even"
            return self.found(figure, judged_fresh(loss - uniform, evenness))
        assert subject.saved_line is not None
        saved = float(subject.saved_line.get("loss", math.nan))
        figure = (
            f"{loss:.3f} nats with the weights of step {subject.run.progress.step}, {saved:.3f} when they were saved"
        )
        return self.found(f"{figure}; ln(vocabulary) is {uniform:.3f}", judged_read(loss, saved, uniform))


def measure(subject: Subject) -> tuple[float, float, float]:
    """Return the mean nats a target, entropy of the predictions over the logarithm of their number, and that logarithm.

    The loss is that of training (`loss_sum`, with dropout), the predictions those of `forward`.
    """
    model, batch = subject.run.model, subject.sample
    with torch.no_grad(), subject.computing():
        total, _ = model.loss_sum(batch.inputs_BT, batch.targets_BT, batch.keys_B)
        model.eval()
        log_probs_NV = F.log_softmax(model(batch.inputs_BT[:1])[0, :POSITIONS].float(), dim=-1)
    entropy = -(log_probs_NV.exp() * log_probs_NV).sum(dim=-1).mean().item()
    uniform = math.log(log_probs_NV.size(-1))
    targets = int((batch.targets_BT != IGNORE).sum())
    return total.item() / max(targets, 1), entropy / uniform, uniform


def judged_fresh(above: float, evenness: float) -> list[Problem]:
    """Return what is wrong with fresh weights.

    Args:
        above: nats of the loss above ln(vocabulary). evenness: of the predictions, 1 where all tokens are as likely.
    """
    problems = []
    if above > ODD_ABOVE:
        told = (
            f"fresh weights guess {above:.1f} nats worse than evenly: logits are too large; the head's initial weights "
            "are too large, or a norm before it is missing (init_weights of the model)"
        )
        problems.append((stop if above > WRONG_ABOVE else warning)(told))
    if above < -ODD_BELOW:
        told = (
            f"fresh weights guess {-above:.1f} nats better than evenly: either they have been trained, or targets "
            "reach the inputs; see the rung `causality`"
        )
        problems.append((stop if above < -WRONG_BELOW else warning)(told))
    if evenness < MIN_EVENNESS:
        problems.append(
            warning("some tokens are much likelier than others before training: is the head's scale right?")
        )
    return problems


def judged_read(loss: float, saved: float, uniform: float) -> list[Problem]:
    """Return what is wrong with weights that were read.

    Args:
        loss: on this batch. saved: of the step that they were saved after, NaN where unknown. uniform: ln(vocabulary).
    """
    had_learnt = not saved > uniform - LEARNT
    if loss > uniform - LEARNT / 2 and had_learnt:
        return [
            stop(
                "this is the loss of weights that know nothing: the checkpoint's were not read, or belong to another "
                "tokenizer or model; name another one with resume=, or begin anew with resume=never"
            )
        ]
    if loss > saved + NEAR_SAVED:
        return [warning(f"it is {loss - saved:.2f} nats higher than when they were saved: is this other text?")]
    return []


def bad_weights(subject: Subject) -> list[Problem]:
    """Return which weights are not finite."""
    named = [name for name, each in subject.run.model.named_parameters() if not bool(torch.isfinite(each).all())]
    more = f" and {len(named) - 4} more" if len(named) > 4 else ""
    told = f"not finite: {', '.join(named[:4])}{more}; mend the model's init_weights, or take an earlier checkpoint"
    return [stop(told)] if named else []
