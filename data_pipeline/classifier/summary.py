"""What a finished training prints: the examples, what each limit would do to the held-out ones, the line to type."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from data_pipeline.classifier.evaluate import Limited
from data_pipeline.classifier.examples import Examples
from data_pipeline.classifier.labels import CLASSES
from data_pipeline.classifier.page import NEAR_DUPLICATES, OTHERS, USE
from data_pipeline.classifier.result import Result
from data_pipeline.output_dir import REPORT
from data_pipeline.report.tables import print_tables
from foundation.text import number_of, one_line

FEW = 100  # held-out examples of a class, below which shares are rough: +- 10 % at two standard deviations
NAMED = 3  # examples in both classes that are named
MARKUP_FRAC = 0.5  # more of one class than of the other begin as HTML: that is what is learned
VALUES = ("true", "false", "null", "inf", "nan")  # words that Hydra reads as no text
LOW_QUALITY, TOXIC = "low_quality", "toxic"  # reasons: of the option classifier, and of the option toxic
LIMITS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def report(result: Result) -> None:
    """Print the figures to stdout, warnings to stderr."""
    for line in warnings(result):
        print(f"warning: {line}", file=sys.stderr)
    for line in _examples(result):
        print(line)
    print_tables(_table(result), stderr=False)
    for line in _closing(result):
        print(line)


def warnings(result: Result) -> Iterator[str]:
    """Yield what to know before the figures are believed."""
    read = result.examples
    if read.in_both:
        pairs = "; ".join(one_line(f"{good} and {bad}", 200) for good, bad in read.in_both[:NAMED])
        more = "; ..." if len(read.in_both) > NAMED else ""
        texts = number_of(len(read.in_both), "text")
        yield f"left out, as they stand in both classes and teach nothing: {texts} ({pairs}{more})"
    yield from _markup(read)
    for label, left_out in zip(CLASSES, read.left_out, strict=True):
        if left_out:
            yield f"{left_out:,} {label} examples are left out, as memory_bytes asks; set it higher to take them"
    for label, number in zip(CLASSES, result.held_out, strict=True):
        if number < FEW:
            yield f"{number} {label} examples are held out: the figures are rough; give more examples"
    if not result.fitted.converged:
        yield f"training stopped after {result.fitted.steps} steps, before its end; set l2 higher"


def _markup(read: Examples) -> Iterator[str]:
    good, bad = (of / max(seen, 1) for of, seen in zip(read.markup, read.seen, strict=True))
    if abs(good - bad) > MARKUP_FRAC:
        yield (
            f"{good:.0%} of the good examples and {bad:.0%} of the bad ones begin as HTML: the model tells markup from "
            "text, and takes nothing of texts that a rule took out of HTML; add clean=html (for fragments also "
            "clean.rules.html.only_html=always), or give both in one form"
        )


def _examples(result: Result) -> Iterator[str]:
    read = result.examples
    numbers = zip(CLASSES, read.seen, read.repeated, result.training, result.held_out, strict=True)
    for label, seen, repeated, training, held_out in numbers:
        use = f"{training:,} trained on, {held_out:,} held out"
        yield f"{label}: {number_of(seen, 'example')}, {repeated:,} of them repeat others; {use}"
    if read.wordless or read.account.quarantined:
        yield f"without a word: {read.wordless:,}; unreadable: {read.account.quarantined.total():,}"
    yield f"trained in {result.fitted.steps} steps, loss {result.fitted.loss:.4f} (0.6931 knows nothing)"
    yield f"area under the ROC curve, held out: {result.judged.area:.4f}"


def _table(result: Result) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("least", "bad that go: precision", "recall", "F1", "good that stay"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = {each.least: each for each in result.judged.limits if each.least in LIMITS}
    shown |= {result.judged.best.least: result.judged.best}
    for least in sorted(shown):
        table.add_row(*_row(shown[least]), "<- greatest F1" if least == result.judged.best.least else "")
    return table


def _row(each: Limited) -> tuple[str, ...]:
    shares = (each.precision, each.recall, each.f1, each.good_kept)
    return f"{each.least:.4g}", *(f"{share:.3f}" for share in shares)


def _closing(result: Result) -> Iterator[str]:
    yield NEAR_DUPLICATES.format(reason=reason_of(result))
    yield f"  {OTHERS} {use_of(result)}"
    yield f"model:  {shown_path(result.path)}"
    yield f"page:   {shown_path(result.path.with_name(REPORT))}"
    yield f"{USE}:"
    yield f"  {use_of(result)}"


def use_of(result: Result) -> str:
    """Return what to add to a line of `python -m data_pipeline` to clean by the model."""
    name = result.path.parent.name
    label = name if name.isascii() and name.isidentifier() else "quality"
    rule, reason = f"clean.rules.{label}", reason_of(result)
    option = TOXIC if reason == TOXIC else "classifier"
    named = "" if option == TOXIC else f" {rule}.score={label}"
    named += f" {rule}.reason={reason}" if reason not in (TOXIC, LOW_QUALITY) else ""
    keys = f"{rule}.model={as_typed(shown_path(result.path))}{named}"
    return f"+clean/rules@{rule}={option} {keys} {rule}.least={result.judged.best.least:.4g}"


def reason_of(result: Result) -> str:
    """Return for what documents go by the model: the label that most of the bad examples have, where it is a word."""
    most_first = [label for label, _ in result.examples.reasons.most_common()]
    words = [label for label in most_first if label.isidentifier() and label.isascii() and label.lower() not in VALUES]
    return words[0] if words else LOW_QUALITY


def as_typed(text: str) -> str:
    """Return a text as the value of a key on a command line: quoted for Hydra, where `,`, `=` or `(` mean something,
    and around that for the shell."""
    if re.fullmatch(r"[A-Za-z0-9_./-]*[A-Za-z_/][A-Za-z0-9_./-]*", text):
        return text
    inner = re.sub(r"(\\*)\$\{", lambda match: f"{match[1] * 2}\\${{", text)  # else of OmegaConf an interpolation
    inner = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), inner)
    quoted = f"'{inner}'"
    return shlex.quote(quoted) if set(quoted) & set('"$`\\!') else f'"{quoted}"'


def shown_path(path: Path) -> str:
    """Return a path as it is typed here: relative where it lies below the working folder."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
