from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from data_pipeline.clean.length import Length
from data_pipeline.clean.rules import verdicts
from data_pipeline.documents import Removal
from foundation.errors import SettingError


def test_empty_and_short_documents_go_with_what_was_measured(batch_of: Callable[..., pa.RecordBatch]) -> None:
    batch = batch_of("", " \n\u3000", "a b", "abcdef", "é b c")
    assert verdicts(Length(min_chars=5, min_words=2), batch) == [
        Removal(0, "empty", 0.0, 1.0),
        Removal(1, "empty", 0.0, 1.0),
        Removal(2, "too_few_chars", 3.0, 5.0),
        Removal(3, "too_few_words", 1.0, 2.0),
    ]


def test_what_reaches_the_limits_stays(batch_of: Callable[..., pa.RecordBatch]) -> None:
    batch = batch_of("a b c")
    assert Length(5, 3).apply(batch).batch is batch and verdicts(Length(5, 3), batch) == []
    assert verdicts(Length(0, 0), batch_of(""))[0].reason == "empty"


@pytest.mark.parametrize("key", ["min_chars", "min_words"])
def test_a_setting_that_cannot_work_is_refused_by_its_key(key: str) -> None:
    with pytest.raises(SettingError, match=rf"^{key}: "):
        Length(**{key: -1})
