"""The sampling plan: what share of the training tokens each source gives, and how often it is repeated for that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from data_pipeline.mix.split import SplitError

# up to here repeated tokens are nearly as good as new ones: Muennighoff et al., "Scaling Data-Constrained Language
# Models", arXiv:2305.16264
MAX_GOOD_EPOCHS = 4.0


@dataclass(frozen=True, slots=True)
class Share:
    """One source's part.

    Attributes:
        weight: share of the training tokens; the weights of all sources add up to 1.
        num_tokens: tokens of it that may be trained on, its budget applied: one epoch.
    """

    weight: float
    num_tokens: int

    def epochs(self, train_tokens: int) -> float:
        """Return how often the source is passed over in a training run of so many tokens of the whole mixture."""
        return self.weight * train_tokens / self.num_tokens


def plan_mixture(
    weights: Mapping[str, float], num_tokens: Mapping[str, int], max_tokens: Mapping[str, int] | None = None
) -> dict[str, Share]:
    """Return the plan, in the order of `weights`.

    Args:
        weights: source -> its share relative to the others'.
        num_tokens: source -> tokens that it has.
        max_tokens: source -> the most that is used of it; all of it where none is given.
    Raises:
        SplitError: a weight or budget is not positive, a source is unknown or has no token left; names it.
    """
    budgets = max_tokens or {}
    if unmatched := sorted((set(num_tokens) ^ set(weights)) | (set(budgets) - set(weights))):
        raise SplitError(
            f"mix: source {unmatched[0]!r} needs a weight and tokens; those with a weight are {', '.join(weights)}"
        )
    for source, weight in weights.items():
        if not (math.isfinite(weight) and weight > 0):
            raise SplitError(f"mix: the weight {weight} of source {source!r} is not a positive number")
        if budgets.get(source, 1) < 1:
            raise SplitError(f"mix: the budget of {budgets[source]} tokens of source {source!r} is not at least 1")
        if num_tokens[source] < 1:
            raise SplitError(f"mix: source {source!r} has no token left to train on; take it out, or filter it less")
    total = math.fsum(weights.values())
    return {
        source: Share(weight / total, min(num_tokens[source], budgets.get(source, num_tokens[source])))
        for source, weight in weights.items()
    }


def tokens_of_an_epoch(plan: Mapping[str, Share]) -> int:
    """Return the tokens of the mixture after which each source has been passed over at least once."""
    return math.ceil(max(share.num_tokens / share.weight for share in plan.values()))


def repeated_too_often(plan: Mapping[str, Share], train_tokens: int) -> dict[str, float]:
    """Return source -> epochs where a run of `train_tokens` repeats a source more than MAX_GOOD_EPOCHS times."""
    epochs = {source: share.epochs(train_tokens) for source, share in plan.items()}
    return {source: times for source, times in epochs.items() if times > MAX_GOOD_EPOCHS}
