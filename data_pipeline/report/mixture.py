"""The plan of the mixture before a run of the pipeline, and the truth after it, beside each other."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from data_pipeline.mix.mixture import Mixture
from data_pipeline.mix.plan import BYTES_PER_TOKEN, Plan, Taken, too_often
from data_pipeline.mix.weights import Reads
from data_pipeline.report.tables import print_tables, table
from foundation.page import Page
from foundation.progress import human

NOT_KNOWN = "?"
TAKES = ("reads", "share", "takes", "epochs")  # columns of both tables


@dataclass(frozen=True, slots=True)
class Mixed:
    """The mixture that came out, beside the plan.

    Attributes:
        truth: by the tokens of the shards.
        planned: source -> tokens that it was taken to hold; None where nothing was known.
        sources: component -> its source.
        key: as of `Mixture`.
    """

    truth: Plan
    planned: dict[str, int | None]
    sources: dict[str, str]
    key: str

    @classmethod
    def of(cls, mixture: Mixture, sources: dict[str, str], train: Mapping[str, Mapping[str, Any]]) -> Mixed:
        """Return it; train: component -> what the training split holds of it, `tokens` and more."""
        tokens = {name: held["tokens"] for name, held in train.items()}
        planned = {name: each.tokens for name, each in mixture.estimates.items()}
        return cls(mixture.truth(tokens, sources), planned, sources, mixture.key)

    def rows(self) -> list[list[str]]:
        """Return the cells of its table, a row a component; a source of several has one for all of it too."""
        rows: list[list[str]] = []
        for source in dict.fromkeys(self.sources.values()):
            mine = [name for name, of in self.sources.items() if of == source]
            planned = _size(self.planned[source], "")
            if mine != [source]:
                rows.append(self._whole(source, mine, planned))
            for name in mine:
                numbers = _taken(self.truth.taken[name])
                row = [planned if name == source else "", f"{self.truth.held[name]:,}", _reads(self.truth.reads[name])]
                rows.append([name, *row, *numbers])
        return rows

    def _whole(self, source: str, mine: list[str], planned: str) -> list[str]:
        held = sum(self.truth.held[name] or 0 for name in mine)
        tokens = sum(self.truth.taken[name].tokens or 0 for name in mine)
        share = sum(self.truth.taken[name].share or 0.0 for name in mine)
        taken = Taken(tokens, share, tokens / held if held else None)
        return [f"{source} (all)", planned, f"{held:,}", "", *_taken(taken)]


def print_plan(mixture: Mixture) -> None:
    """Print what each source roughly holds and gives, and what is amiss with that."""
    plan = mixture.planned
    title = (
        f"plan, for {_length(plan, 'about ')}; ~ is an estimate by the sizes of the files, before cleaning, with "
        f"{BYTES_PER_TOKEN:g} bytes a token"
    )
    keep = mixture.mix.keep
    rows = table(["source"], ["files", "input", "~text", "~tokens", *(["keeps"] if keep else []), *TAKES])
    for name, each in mixture.estimates.items():
        sizes = (_size(each.input_bytes), _size(each.text_bytes), _size(each.tokens, ""))
        keeps = [_keeps(keep.get(name))] if keep else []
        share, _, epochs = _taken(plan.taken[name])
        takes = _size(plan.taken[name].tokens, "")
        rows.add_row(name, f"{each.num_files:,}", *sizes, *keeps, _reads(plan.reads[name]), share, takes, epochs)
    print_tables(title, rows)
    _warn(plan, mixture.key)


def mixed_table(mixed: Mixed) -> list[str | Table]:
    """Return the closing table of the mixture, and the line above it; nothing where one source is read once."""
    found = mixed.rows()
    if len(found) == 1 and not mixed.truth.is_given and mixed.truth.reads[found[0][0]].budget is None:
        return []
    rows = table(["mixture"], ["~planned", "tokens", *TAKES])
    for row in found:
        rows.add_row(*row)
    return [f"mixture, for {_length(mixed.truth, '')}", rows]


def warn_of_truth(mixed: Mixed) -> None:
    """Print what is amiss with the mixture as it came out."""
    _warn(mixed.truth, mixed.key, mixed.sources)


def show_mixture(page: Page, mixed: Mixed) -> None:
    """Show the plan and the truth on the page."""
    page.section("The mixture, planned and true")
    page.text(
        f"What training reads of each source in {_length(mixed.truth, '')}, by the tokens that came out. Planned: the "
        "tokens that the sizes of the files promised before anything was read. Past 4 epochs, tokens that are read "
        "again teach little (arXiv:2305.16264)."
    )
    page.table(["source", "planned tokens", "tokens", *TAKES], mixed.rows())


def _warn(plan: Plan, key: str, sources: Mapping[str, str] | None = None) -> None:
    """Print what is amiss with a plan; sources: component -> its source, where the tokens are no estimates."""
    for line in too_often(plan, key, sources is None, sources):
        print(f"warning: plan: {line}", file=sys.stderr)


def _length(plan: Plan, about: str) -> str:
    if plan.total is None:
        return "a run of unknown length (mix.tokens= sets it)"
    if plan.is_given:
        return f"a run of {plan.total:,} tokens"
    return f"a run of one epoch, {about}{plan.total:,} tokens (mix.tokens= sets another length)"


def _reads(reads: Reads) -> str:
    if reads.budget is None:
        return f"weight {reads.weight:.4g}" if reads.is_known else f"weight {NOT_KNOWN}"
    ((unit, amount),) = reads.budget.items()
    return f"{amount:,.6g} {unit}"


def _keeps(part: Any) -> str:
    if part is None:
        return "all"
    return human(part["bytes"], "B") if isinstance(part, dict) else f"{part:.4g}"


def _taken(taken: Taken) -> tuple[str, str, str]:
    share = NOT_KNOWN if taken.share is None else f"{taken.share:.2%}"
    epochs = NOT_KNOWN if taken.epochs is None else f"{taken.epochs:,.2f}"
    return share, NOT_KNOWN if taken.tokens is None else f"{taken.tokens:,}", epochs


def _size(amount: int | None, unit: str = "B") -> str:
    return NOT_KNOWN if amount is None else human(amount, unit)
