"""What the tests of all rules share."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from data_pipeline.documents import from_texts


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., pa.RecordBatch]:
    """Make a batch of texts, as a slice of a larger one so that offsets don't begin at 0."""

    def make(*texts: str) -> pa.RecordBatch:
        return from_texts(["before …", *texts, "after …"]).slice(1, len(texts))

    return make
