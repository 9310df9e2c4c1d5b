"""A decision over the whole corpus on which documents go for another: written with its evidence and the clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.dedup.bands import Clusters
from data_pipeline.dedup.dedup import clusters_of
from data_pipeline.documents import Removals
from data_pipeline.ledger import Book
from data_pipeline.output_dir import CLUSTERS, REMOVED
from data_pipeline.stages.clusters import write_clusters
from data_pipeline.stages.described import describe
from data_pipeline.stages.removed import named_in, write_evidence
from data_pipeline.stages.stage import BYTES_REMOVED, Outcome, Stage, account_decision, bytes_in_and_removed
from data_pipeline.stages.view import View, decision_path
from data_pipeline.storage import write_arrays
from foundation.hashes import hash_bytes


def decide(
    stage: Stage,
    view: View,
    before: Book,
    removals: Removals,
    clusters: Clusters | None,
    files: list[Path],
    facts: dict[str, Any] | None = None,
) -> Outcome:
    """Write a decision over the whole corpus: which documents go, the evidence of each, and the clusters.

    Args:
        view: before the decision; positions count in it.
        clusters: None: what the removals connect.
        files: of the parts that led to it.
        facts: for reports.
    """
    gone = view.positions[removals.positions]
    book = account_decision(view, gone, removals.reason, before)
    clusters = clusters_of(removals) if clusters is None else clusters
    executor, folder = stage.place.executor, stage.place.output_dir
    named = np.union1d(named_in(view, [removals]), view.positions[clusters.documents])
    described = describe(executor, view, stage.name, named)
    written = [
        *write_evidence(executor, folder / REMOVED / stage.name, stage.name, view, [removals], described),
        *write_clusters(executor, folder / CLUSTERS / stage.name, view, clusters, removals, described),
    ]
    lost = bytes_in_and_removed(view, gone)
    path = decision_path(stage.place.work, stage.name)
    write_arrays(path, {"gone": gone})
    return Outcome(
        output=hash_bytes(gone.astype("<i8").tobytes()),
        book=book,
        files=[*files, *written, path],
        facts={
            "bytes_in_and_removed": lost,
            BYTES_REMOVED: {source: {removals.reason: each[1]} for source, each in lost.items() if each[1]},
            **(facts or {}),
        },
        utf8_bytes=int(view.sizes[view.alive].sum()),
    )
