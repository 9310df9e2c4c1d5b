from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.dedup import Features, NearResult, NoDedup


class Signed(NoDedup):
    """A user's own, of one value a text, that knows nothing of stored signatures."""

    def features(self, texts: pa.LargeStringArray) -> Features:
        lengths = np.array([[len(text)] for text in texts.to_pylist()], np.uint32)
        return replace(super().features(texts), signatures=lengths)


def test_what_is_asked_where_signatures_are_stored_follows_from_the_features() -> None:
    texts = pa.array(["a", "bcd"], pa.large_string())
    assert Signed().sign(texts).tolist() == [[1], [3]]
    assert Signed().unsigned(texts).signatures[:].shape == (2, 0)
    assert len(Signed().unsigned(texts)) == 2


def test_none_keeps_every_document(run_near: Callable[..., NearResult]) -> None:
    dedup = NoDedup()
    features = dedup.features(pa.array(["a", "a"], pa.large_string()))
    assert len(features) == 2
    assert not dedup.exact([features])
    assert not run_near(dedup, ["a", "a"]).removals
    assert dedup.describe() == ""
