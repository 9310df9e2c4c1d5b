"""What a training gives back, and what the model's file says of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_pipeline.classifier.evaluate import Limited
from data_pipeline.classifier.examples import Examples
from data_pipeline.classifier.fit import Fitted
from data_pipeline.classifier.labels import CLASSES


@dataclass(frozen=True, slots=True)
class Judged:
    """How a model does on held-out examples.

    Attributes:
        limits: a list of them, ascending.
        half, best: the limit 0.5, and the one with the greatest F1, which was chosen on these very examples.
        area: under the ROC curve.
    """

    limits: list[Limited]
    half: Limited
    best: Limited
    area: float


@dataclass(frozen=True, slots=True)
class Result:
    """What a training gives back.

    Attributes:
        path: of the model.
        examples: what was read.
        training, held_out: numbers of examples of each class.
        fitted: by what the model was found.
        judged: how it does on the held-out ones.
    """

    path: Path
    examples: Examples
    training: list[int]
    held_out: list[int]
    fitted: Fitted
    judged: Judged


def facts_of(result: Result, l2: float, held_out_frac: float, seed: int) -> dict[str, Any]:
    """Return what the model's file says of its training: no path, no clock."""
    read, fitted, judged = result.examples, result.fitted, result.judged
    return {
        "examples": {
            "seen": _by_class(read.seen),
            "repeated": _by_class(read.repeated),
            "left_out": _by_class(read.left_out),
            "in_both": len(read.in_both),
            "wordless": read.wordless,
            "unreadable": read.account.quarantined.total(),
        },
        "training": {
            **_by_class(result.training),
            "l2": l2,
            "loss": fitted.loss,
            "steps": fitted.steps,
            "converged": fitted.converged,
        },
        "held_out": {
            **_by_class(result.held_out),
            "held_out_frac": held_out_frac,
            "seed": seed,
            "area_under_curve": judged.area,
            "half": asdict(judged.half),
            "best": asdict(judged.best),
            "limits": [asdict(each) for each in judged.limits],
        },
    }


def _by_class(numbers: list[int]) -> dict[str, int]:
    return dict(zip(CLASSES, numbers, strict=True))
