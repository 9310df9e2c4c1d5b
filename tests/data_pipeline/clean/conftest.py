"""What the tests of all rules share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings

from data_pipeline.documents import SCHEMA

# the first example compiles kernels, on a busy machine any may be slow
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., pa.RecordBatch]:
    """Make a batch of texts, as a slice of a larger one so that offsets don't begin at 0."""

    def make(*texts: str) -> pa.RecordBatch:
        padded = ["before …", *texts, "after …"]
        count = len(padded)
        columns = [
            pa.array(np.zeros(count, np.int32)),
            pa.array(np.arange(count)),
            pa.array([f"id{row}" for row in range(count)], pa.large_string()),
            pa.array(padded, pa.large_string()),
            pa.array(["{}"] * count, pa.large_string()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA).slice(1, len(texts))

    return make
