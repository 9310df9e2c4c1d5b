"""The forecast of a run: documents, tokens, time, memory and disk of each stage, and what would stop it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_pipeline.ledger import Account, Book
from data_pipeline.pipeline import Result
from data_pipeline.preflight.costs import Costs, Probed, Whole, costs_of
from data_pipeline.preflight.estimate import Estimate, most_duplicates
from data_pipeline.preflight.outcomes import Outcomes, OutcomesDisagree
from data_pipeline.stages.duplicates import ExactDuplicates, NearDuplicates
from data_pipeline.stages.shards import COMPONENTS
from data_pipeline.stages.stage import Finished

DUPLICATES = (ExactDuplicates.name, NearDuplicates.name)


@dataclass(frozen=True, slots=True)
class StageForecast:
    """What one stage will do and take.

    Attributes:
        documents: that are left after it; None where none pass through it.
        removed: by reason.
        costs: what it takes.
    """

    name: str
    documents: Estimate | None
    removed: dict[str, Estimate]
    costs: Costs

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        documents = self.documents.to_json() if self.documents else None
        removed = {reason: count.to_json() for reason, count in self.removed.items()}
        return {"documents": documents, "removed": removed, **self.costs.to_json()}


@dataclass(frozen=True, slots=True)
class Forecast:
    """The whole of it.

    Attributes:
        stages: those that are on, in their order.
        read: documents of the input.
        tokens: source -> tokens, of training and validation. Unless all of the input was in the probe they have no
            interval: how many bytes a token takes depends on the tokenizer, and the probe's was trained on the part.
        books: what each stage's ledger would say, by the middle of the estimates: for the limits that stop a run.
    """

    stages: list[StageForecast]
    read: Estimate
    tokens: dict[str, Estimate]
    books: list[tuple[str, Book]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(stage.costs.seconds for stage in self.stages)

    @property
    def most_seconds(self) -> float:
        """The same if nothing were a fixed cost."""
        return sum(stage.costs.most_seconds for stage in self.stages)

    @property
    def disk_bytes(self) -> float:
        """The most that lies on the disk at any time: what stays of the stages before, with what one works on."""
        before, most = 0.0, 0.0
        for stage in self.stages:
            most = max(most, before + stage.costs.written_bytes)
            before += stage.costs.disk_bytes
        return most

    @property
    def memory_bytes(self) -> float:
        """Peak of the stage that takes most."""
        return max((stage.costs.memory_bytes for stage in self.stages), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "documents_read": self.read.to_json(),
            "stages": {stage.name: stage.to_json() for stage in self.stages},
            "tokens": {source: tokens.to_json() for source, tokens in self.tokens.items()},
            "seconds": round(self.seconds, 1),
            "most_seconds": round(self.most_seconds, 1),
            "disk_bytes": round(self.disk_bytes),
            "memory_bytes": round(self.memory_bytes),
        }


def forecast(
    whole: Whole, small: Probed | None, large: Probed, result: Result, found: Mapping[str, Outcomes]
) -> Forecast:
    """Return the forecast.

    Args:
        whole: what is foretold.
        small: a probe of a part of the large one; None where there was none.
        large: the probe that counts; it came to its end.
        result: its result.
        found: what became of its documents, by source.
    """
    done = [stage for stage in result.stages if not stage.is_off]
    names = [stage.name for stage in done]
    stages = [_stage(stage, names[: place + 1], whole, small, large, found) for place, stage in enumerate(done)]
    read = _sum(each.clusters.count(each.documents, each.documents) for each in found.values())
    tokens = _tokens(result, found)
    return Forecast(stages, read, tokens, [(stage.name, _book(stage, found)) for stage in done])


def _stage(
    stage: Finished,
    until: Sequence[str],
    whole: Whole,
    small: Probed | None,
    large: Probed,
    found: Mapping[str, Outcomes],
) -> StageForecast:
    return StageForecast(
        name=stage.name,
        documents=_left(until, found) if stage.book else None,
        removed=_removed(stage.name, found),
        costs=costs_of(stage.name, whole, small, large),
    )


def _left(until: Sequence[str], found: Mapping[str, Outcomes]) -> Estimate:
    """Return the documents that are left after these stages; duplicates that a part can't show lower the low end."""
    left = _sum(each.left(until) for each in found.values())
    hidden = _hidden(until, found)
    if not hidden:
        return left
    alone = _sum(each.clusters.count(each.kept(until), each.documents) for each in found.values())
    copied = left.value / alone.value if alone.value else 1.0  # a hidden duplicate has its copies, as others do
    return Estimate(left.value, max(left.low - hidden * copied, 0.0), left.high)


def _hidden(stages: Sequence[str], found: Mapping[str, Outcomes]) -> float:
    """Return how many duplicates these stages may remove beside those that a part shows."""
    shown = [count for stage in DUPLICATES if stage in stages for count in _removed(stage, found).values()]
    return sum(count.high - count.value for count in shown)


def _removed(stage: str, found: Mapping[str, Outcomes]) -> dict[str, Estimate]:
    """Return what a stage removes, by reason; of duplicates `value` is what a part shows, `high` what may be hidden."""
    reasons = list(dict.fromkeys(key for each in found.values() for key in each.removed if key[0] == stage))
    if stage in DUPLICATES and not reasons:
        reasons = [(stage, f"{stage}_duplicate")]
    counts = {}
    for key in reasons:
        counts[key[1]] = _sum(
            each.clusters.count(each.removed[key], each.documents) if key in each.removed else Estimate(0.0, 0.0, 0.0)
            for each in found.values()
        )
        if stage in DUPLICATES:
            counts[key[1]] = Estimate(counts[key[1]].value, counts[key[1]].low, _most_duplicates(stage, found))
    return counts


def _most_duplicates(stage: str, found: Mapping[str, Outcomes]) -> float:
    """Return the most duplicates that the corpus can have in view of what was found: at most all documents but one."""
    pairs = [sum(each.pairs.get(stage, [0, 0])[place] for each in found.values()) for place in (0, 1)]
    fracs = [each.clusters.drawn_frac for each in found.values()]
    every = _sum(each.clusters.count(each.documents, each.documents) for each in found.values())
    shown = _sum(
        each.clusters.count(counts, each.documents)
        for each in found.values()
        for (where, _), counts in each.removed.items()
        if where == stage
    )
    return min(max(most_duplicates(pairs[0], pairs[1], min(fracs)), shown.high), every.high)


def _tokens(result: Result, found: Mapping[str, Outcomes]) -> dict[str, Estimate]:
    """Return the tokens that each source will have: by the text that is left of its clusters."""
    is_all = all(each.clusters.drawn_frac >= 1 for each in found.values())
    tokens: dict[str, Estimate] = {}
    for source, each in found.items():
        seen, text = tokens_of(source, result), float(each.text.sum())
        value = seen * each.clusters.total(each.text).value / text if text else 0.0
        tokens[source] = Estimate(value, value, value) if is_all else Estimate(value, -math.inf, math.inf)
    return tokens


def tokens_of(source: str, result: Result) -> int:
    """Return the tokens of a source in a finished run, of all its components, of training and validation.

    Raises:
        OutcomesDisagree: none of the components is one of this source.
    """
    components: Mapping[str, str] = next(s.facts[COMPONENTS] for s in result.stages if COMPONENTS in s.facts)
    mine = [name for name, of in components.items() if of == source]
    if not mine:
        raise OutcomesDisagree(
            f"preflight: none of the shards' components ({', '.join(components)}) is of the source {source!r}; this is "
            "a defect of groundwork, please report it"
        )
    return sum(split[name].tokens for split in result.manifest.splits.values() for name in mine)


def _book(stage: Finished, found: Mapping[str, Outcomes]) -> Book:
    """Return what the ledger of the whole run would say of a stage."""
    book: Book = {}
    for source, account in stage.book.items():
        clusters = found[source].clusters
        scale = 1.0 if clusters.drawn_frac >= 1 else clusters.whole / max(float(clusters.sizes.sum()), 1.0)
        created, dropped, quarantined = (
            type(counts)({reason: round(n * scale) for reason, n in counts.items()})
            for counts in (account.created, account.dropped, account.quarantined)
        )
        out = round(account.num_out * scale)
        num_in = out + dropped.total() + quarantined.total() - created.total()
        book[source] = Account(num_in, out, created, dropped, quarantined)
    return book


def _sum(estimates: Any) -> Estimate:
    return sum(estimates, Estimate(0.0, 0.0, 0.0))
