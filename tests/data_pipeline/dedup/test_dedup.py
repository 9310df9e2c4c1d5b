from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from data_pipeline.dedup.dedup import NearResult, NoDedup


def test_none_keeps_every_document(run_near: Callable[..., NearResult]) -> None:
    dedup = NoDedup()
    features = dedup.features(pa.array(["a", "a"], pa.large_string()))
    assert len(features) == 2
    assert not dedup.exact([features])
    assert not run_near(dedup, ["a", "a"]).removals
    assert dedup.describe() == ""
