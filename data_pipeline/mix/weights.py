"""What the components of the mixture have in the manifest: weights, or budgets, within those of their sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from data_pipeline.mix.groups import group_name
from data_pipeline.shards.shares import largest_remainder, units_of

MAX_TEMPERATURE = 10.0  # above 1 large groups grow at the cost of small ones; here the largest is all there is
DIGITS = 9  # significant, of a weight: what a library's power function rounds otherwise on another machine is not seen


class Reads(NamedTuple):
    """What a training run reads of a source or of a component: by its weight, or by its budget where it has one.

    Attributes:
        is_known: whether its weight is: one that follows from tokens not yet counted is not.
    """

    weight: float
    budget: dict[str, float] | None = None
    is_known: bool = True


def tempered(tokens: Mapping[str, int], temperature: float) -> dict[str, float]:
    """Return component -> its part of the whole, p^T / sum p^T for shares p of the tokens; 0 where it has none.

    Args:
        tokens: component, or source -> training tokens.
        temperature: T.
    """
    total = sum(tokens.values())
    if not total:
        return dict.fromkeys(tokens, 0.0)
    raised = {name: (count / total) ** temperature if count else 0.0 for name, count in tokens.items()}
    whole = sum(raised.values())
    return {name: value / whole for name, value in raised.items()}


def given(source: str, tokens: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, float]:
    """Return component -> its part of its source, by weights of groups; 0 where it has no tokens or no weight.

    A source that has none of these groups is read as a whole, unless `other` has a weight of its own.

    Args:
        source: its name.
        tokens: component -> training tokens.
        weights: group -> weight.
    """
    named = {group_name(group): weight for group, weight in weights.items()}
    mine = {name: named.get(name.removeprefix(f"{source}."), 0.0) if count else 0.0 for name, count in tokens.items()}
    whole = sum(mine.values())
    if whole:
        return {name: weight / whole for name, weight in mine.items()}
    none_is_named = not any(name.removeprefix(f"{source}.") in named for name in tokens)
    return tempered(tokens, 1.0) if none_is_named else mine


def tempered_sources(
    of_sources: Mapping[str, Reads], tokens: Mapping[str, int | None], temperature: float
) -> dict[str, Reads]:
    """Return what a run reads of each source, where those without a weight or budget of their own share by temperature.

    Together they weigh what they did, 1 each.

    Args:
        tokens: source -> training tokens; None where not known.
        temperature: T.
    """
    mine = [name for name, reads in of_sources.items() if reads == Reads(1.0)]
    held = {name: count for name in mine if (count := tokens[name]) is not None}
    if len(held) < len(mine):
        return {**of_sources, **dict.fromkeys(mine, Reads(1.0, is_known=False))}
    parts = tempered(held, temperature)
    return {**of_sources, **{name: Reads(_rounded(len(mine) * part)) for name, part in parts.items()}}


def mixture(
    of_sources: Mapping[str, Reads],
    tokens: Mapping[str, int],
    sources: Mapping[str, str],
    temperature: float = 1.0,
    group_weights: Mapping[str, float] | None = None,
) -> dict[str, Reads]:
    """Return what a training run reads of each component.

    Args:
        of_sources: source -> what it reads of it.
        tokens: component -> training tokens.
        sources: component -> its source.
        temperature: T, within each source. group_weights: as of `Mix`.
    """
    found: dict[str, Reads] = {}
    for source, reads in of_sources.items():
        mine = {name: tokens[name] for name, of in sources.items() if of == source}
        parts = given(source, mine, group_weights) if group_weights else tempered(mine, temperature)
        found |= {source: reads} if list(mine) == [source] else reads_of(reads, parts, mine)
    return found


def reads_of(source: Reads, parts: Mapping[str, float], tokens: Mapping[str, int]) -> dict[str, Reads]:
    """Return what a run reads of each component of one source.

    Args:
        source: what it reads of the source as a whole.
        parts: component -> its part of the source; they add up to 1.
        tokens: component -> training tokens.
    """
    if source.budget is None:
        return {name: Reads(_rounded(source.weight * part)) for name, part in parts.items()}
    read = {name: part for name, part in parts.items() if part}
    total = max(1, units_of(source.budget, sum(tokens.values()), 1))  # a budget of less than a token drops no source
    counts = largest_remainder(list(read.values()), total).tolist() if read else []
    amounts = dict(zip(read, counts, strict=True))
    # a budget of nothing is none, and a weight of 0 leaves the component out
    return {name: Reads(1.0, {"tokens": float(amounts[name])}) if amounts.get(name) else Reads(0.0) for name in parts}


def _rounded(weight: float) -> float:
    return float(f"{weight:.{DIGITS}g}")
