"""Held-out documents that stand in the training set are found, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pretrain.debug.held_out import (
    WINDOW_TOKENS,
    HeldOutText,
    reference_window_hashes,
    window_hashes,
    window_starts,
    windows_of,
)
from pretrain.debug.rung import Finding, Verdict
from pretrain.run import Run

WORDS = [
    f"{first}{last}" for first in ("riv", "harb", "lamp", "rain", "boat") for last in ("er", "our", "ing", "ed", "s")
]


def documents(seed: int, count: int) -> list[str]:
    """Texts of their own, longer than a window."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 120)) for _ in range(count)]


@pytest.mark.parametrize("length", [WINDOW_TOKENS, WINDOW_TOKENS + 1, 300])
def test_hashes_of_all_windows_are_those_of_the_plain_loop(length: int) -> None:
    tokens = np.random.default_rng(length).integers(0, 60_000, length)
    assert window_hashes(tokens).tolist() == reference_window_hashes(tokens)


def test_small_data_hold_nothing_out_that_they_train_on(
    small: Callable[..., Run], look: Callable[..., Finding]
) -> None:
    found = look(HeldOutText(), small())
    assert found.verdict is Verdict.OK
    assert found.figure.startswith("0 of 18 documents stand among 52.")


@pytest.mark.parametrize(("copied", "verdict"), [(0, Verdict.OK), (1, Verdict.WARNING), (30, Verdict.STOP)])
def test_copies_are_counted(
    small: Callable[..., Run],
    look: Callable[..., Finding],
    write_data: Callable[..., None],
    tmp_path: Path,
    copied: int,
    verdict: Verdict,
) -> None:
    val = documents(1, 150)
    train = [f"of another beginning: {text}; and end" for text in val[:copied]] + documents(2, 60)
    write_data(tmp_path / "data", {"a": train[::2], "b": train[1::2]}, {"a": val}, 300)
    found = look(HeldOutText(), small(f"data.path={tmp_path / 'data'}"))
    assert found.figure.startswith(f"{copied} of 150 documents stand among ")
    assert found.verdict is verdict


def test_a_part_that_is_shared_is_no_copy(
    small: Callable[..., Run], look: Callable[..., Finding], write_data: Callable[..., None], tmp_path: Path
) -> None:
    licence = documents(3, 1)[0]
    val = [f"{licence} {text}" for text in documents(1, 20)]
    write_data(tmp_path / "data", {"a": [f"{licence} {text}" for text in documents(2, 60)]}, {"a": val}, 300)
    found = look(HeldOutText(), small(f"data.path={tmp_path / 'data'}"))
    assert (found.verdict, found.figure.split()[0]) == (Verdict.OK, "0")


def test_windows_lie_inside_their_documents(small: Callable[..., Run]) -> None:
    dataset = small().loader.dataset
    sought = windows_of(dataset.val.values())
    assert not (sought.windows_WL == dataset.manifest.eot_id).any()
    assert sought.num_documents == 18  # two of the 20 are shorter than a window
    assert window_starts(10, 10 + WINDOW_TOKENS - 1) == []
    assert window_starts(10, 10 + WINDOW_TOKENS) == [10]
    assert window_starts(10, 100) == [18, 39, 60]
