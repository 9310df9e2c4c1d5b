"""What the search for near-duplicates found, for those who judge its settings: deduplication/summary.json.

The evidence of every removal is in removed/near/; here is what that alone does not show: how alike the documents are
that stayed, which clusters are the largest, where the texts of some pairs differ, what planted pairs say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_pipeline.dedup.dedup import NearResult
from data_pipeline.dedup.differences import excerpts
from data_pipeline.dedup.guards import TextsOf
from data_pipeline.dedup.planted import SelfTest
from data_pipeline.documents import SNIPPET_CHARS, Removals
from data_pipeline.stages.view import View
from data_pipeline.storage import write_file

SUMMARY = "summary.json"
MAX_PAIRS = 12  # whose texts are shown, from the least to the most similar
MOST_CLUSTERS = 10  # that are named: the largest
NUM_BINS = 20  # of similarities from 0 to 1


def write_summary(
    folder: Path, view: View, texts_of: TextsOf, result: NearResult, tested: SelfTest | None
) -> list[Path]:
    """Write summary.json; return the files written.

    Args:
        folder: `deduplication`.
        view: before the removal.
        texts_of: gives its texts.
        tested: what planted pairs say, where they were asked.
    """
    pairs, clusters = _pairs(result.removals), _clusters(result)
    shown = {at for pair in pairs for at in pair[:2]} | {cluster["hub"] for cluster in clusters}
    positions = np.array(sorted(shown), np.int64)
    texts = dict(zip(positions.tolist(), texts_of(positions), strict=True))
    names = _names(view, positions)
    content = {
        "self_test": None if tested is None else tested.to_json(),
        "similarity": _histogram(result),
        "clusters": [
            cluster
            | {"cluster": int(view.positions[cluster["cluster"]])}  # as the evidence numbers them
            | {"hub": names[cluster["hub"]], "text": texts[cluster["hub"]][:SNIPPET_CHARS]}
            for cluster in clusters
        ],
        "pairs": [_described(*pair, names, texts) for pair in pairs],
    }
    path = folder / SUMMARY
    write_file(path, orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return [path]


def _histogram(result: NearResult) -> dict[str, Any]:
    """Return how many documents have which similarity to a kept one: those removed, and those that stayed."""
    removals = result.removals
    assert removals.similarity is not None
    edges = np.arange(NUM_BINS + 1) / NUM_BINS
    counts = {"removed": _binned(removals.similarity, edges), "stayed": _binned(result.nearest, edges)}
    return {"threshold": removals.threshold if len(removals) else None, "edges": edges.tolist(), **counts}


def _binned(values: np.ndarray, edges: np.ndarray) -> list[int]:
    """Count by bins that hold their lower edge exactly: 0.8 is not below 0.8."""
    places = np.searchsorted(edges, values, side="right") - 1
    counts: list[int] = np.bincount(np.minimum(places, len(edges) - 2), minlength=len(edges) - 1).tolist()
    return counts


def _clusters(result: NearResult) -> list[dict[str, Any]]:
    """Return the largest clusters: how many documents, how many of them went, for which kept one most of them."""
    if result.clusters is None:
        return []
    labels, sizes = np.unique(result.clusters.clusters, return_counts=True)
    largest = np.lexsort((labels, -sizes))[:MOST_CLUSTERS]
    named = zip(labels[largest].tolist(), sizes[largest].tolist(), strict=True)
    return [_cluster(result.removals, number, size) for number, size in named]


def _cluster(removals: Removals, number: int, size: int) -> dict[str, Any]:
    assert removals.kept is not None and removals.cluster is not None
    kept, times = np.unique(removals.kept[removals.cluster == number], return_counts=True)
    most = np.argmax(times) if len(times) else 0  # of as many the first
    hub, for_hub = (int(kept[most]), int(times[most])) if len(times) else (number, 0)
    return {"cluster": number, "documents": size, "removed": int(times.sum()), "hub": hub, "for_hub": for_hub}


def _pairs(removals: Removals) -> list[tuple[int, int, float]]:
    """Return position, position of the kept one and similarity of some removals, the least similar first."""
    assert removals.kept is not None and removals.similarity is not None
    order = np.lexsort((removals.positions, removals.similarity))
    shown = min(MAX_PAIRS, len(order))
    chosen = order[np.arange(shown) * len(order) // max(shown, 1)]
    columns = (removals.positions, removals.kept, removals.similarity)
    return list(zip(*(column[chosen].tolist() for column in columns), strict=True))


def _names(view: View, positions: np.ndarray) -> dict[int, dict[str, str]]:
    """Return position -> id and source."""
    mask = np.zeros(len(view.alive), bool)
    mask[view.positions[positions]] = True
    named = [
        {"id": identifier, "source": piece.partition.source}
        for piece in view.slices(mask)
        for identifier in piece.load().column("id").to_pylist()
    ]
    return dict(zip(positions.tolist(), named, strict=True))


def _described(
    gone: int, kept: int, similarity: float, names: dict[int, dict[str, str]], texts: dict[int, str]
) -> dict[str, Any]:
    begin, kept_begin = excerpts(texts[gone], texts[kept])
    return {
        "similarity": similarity,
        "removed": names[gone],
        "kept": names[kept],
        "text": begin,
        "kept_text": kept_begin,
    }
