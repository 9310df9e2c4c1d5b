"""What each source reads in a run: budgets take their part of the run's samples, weights share the rest.

A budget of tokens is so many targets, one of epochs so many passes over the source, each rounded to a sample. A run
whose sources all have budgets is as long as they are; its last global batch is filled by going on in the same shares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from data_pipeline.shards.shares import shared_out, units_of
from pretrain.data.dataset import Dataset, Share
from pretrain.data.errors import DataError
from pretrain.data.samples import Samples
from pretrain.plan import Budgets, Plan


class Drawn(NamedTuple):
    """How many samples come from each source: source -> count.

    Attributes:
        run: in the whole run. batch: in its first global batch.
        needed: before anything only fills the last global batch: its budgets, or up to that batch's first sample.
    """

    run: dict[str, int]
    batch: dict[str, int]
    needed: dict[str, int]


def budgets_of(dataset: Dataset, seq_len: int, mixture: Mapping[str, Share] | None) -> Budgets | None:
    """Return what the sources bring to the length of a run; None where none has a budget.

    Args:
        dataset: an open data folder.
        seq_len: targets per sample.
        mixture: as `Dataset.shares` takes it.
    Raises:
        DataError: a budget of less than one sample; as `Dataset.shares` and `Dataset.num_samples`.
    """
    budgets = _budgets(dataset, seq_len, mixture)
    if not budgets:
        return None
    weighted = [name for name in dataset.shares(mixture) if name not in budgets]
    return Budgets(sum(budgets.values()), sum(dataset.num_samples(name, seq_len) for name in weighted))


def planned_samples(dataset: Dataset, plan: Plan, mixture: Mapping[str, Share] | None) -> dict[str, int] | None:
    """Return how many samples of the run come from each source, in the order of the sources; None without budgets.

    Where all have budgets they are the plan itself, and the samples that fill its last global batch are none of it.

    Raises:
        DataError: the budgets and the length of the run don't go together; shows the arithmetic. As `budgets_of`.
    """
    budgets = _budgets(dataset, plan.seq_len, mixture)
    if not budgets:
        return None
    shares = dataset.shares(mixture)
    weights = {name: float(share) for name, share in shares.items() if not isinstance(share, dict)}
    rest = plan.max_steps * plan.global_batch_size - sum(budgets.values())
    alone = "leave trainer.max_steps, max_tokens and max_epochs out, and the budgets decide the length"
    if rest < 0:
        mend = f"lower them or make the run longer{'' if weights else f'; or {alone}'}"
        raise DataError(_told(plan, budgets, "exceed it", f"{mend}; of weights alone a run of any length can be made"))
    if not weights and rest >= plan.global_batch_size:
        raise DataError(
            _told(plan, budgets, "don't fill it", f"give a source a weight in place of its budget, or {alone}")
        )
    if not weights:
        return budgets
    counts = shared_out(budgets, weights, rest + sum(budgets.values()))
    if empty := [name for name, count in counts.items() if count == 0]:
        left = f"leave {rest:,} of them for the sources with weights, none of which is for {', '.join(empty)}"
        raise DataError(
            _told(plan, budgets, left, "lower the budgets, make the run longer, or leave these sources out")
        )
    return {name: counts[name] for name in shares}


def drawn_in(samples: Samples, plan: Plan, planned: Mapping[str, int] | None) -> Drawn:
    """Return what a run draws of each source.

    Args:
        samples: of the run.
        plan: of the run.
        planned: as `planned_samples` returns it.
    """
    batch = plan.global_batch_size
    needed = samples.drawn((plan.max_steps - 1) * batch + 1) if planned is None else dict(planned)
    return Drawn(samples.drawn(plan.max_steps * batch), samples.drawn(batch), needed)


def require_few_epochs(
    dataset: Dataset, plan: Plan, drawn: Drawn, limit: float | None, has_budgets: bool = False
) -> None:
    """Refuse a run that reads a source too often; what only fills its last global batch is let through.

    Not where one global batch alone is too much of a source: what fills such a batch is no rest.

    Args:
        dataset: an open data folder.
        plan: of the run.
        drawn: what the run reads of each source.
        limit: times; None for any number.
        has_budgets: whether the sources' parts change with the length of the run.
    Raises:
        DataError: of the sources that are read too often, the one read most often, with the arithmetic.
    Source: Muennighoff et al., Scaling Data-Constrained Language Models, 2023, arXiv:2305.16264: up to 4 epochs,
        repeated tokens are nearly as good as new ones; from there on their worth falls towards nothing.
    """
    if limit is None:
        return
    held = {name: dataset.num_samples(name, plan.seq_len) for name in drawn.run}
    most = {name: math.ceil(Fraction(limit) * count) for name, count in held.items()}  # a part of a sample is one
    batch = [name for name in held if drawn.batch[name] > most[name]]
    exceeding = [name for name in held if drawn.needed[name] > most[name]] + batch
    if not exceeding:
        return
    name = max(exceeding, key=lambda name: drawn.run[name] / held[name])
    epochs = drawn.run[name] / held[name]
    arithmetic = (
        f"{drawn.run[name] * plan.seq_len:,} of the run's {plan.max_tokens:,} tokens come from it, and it holds "
        f"{held[name] * plan.seq_len:,}: that is {epochs:,.2f} times, and the limit is {limit:g}"
    )
    longest = math.floor(plan.max_tokens * limit / epochs)
    shorter = "a shorter run" if has_budgets else f"a run of at most trainer.max_tokens={longest}"
    if name in batch:
        shorter = (
            f"a smaller trainer.global_batch_size, for one alone reads it {drawn.batch[name] / held[name]:,.2f} times"
        )
    fewer = shorter if len(held) == 1 else f"a smaller weight or budget of it in data.mixture, {shorter}"
    raise DataError(
        f"data.max_epochs_per_source: the run would read the source {name!r} of {dataset.path} too often. {arithmetic} "
        f"(past 4 times, tokens that are read again teach little, arXiv:2305.16264). Give {fewer}, or more text; "
        f"where so many times are meant, data.max_epochs_per_source={math.ceil(epochs)} (null for any number)"
    )


def _budgets(dataset: Dataset, seq_len: int, mixture: Mapping[str, Share] | None) -> dict[str, int]:
    """Return source -> the samples of its budget, of those that have one."""
    found = {}
    for name, share in dataset.shares(mixture).items():
        if isinstance(share, dict):
            found[name] = _samples_of(share, name, dataset.num_samples(name, seq_len), seq_len)
    return found


def _samples_of(budget: dict[str, float], name: str, num_samples: int, seq_len: int) -> int:
    """Return a budget in samples, the nearest whole number of them."""
    ((unit, amount),) = budget.items()
    if (samples := units_of(budget, num_samples, seq_len)) == 0:
        raise DataError(
            f"data.mixture.{name}: {unit}={amount:g} is less than half a sample of trainer.seq_len={seq_len:,} tokens; "
            "raise it, or leave the source out"
        )
    return samples


def _told(plan: Plan, budgets: dict[str, int], what: str, mend: str) -> str:
    """Return the arithmetic of budgets and run, in words."""
    total, run = sum(budgets.values()), plan.max_steps * plan.global_batch_size
    parts = " + ".join(f"{name} {count:,}" for name, count in budgets.items())
    summed = f"{parts} = {total:,}" if len(budgets) > 1 else parts
    return (
        f"data.mixture: the budgets take {summed} samples of {plan.seq_len:,} tokens, the run has {plan.max_steps:,} "
        f"steps x {plan.global_batch_size:,} = {run:,} samples ({plan.max_tokens:,} tokens): the budgets {what}; {mend}"
    )
