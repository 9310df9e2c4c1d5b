"""The plan of the mixture: what a training run takes of each source, by estimates before and by the tokens after.

It reckons as the trainer does (shards.shares), in tokens where that reckons in samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from data_pipeline.mix.weights import Reads
from data_pipeline.shards.shares import shared_out, units_of
from foundation.errors import GroundworkError

MAX_EPOCHS = 4.0  # past it, tokens that are read again teach little: Muennighoff et al. 2023, arXiv:2305.16264
LISTED = 8  # groups in a line
BYTES_PER_TOKEN = 4.0  # of English text and a vocabulary of some 50,000 entries
# bytes of text to a byte of a file, by what its name ends with, first match. Measured on Python's PEPs and Rust's RFCs,
# web archives on Common Crawl's own figures: compressed about 5 to 1, a tenth of the pages text
TEXT_PER_BYTE = (
    (".warc.gz", 0.4), (".warc.zst", 0.4), (".warc", 0.1), (".gz", 3.0), (".gzip", 3.0), (".zst", 3.5), (".zstd", 3.5),
    (".parquet", 2.5), ("", 0.97),
)  # fmt: skip


class PlanError(GroundworkError):
    """What the sources are to give can't be met."""


class Taken(NamedTuple):
    """What a run takes of a source, or of a component; None where it is not known.

    Attributes:
        tokens: of the run. share: of its tokens. epochs: passes over what is held.
    """

    tokens: int | None
    share: float | None
    epochs: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run takes.

    Attributes:
        total: its tokens; None where nothing says.
        is_given: whether `mix.tokens` set them; else it is one epoch, as the trainer's runs are by default: the
            budgets, and as much as all others hold.
        reads: what each source or component is to give. held: its tokens, None where not known. taken: what it gives.
        excess: tokens of budgets beyond the total.
    """

    total: int | None
    is_given: bool
    reads: dict[str, Reads]
    held: dict[str, int | None]
    taken: dict[str, Taken]
    excess: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a source roughly holds.

    Attributes:
        num_files: that it reads. input_bytes: of these, as stored; None where one's size is not known.
        text_bytes: about so many, before cleaning and behind down-sampling; None as those.
    """

    num_files: int
    input_bytes: int | None
    text_bytes: int | None

    @property
    def tokens(self) -> int | None:
        """About so many tokens."""
        return None if self.text_bytes is None else round(self.text_bytes / BYTES_PER_TOKEN)


def estimate(files: Iterable[tuple[str, int | None]], keep: Any = None) -> Estimate:
    """Return what a source roughly holds, by the names and sizes of its files alone.

    Args:
        files: name, bytes as stored, None where not known.
        keep: how much of its text is kept; None for all.
    """
    listed = list(files)
    known = [(name, size) for name, size in listed if size is not None]
    if not known or len(known) < len(listed):
        return Estimate(len(listed), None, None)
    text = sum(size * next(ratio for end, ratio in TEXT_PER_BYTE if name.lower().endswith(end)) for name, size in known)
    if isinstance(keep, dict):
        text = min(text, keep["bytes"])
    elif keep is not None:
        text *= keep
    return Estimate(len(known), sum(size for _, size in known), round(text))


def check_plan(reads: Mapping[str, Reads], total: int | None, key: str) -> None:
    """Refuse what can't be met whatever the sources hold.

    Args:
        reads: source -> what a run is to read of it.
        total: tokens of a run; None where not given.
        key: of a source's settings, with {} for its name.
    Raises:
        PlanError: says the keys and the arithmetic.
    """
    for name, each in reads.items():
        if each.budget is not None and each.weight != 1:
            where = key.format(name)
            raise PlanError(
                f"{where}.weight: {each.weight:g} beside {where}.budget={_typed(each.budget)}, which is read in place "
                "of a weight; leave one of the two out"
            )
    fixed = {
        name: units_of(each.budget, 0, 1) for name, each in reads.items() if each.budget and "tokens" in each.budget
    }
    summed = sum(fixed.values())
    if total is None or summed == total or (summed < total and len(fixed) < len(reads)):
        return
    parts = " + ".join(f"{name} {count:,}" for name, count in fixed.items())
    told = f"mix.tokens: the budgets take {parts} = {summed:,} tokens, the run has {total:,}: they "
    if summed > total:
        raise PlanError(f"{told}exceed it; lower them, or set mix.tokens={summed} or more")
    raise PlanError(f"{told}don't fill it; give a source a weight in place of its budget, or set mix.tokens=null")


def plan(reads: Mapping[str, Reads], held: Mapping[str, int | None], total: int | None) -> Plan:
    """Return what a run takes of each source or component.

    Args:
        reads: what it is to read of each.
        held: tokens of each; None where not known.
        total: tokens of the run; None for one epoch.
    """
    budgets = {name: _units(each.budget, held[name]) for name, each in reads.items() if each.budget is not None}
    weights = {name: each.weight for name, each in reads.items() if each.budget is None and each.weight > 0}
    fixed = _sum(budgets.values())
    length = total if total is not None else _sum([fixed, *(held[name] for name in weights)])
    excess = 0 if length is None or fixed is None else max(0, fixed - length)
    counts: Mapping[str, int | None] = budgets
    are_known = all(reads[name].is_known for name in weights)
    if fixed is not None and length is not None and are_known:
        known = {name: count for name, count in budgets.items() if count is not None}
        counts = shared_out(known, weights, max(fixed, length))
    shares = (
        {} if budgets or not are_known else {name: weight / sum(weights.values()) for name, weight in weights.items()}
    )
    taken = {
        name: _taken(counts.get(name, None if name in weights else 0), held[name], length, shares.get(name))
        for name in reads
    }
    return Plan(length, total is not None, dict(reads), dict(held), taken, excess)


def too_often(of: Plan, key: str, are_estimates: bool, sources: Mapping[str, str] | None = None) -> list[str]:
    """Return a line for each part that the run reads more than MAX_EPOCHS times, one for budgets beyond its end, and
    one for the groups that it never reads.

    Args:
        key: of a source's settings, with {} for its name.
        are_estimates: whether what is held is a guess.
        sources: component -> its source; None: all are sources.
    """
    lines = []
    about = "about " if are_estimates else ""
    if of.excess:
        lines.append(
            f"the budgets exceed the {of.total:,} tokens of mix.tokens by {about}{of.excess:,}: lower them, or make "
            "the run longer"
        )
    groups = [name for name in of.held if sources is not None and sources[name] != name]
    if unread := {name: held for name in groups if (held := of.held[name]) and of.reads[name] == Reads(0.0)}:
        more = f" and {len(unread) - LISTED:,} more" if len(unread) > LISTED else ""
        lines.append(
            f"{sum(unread.values()):,} tokens have weight 0 and are not read, of {', '.join([*unread][:LISTED])}{more}"
        )
    for name, taken in of.taken.items():
        if taken.epochs is not None and taken.epochs > MAX_EPOCHS:
            is_group = sources is not None and sources[name] != name
            lines.append(
                f"{name} would be read {about}{taken.epochs:,.1f} times (past {MAX_EPOCHS:g}, tokens that are read "
                f"again teach little, arXiv:2305.16264): give it more text, or {_instead(of, name, key, is_group)}"
            )
    return lines


def _instead(of: Plan, name: str, key: str, is_group: bool) -> str:
    """Return what to set so that a part is read less often."""
    epochs = of.taken[name].epochs or MAX_EPOCHS
    is_weighted = of.reads[name].budget is None
    if is_group:
        return "set mix.temperature nearer to 1 or mix.min_group_frac higher, or a shorter run"
    if is_weighted and sum(bool(taken.tokens) for taken in of.taken.values()) == 1:
        return f"a run of at most mix.tokens={int((of.total or 0) * MAX_EPOCHS / epochs)}"
    smaller = ", or a smaller weight" if is_weighted else ""
    return f"set {key.format(name)}.budget='{{epochs: {MAX_EPOCHS:g}}}'{smaller}"


def _units(budget: dict[str, float], held: int | None) -> int | None:
    return None if held is None and "epochs" in budget else units_of(budget, held or 0, 1)


def _sum(counts: Iterable[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _taken(tokens: int | None, held: int | None, length: int | None, share: float | None) -> Taken:
    if tokens is not None and length:
        share = tokens / length
    return Taken(tokens, share, float(Fraction(tokens, held)) if tokens is not None and held else None)


def _typed(budget: Mapping[str, float]) -> str:
    ((unit, amount),) = budget.items()
    return f"{{{unit}: {amount:g}}}"
