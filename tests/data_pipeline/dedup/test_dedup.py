from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.dedup import NearResult, NoDedup
from data_pipeline.dedup.exact import Exact


def test_none_keeps_every_document(run_near: Callable[..., NearResult]) -> None:
    dedup = NoDedup()
    features = dedup.features(pa.array(["a", "a"], pa.large_string()))
    assert len(features) == 2
    assert dedup.exact([features]) == []
    assert run_near(dedup, ["a", "a"]).removals == []
    assert dedup.describe() == ""


def test_features_are_taken_by_position_or_mask() -> None:
    features = Exact().features(pa.array(["a", "bb", "ccc"], pa.large_string()))
    assert features.take(np.array([2, 0])).num_chars.tolist() == [3, 1]
    some = features.take(np.array([False, True, False]))
    assert (len(some), some.num_chars.tolist()) == (1, [2])
    assert np.array_equal(some.word_hashes, features.word_hashes[1:2])
