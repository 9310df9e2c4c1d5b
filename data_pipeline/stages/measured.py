"""What the filter measured, for people who choose limits: histograms by source, labels, samples on both sides."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from data_pipeline.clean.histogram import Histograms, Side, sides
from data_pipeline.clean.rules import Rule
from data_pipeline.executors.executor import Executor
from data_pipeline.stages.described import describe
from data_pipeline.stages.shown import CANDIDATE, KINDS, best, drawn
from data_pipeline.stages.view import View

MOST_GROUPS = 16  # of a label whose limits are shown, those with most documents: a page holds no more


class Measured:
    """Sums what partitions measured.

    Args:
        rule: of `clean`.
        sources: all, in their order.
    """

    def __init__(self, rule: Rule, sources: list[str]) -> None:
        self._choices, self._sides = rule.choices, sides(rule.limits)
        self._histograms = {source: Histograms.empty(len(self._sides)) for source in sources}
        labels = [np.zeros((len(choice.names), 4), np.int64) for choice in rule.choices]
        self._labels = {source: [counts.copy() for counts in labels] for source in sources}
        self._candidates = np.zeros(0, CANDIDATE)

    def add(self, source: str, arrays: dict[str, np.ndarray]) -> None:
        """Add a partition.

        Args:
            arrays: `rows` and `taken` of its Histograms, `candidates` of its samples, `labels_<number>` of each choice.
        """
        self._histograms[source] += Histograms(arrays["rows"], arrays["taken"])
        for number, counts in enumerate(self._labels[source]):
            counts += arrays[f"labels_{number}"]
        self._candidates = best(np.concatenate([self._candidates, arrays["candidates"]]))

    def facts(self, executor: Executor, view: View, stage: str) -> dict[str, Any]:
        """Return all of it as JSON values, for the page.

        Args:
            view: before the filter.
            stage: the filter's name.
        Returns:
            `limits`: by side: score, end, threshold (None: there is none yet), reason, key, group (None: all
            documents), histogram (source -> edge and counts of each bucket), taken (source -> counts), samples.
            `choices`: score, wanted (names; None: all), reason, key, labels (source -> name -> counts).
        """
        shown = self._shown()
        samples = drawn(self._candidates)
        samples = samples[np.isin(samples["side"], shown)]
        described = self._describe(executor, view, stage, samples)
        limits = [self._limit(number, [each for each in described if each["side"] == number], view) for number in shown]
        return {"limits": limits, "choices": [self._choice(number) for number in range(len(self._choices))]}

    def _shown(self) -> list[int]:
        """Return the numbers of the sides that are shown: those with documents, of many groups the largest."""
        documents: Counter[int] = Counter()
        for histograms in self._histograms.values():
            for number, num_docs in histograms.rows[:, [0, 2]].tolist():
                documents[number] += num_docs
        shown, groups = [], Counter[str]()
        for number in sorted(documents, key=lambda each: (-documents[each], each)):
            where = self._sides[number].limit.where
            if where is None or groups[where.score] < MOST_GROUPS:
                shown.append(number)
            if where is not None:
                groups[where.score] += 1
        grouped = [number for number in shown if self._sides[number].limit.where is not None]
        return [*sorted(set(shown) - set(grouped)), *grouped]

    def _limit(self, number: int, samples: list[dict[str, Any]], view: View) -> dict[str, Any]:
        side = self._sides[number]
        edges = [_plain(edge) for edge in side.edges.tolist()]
        rows = {source: histograms.of(number) for source, histograms in self._histograms.items()}
        return {
            "score": side.limit.score,
            "end": side.end,
            "threshold": _plain(side.threshold),
            "reason": side.reason,
            "key": side.key,
            "group": side.limit.where.name if side.limit.where else None,
            "histogram": {source: [[edges[bucket], *counts] for bucket, *counts in rows[source]] for source in rows},
            "taken": {source: histograms.taken[number].tolist() for source, histograms in self._histograms.items()},
            "samples": [
                {name: value for name, value in each.items() if name != "side"} | {"edge": _edge(side, each["value"])}
                for each in samples
            ],
        }

    def _describe(self, executor: Executor, view: View, stage: str, samples: np.ndarray) -> list[dict[str, Any]]:
        """Return each sample with what people need to judge it: here alone texts are read."""
        indices = np.unique(samples["index"])
        if not len(indices):
            return []
        documents = describe(executor, view, stage, indices).places(indices).load().to_pylist()
        sources = [view.partitions[part].source for part in np.searchsorted(view.starts, indices, "right") - 1]
        found = []
        for row in samples:
            place = int(np.searchsorted(indices, row["index"]))
            found.append(
                {
                    "side": int(row["side"]),
                    "kind": KINDS[row["kind"]],
                    "value": _plain(float(row["value"])),
                    "alone": bool(row["alone"]),
                    "id": documents[place]["id"],
                    "source": sources[place],
                    "file": view.file_names[documents[place]["file"]],
                    "row": documents[place]["row"],
                    "snippet": documents[place]["text"],
                }
            )
        return found

    def _choice(self, number: int) -> dict[str, Any]:
        choice = self._choices[number]
        return {
            "score": choice.score,
            "wanted": None if choice.wanted is None else [choice.names[place] for place in sorted(choice.wanted)],
            "reason": choice.reason,
            "key": choice.key,
            "labels": {
                source: {
                    choice.names[place]: counts[number][place].tolist()
                    for place in np.flatnonzero(counts[number][:, 0])
                }
                for source, counts in self._labels.items()
            },
        }


def _edge(side: Side, value: float | str) -> float | str:
    """Return the border at which the limit leaves a value."""
    return _plain(float(side.edges[side.buckets(np.array([float(value)]))[0]]))


def _plain(value: float) -> float | str:
    """Return a number as JSON holds it: an infinite one as text."""
    return value if math.isfinite(value) else str(value)
