"""The loss before the first step: of fresh weights that of a guess, of read ones that of what they have learnt.

Weights are read from the checkpoint that a run goes on from, or by a model's own `init_weights` from wherever it knows.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from pretrain.debug.causality import changed_from
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning
from pretrain.types import IGNORE

# Nats above or below ln(vocabulary) at which fresh weights are odd, and at which they can't be. GPT-2's initialisation
# lies 0.1 to 0.4 above: logits of standard deviation s cost s^2 / 2.
ODD_ABOVE, WRONG_ABOVE = 1.0, 3.0
ODD_BELOW, WRONG_BELOW = 0.3, 1.5
MIN_EVENNESS = 0.9  # entropy of the first predictions over ln(vocabulary)
POSITIONS = 256  # whose entropy is taken: a whole context of logits is large
LEARNT = 1.0  # nats below ln(vocabulary): a checkpoint with less has hardly begun
PEEKED = 0.04  # of the largest logit; less is rounding, whatever the format, and lowers no loss
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
        guess = f"ln(vocabulary) is {uniform:.3f}"
        if subject.is_fresh and subject.run.model.begins_trained:
            figure = f"{loss:.3f} nats with the weights that init_weights was to read"
            return self.found(f"{figure}; {guess}", judged_filled_in(loss, uniform))
        if subject.is_fresh and has_learnt(subject, loss, uniform):
            return self.found(
                f"{loss:.3f} nats, far below a guess: init_weights has read weights that know text; {guess}"
            )
        if subject.is_fresh:
            figure = f"{loss:.3f} nats, {guess}; predictions are {evenness:.1%} even"
            return self.found(figure, judged_fresh(loss - uniform, evenness))
        assert subject.saved_line is not None
        saved = float(subject.saved_line.get("loss", math.nan))
        figure = (
            f"{loss:.3f} nats with the weights of step {subject.run.progress.step}, {saved:.3f} when they were saved"
        )
        return self.found(f"{figure}; {guess}", judged_read(loss, saved, uniform))


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


def has_learnt(subject: Subject, loss: float, uniform: float) -> bool:
    """Return whether weights that nobody has said to be read do know text, and do not only see it.

    Then they guess better than evenly in training and in `forward` alike, the targets are the tokens that follow, and
    what follows moves nothing before it.

    Args:
        loss: of the sample, nats a target. uniform: ln(vocabulary).
    """
    model, batch = subject.run.model, subject.sample
    inputs_BT, targets_BT = batch.inputs_BT[:1], batch.targets_BT[:1]
    follows = (targets_BT[:, :-1] == inputs_BT[:, 1:]) | (targets_BT[:, :-1] == IGNORE)
    if loss >= uniform - ODD_BELOW or not bool(follows.all()):
        return False
    half, vocab_size = inputs_BT.size(1) // 2, subject.run.loader.dataset.manifest.vocab_size
    with torch.no_grad(), subject.computing():
        model.eval()
        logits_TV = model(inputs_BT)[0]
        changed_TV = model(changed_from(inputs_BT, half, vocab_size))[0]
    nats = F.cross_entropy(logits_TV.float(), targets_BT[0], ignore_index=IGNORE).item()
    peeked = (changed_TV - logits_TV)[:half].abs().max().item() if half else 0.0
    return nats < uniform - ODD_BELOW and peeked <= PEEKED * logits_TV.abs().max().item()


def judged_filled_in(loss: float, uniform: float) -> list[Problem]:
    """Return what is wrong with weights that `init_weights` was to read.

    Args:
        loss: nats a target. uniform: ln(vocabulary).
    """
    if loss <= uniform - LEARNT / 2:
        return []
    return [
        stop(
            "this is the loss of weights that know nothing: init_weights has not read those that it was to read, or "
            "they belong to another tokenizer or model; a model that begins anew has begins_trained = False"
        )
    ]


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
            f"fresh weights guess {-above:.1f} nats better than evenly, and not by what they know: targets reach the "
            "inputs, or are the inputs; see the rungs `first batch` and `causality`"
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
