"""The page of a training: how the scores of the held-out examples lie, and what each limit would take out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from data_pipeline.classifier.evaluate import THRESHOLDS, Limited
from data_pipeline.classifier.labels import CLASSES
from data_pipeline.classifier.result import Result
from foundation.page import Line, Page, number

# Lee et al. 2022, arXiv:2107.06499: of standard sets, 4 % of the validation examples have one in the training set
NEAR_DUPLICATES = (
    "Examples are held out by their words: near-duplicates of one page, template or site may stand on both sides, and "
    "then these figures flatter. Leave such out of the examples, and judge by records of other sources ({{text, "
    "reason: {reason}}}, or reason: null for good ones):"
)
USE = "to score documents by it and take out those below a limit, add to a line of python -m data_pipeline"
OTHERS = "python -m data_pipeline.clean others.jsonl clean=bare"  # another rule that took a text would hide this one


def write_page(path: Path, name: str, result: Result, use: str, reason: str) -> None:
    """Write the page.

    Args:
        name: of the model.
        use: what to add to a command to clean by the model.
        reason: for which documents then go.
    """
    judged = result.judged
    page = Page(name, "A classifier trained on good and bad examples, judged on held-out ones.")
    page.section("How well it does")
    held_out = dict(zip(CLASSES, result.held_out, strict=True))
    page.facts(
        {
            "area under the ROC curve": number(judged.area),
            "greatest F1": number(judged.best.f1),
            "at least": f"{judged.best.least:.4g}",
            **{f"{label} held out": number for label, number in held_out.items()},
            **{f"{label} trained on": number for label, number in zip(CLASSES, result.training, strict=True)},
        }
    )
    page.text(
        "A document whose score is below the limit goes. Precision: share of the bad among those that go; recall: "
        "share of the bad that go. The limit with the greatest F1 was chosen on these very examples: expect a little "
        "less on others."
    )
    page.text(f"{NEAR_DUPLICATES.format(reason=reason)} {OTHERS} {use}")
    limits = judged.limits
    shares = {
        "precision": [each.precision for each in limits],
        "recall": [each.recall for each in limits],
        "good that stay": [each.good_kept for each in limits],
    }
    lines = [Line(label, THRESHOLDS, values) for label, values in shares.items()]
    page.lines(lines, "least score that stays", "share", marks=[judged.best.least], mark="greatest F1")
    page.heading("Scores of the held-out examples")
    good, bad = _histograms(limits)
    page.histogram([0.0, *THRESHOLDS, 1.0], good, "score", "examples", upon=bad, names=CLASSES)
    page.heading("Limits")
    headers = ("least", "precision", "recall", "F1", "good that stay", "bad that go", "good that go")
    page.table(headers, [_row(each) for each in sorted({*limits, judged.best}, key=lambda each: each.least)])
    page.section("How to use it")
    page.text(f"{USE}: {use}")
    page.write(path)


def _histograms(limits: list[Limited]) -> list[list[int]]:
    """Return how many good, and how many bad examples have a score between two limits: (limits + 1,) each."""
    first = limits[0]
    below = [[each.false_alarms for each in limits], [each.hits for each in limits]]
    whole = [first.false_alarms + first.kept, first.hits + first.missed]
    return [np.diff([0, *of_class, every]).tolist() for of_class, every in zip(below, whole, strict=True)]


def _row(each: Limited) -> list[int | float | None]:
    shares = (each.precision, each.recall, each.f1, each.good_kept)
    shown = (None if math.isnan(share) else float(f"{share:.4g}") for share in shares)
    return [each.least, *shown, each.hits, each.false_alarms]
