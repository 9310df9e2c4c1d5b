from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.page import Page
from pretrain.metrics.lines import MetricsFile
from pretrain.metrics.page.history import read_history
from pretrain.metrics.page.learning import add_curves


def test_columns_hold_what_the_lines_hold(tmp_path: Path, make_line: Callable[..., dict[str, Any]]) -> None:
    file = MetricsFile(tmp_path)
    for step in range(1, 6):
        late = {"times": {"data_s": step / 10}} if step > 2 else {}
        file.append(make_line(step, skipped=step == 4, loss=np.nan if step == 4 else float(step), **late))
    file.append(make_line(6, val_loss=2.5, samples=[{"prompt": "a", "text": "b"}], epochs={"web": 0.75}))
    file.close()
    found = read_history(tmp_path / "metrics.jsonl")
    np.testing.assert_array_equal(found.columns["loss"], [1, 2, 3, np.nan, 5, 5.0 - 6 / 1000])
    np.testing.assert_allclose(found.columns["times.data_s"], [np.nan, np.nan, 0.3, 0.4, 0.5, np.nan])
    assert found.skipped.tolist() == [4] and found.epochs == {"web": 0.75}
    assert found.evaluated_names() == ["val_loss"]
    assert [each.tolist() for each in found.evaluations("val_loss")] == [[6], [2.5]]
    assert found.last_mean("loss", 3) == pytest.approx((5 + 5 - 6 / 1000) / 2)
    np.testing.assert_allclose(found.clock.values["hours of training"], np.arange(1, 7) * 0.1 / 3600)


def test_fields_that_a_line_may_have_are_drawn(tmp_path: Path, make_line: Callable[..., dict[str, Any]]) -> None:
    file = MetricsFile(tmp_path)
    for step in range(1, 4):
        file.append(make_line(step, source_losses={"web": 2.0, "books": 3.0}, host_memory_bytes=2**30))
    file.close()
    page = Page("title")
    add_curves(page, read_history(tmp_path / "metrics.jsonl"), [])
    source = page.html()
    assert "Training loss of each source" in source and "books" in source and "Memory" in source
