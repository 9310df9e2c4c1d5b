from __future__ import annotations

import numpy as np
import pytest

from data_pipeline.dedup.bands import Clusters
from data_pipeline.dedup.guards import TooMuchAlike, check_clusters


def texts_of(positions: np.ndarray) -> list[str]:
    return [f"text {position}" for position in positions.tolist()]


def test_a_cluster_that_is_too_large_shows_two_of_its_documents() -> None:
    found = Clusters(np.arange(10, 20), np.array([10, 10, 10, 13, 13, 13, 13, 13, 10, 13]))
    check_clusters(found, 100, 6, texts_of)
    with pytest.raises(
        TooMuchAlike, match=r"^dedup\.max_cluster: bands connect 6 of 100 documents to one cluster, more than 5;"
    ) as error:
        check_clusters(found, 100, 5, texts_of)
    assert "set dedup.max_cluster=6." in str(error.value)
    assert "'text 13'" in str(error.value)
    assert "'text 16'" in str(error.value)


def test_no_clusters_are_not_too_large() -> None:
    check_clusters(Clusters(np.zeros(0, np.int64), np.zeros(0, np.int64)), 5, 2, texts_of)
