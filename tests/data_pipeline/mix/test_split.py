from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data_pipeline.mix.split import HeldOut, SplitError
from foundation.errors import SettingError


def keys(num_files: int, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    files, rows = np.divmod(np.arange(num_files * num_rows), num_rows)
    return files.astype(np.int32), rows.astype(np.int64)


@pytest.mark.parametrize("frac", [0.01, 0.1, 0.5])
def test_holds_out_its_share(frac: float) -> None:
    files, rows = keys(20, 5000)
    held_out = HeldOut(frac).is_held_out(files, rows)
    sigma = np.sqrt(frac * (1 - frac) / len(files))
    assert held_out.mean() == pytest.approx(frac, abs=4 * sigma)
    by_file = [held_out[files == file].mean() for file in range(20)]
    assert np.std(by_file) == pytest.approx(np.sqrt(frac * (1 - frac) / 5000), rel=0.6)


def test_a_document_s_lot_is_its_own() -> None:
    files, rows = keys(3, 2000)
    whole = HeldOut(0.05, seed=7).is_held_out(files, rows)
    some = np.random.default_rng(0).permutation(len(files))[:3000]
    assert np.array_equal(HeldOut(0.05, seed=7).is_held_out(files[some], rows[some]), whole[some])


def test_a_larger_share_holds_out_the_same_and_more() -> None:
    files, rows = keys(1, 5000)
    small, large = (HeldOut(frac).is_held_out(files, rows) for frac in (0.02, 0.1))
    assert (large >= small).all()
    assert large.sum() > small.sum()


def test_another_seed_holds_out_others() -> None:
    files, rows = keys(1, 5000)
    one, other = (HeldOut(0.5, seed).is_held_out(files, rows) for seed in (0, 1))
    assert (one != other).mean() == pytest.approx(0.5, abs=0.05)


def test_the_split_stays_what_it_was() -> None:
    """Shards of earlier runs rest on it."""
    files, rows = keys(2, 500)
    assert np.flatnonzero(HeldOut(0.01).is_held_out(files, rows)).tolist() == [102, 274, 593, 665, 828, 847, 945, 949]


def test_one_at_least_on_each_side_and_still_the_same_and_more() -> None:
    files, rows = keys(1, 10)
    shares = np.linspace(0, 1, 1001)[1:-1]
    chosen = np.array([HeldOut(frac).is_held_out(files, rows) for frac in shares])
    counts = chosen.sum(axis=1)
    assert counts[0] == 1 and counts[-1] == 9 and set(counts) == set(range(1, 10))
    assert (chosen[1:] >= chosen[:-1]).all()


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_than_two_documents_cannot_be_split(number: int) -> None:
    with pytest.raises(SplitError, match=rf"mix: {number} documents? to split, .*give more$"):
        HeldOut().is_held_out(*keys(number, 1))


@pytest.mark.parametrize("settings", [{"held_out_frac": 0.0}, {"held_out_frac": 1.0}, {"seed": -1}, {"seed": 2**64}])
def test_a_setting_that_cannot_work_is_refused_by_its_key(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"^{next(iter(settings))}: "):
        HeldOut(**settings)
