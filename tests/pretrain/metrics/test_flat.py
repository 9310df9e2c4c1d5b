"""Lines as loggers show them."""

from __future__ import annotations

import math

from pretrain.metrics.flat import figures_of, histograms_of, numbers_of, rows_of


def test_numbers_are_read_by_source_and_texts_left_out() -> None:
    line = {"loss": "NaN", "skipped": True, "batch_hash": "00ff", "epochs": {"web": 2.0}, "samples": [{"prompt": "a"}]}
    found = numbers_of(line)
    assert math.isnan(found.pop("loss"))
    assert found == {"skipped": 1, "epochs/web": 2.0}


def test_figures_stand_by_figure_and_layer() -> None:
    line = {"step": 3, "layers": {"blocks.0": {"grad_norm": 1.0}, "head": {"grad_norm": "Infinity"}}}
    assert figures_of(line) == {"grad_norm/blocks.0": 1.0, "grad_norm/head": math.inf}
    assert figures_of({"step": 3, "projections": {}}) == {} and histograms_of({"step": 3}) == {}


def test_a_data_point_is_a_row() -> None:
    line = {"inputs": ["a", "b"], "targets": ["b", None], "predictions": ["c", "d"], "target_probs": [0.1, None]}
    line |= {"prediction_probs": [0.5, 0.6], "kinds": ["target", "masked"], "step": 1}
    assert rows_of(line) == [["a", "b", "c", 0.1, 0.5, "target"], ["b", None, "d", None, 0.6, "masked"]]
