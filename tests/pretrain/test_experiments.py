"""The experiments that learn a few sequences by heart: runs of their own, to a loss near 0, in batches of any split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pretrain.metrics.lines import read_metrics

TRAIN = Path(__file__).parents[2] / "launch/train.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "model", "ranks"),
    [("overfit_1", "gpt_tiny", 1), ("overfit_2", "gpt_tiny", 2), ("overfit_5", "lstm_tiny", 1)],
)
def test_a_run_learns_its_first_sequences_by_heart(
    experiment: str, model: str, ranks: int, tmp_path: Path, data_dir: Path, one_thread: dict[str, str], typed: Any
) -> None:
    line = [f"model={model}", f"experiment={experiment}", f"data.path={data_dir}", f"runs_dir={tmp_path}"]
    line += ["model.d_model=64", "trainer.seq_len=32", "optim.lr=4e-3", "trainer.max_steps=150", "logger=console"]
    code, text = typed.start(TRAIN, [*line, "run_name=run"], tmp_path, one_thread, ranks=ranks).wait()
    assert code == 0, text
    lines = list(read_metrics(tmp_path / "run/metrics.jsonl"))
    assert lines[0]["loss"] > 5 and lines[-1]["loss"] < 0.1
    assert lines[-1]["epochs"] == {"pydocs": 150.0} and not any(line["skipped"] for line in lines)
