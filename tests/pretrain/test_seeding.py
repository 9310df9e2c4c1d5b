"""Whatever a user's code draws, with Python, NumPy or torch, in the loop or in a thread, the run's seed has decided."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORKER = Path(__file__).with_name("seeding_worker.py")


@pytest.mark.slow
def test_every_generator_of_every_rank_is_seeded_and_the_loader_draws_from_none(
    overrides: list[str], tmp_path: Path, run_ranks: Callable[..., str]
) -> None:
    found: dict[str, list[dict[str, Any]]] = {}
    for name, seed in (("once", 7), ("again", 7), ("other", 8)):
        folder = tmp_path / name
        folder.mkdir()
        run_ranks(WORKER, folder, *overrides, f"seed={seed}", "data.prefetch_steps=2", ranks=2)
        found[name] = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
    assert found["once"] == found["again"]
    assert all(rank["untouched"] for ranks in found.values() for rank in ranks)
    ranks = [*found["once"], *found["other"]]
    drawn = [
        rank[place][name] for rank in ranks for place in ("main", "thread") for name in ("python", "numpy", "torch")
    ]
    assert len(drawn) == len(set(drawn)) == 24
