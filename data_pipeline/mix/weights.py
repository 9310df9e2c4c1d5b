"""What the components of the mixture have in the manifest: weights, or budgets, within those of their sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from data_pipeline.mix.groups import OTHER, group_name

MAX_TEMPERATURE = 10.0  # above 1 large groups grow at the cost of small ones; here the largest is all there is
DIGITS = 9  # significant, of a weight: what a library's power function rounds otherwise on another machine is not seen


class Reads(NamedTuple):
    """What a training run reads of a source or of a component: by its weight, or by its budget where it has one."""

    weight: float
    budget: dict[str, float] | None = None


def tempered(tokens: Mapping[str, int], temperature: float) -> dict[str, float]:
    """Return component -> its part of its source, p^T / sum p^T for shares p of the tokens; 0 where it has none.

    Args:
        tokens: component -> training tokens; some have any.
        temperature: T.
    """
    total = sum(tokens.values())
    raised = {name: (count / total) ** temperature if count else 0.0 for name, count in tokens.items()}
    whole = sum(raised.values())
    return {name: value / whole for name, value in raised.items()}


def given(source: str, tokens: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, float]:
    """Return component -> its part of its source, by weights of groups; 0 where it has no tokens or no weight.

    Args:
        source: its name.
        tokens: component -> training tokens.
        weights: group -> weight.
    """
    named = {group_name(group): weight for group, weight in weights.items()}
    mine = {name: named.get(name.removeprefix(f"{source}."), 0.0) if count else 0.0 for name, count in tokens.items()}
    whole = sum(mine.values())
    return {name: weight / whole for name, weight in mine.items()} if whole else tempered(tokens, 1.0)


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
        temperature, group_weights: as of `Mix`.
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
    weights = {name: float(f"{source.weight * part:.{DIGITS}g}") for name, part in parts.items()}
    if source.budget is None:
        return {name: Reads(weight) for name, weight in weights.items()}
    total = source.budget.get("tokens") or source.budget["epochs"] * sum(tokens.values())
    amounts = {name: float(round(total * part)) for name, part in parts.items()}
    # a budget of nothing is none, and a weight of 0 leaves the component out
    return {name: Reads(1.0, {"tokens": amount}) if amount else Reads(0.0) for name, amount in amounts.items()}


def named_groups(weights: Mapping[str, float] | None) -> list[str]:
    """Return the groups that are components by name, whatever their size."""
    return [name for name in map(group_name, weights or {}) if name != OTHER]
