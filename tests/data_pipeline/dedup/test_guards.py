from __future__ import annotations

import numpy as np
import pytest

from data_pipeline.dedup.bands import Clusters
from data_pipeline.dedup.guards import TooMuchAlike, check_clusters, check_losses
from data_pipeline.documents import Removals


def texts_of(positions: np.ndarray) -> list[str]:
    return [f"text {position}" for position in positions.tolist()]


def test_a_cluster_that_is_too_large_shows_two_of_its_documents() -> None:
    found = Clusters(np.arange(10, 20), np.array([10, 10, 10, 13, 13, 13, 13, 13, 10, 13]))
    check_clusters(found, 100, 6, texts_of)
    with pytest.raises(
        TooMuchAlike, match=r"^dedup\.max_cluster: bands connect 6 of 100 documents, more than 5"
    ) as error:
        check_clusters(found, 100, 5, texts_of)
    assert "10 documents are in 2 clusters" in str(error.value)
    assert "'text 13'" in str(error.value)
    assert "'text 16'" in str(error.value)


def test_no_clusters_are_not_too_large() -> None:
    check_clusters(Clusters(np.zeros(0, np.int64), np.zeros(0, np.int64)), 5, 2, texts_of)


def test_a_source_that_loses_too_much_shows_the_text_that_took_it() -> None:
    source_of = np.array([0] * 200 + [1] * 1000)
    positions = np.array([*range(10, 200), *range(300, 1150)])
    kept = np.where(positions >= 200, 5, np.where(positions % 3, 7, 8))
    removals = Removals("near_duplicate", positions, kept=kept)
    check_losses(removals, source_of, ["books", "web"], 0.95, texts_of)
    with pytest.raises(TooMuchAlike) as error:
        check_losses(removals, source_of, ["books", "web"], 0.949, texts_of)
    message = str(error.value)
    assert message.startswith("dedup.max_loss_frac: 190 of 200 documents of source 'books' (95.0%)")
    assert "127 of them of one that begins 'text 7'" in message


def test_a_small_loss_never_stops_a_run() -> None:
    removals = Removals("near_duplicate", np.arange(1, 100), kept=np.zeros(99, np.int64))
    check_losses(removals, np.zeros(100, np.int64), ["web"], 0.0, texts_of)
