"""Where token embeddings and final states lie in two dimensions, from watch.jsonl: a point a token, over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foundation.page import Cloud, Page
from pretrain.metrics.page.looks import looks_with
from pretrain.metrics.page.points import drawn

KEY = "projections"
MAX_LOOKS = 60
MAX_POINTS = 1024  # of a look; of more every so-manyth
MAX_PLACES = 30_000  # of all looks of a kind: four characters each
NAMES = {"token_embeddings": "token embeddings", "final_states": "final states of a fixed batch"}
KINDS = ("begins a word", "inside a word", "digits", "white space", "other signs")
ABOUT = (
    "A point a token: vectors of the model in the plane of their two largest variances (principal components). Tokens "
    "that the model uses alike come to lie near each other. Each step has a plane of its own, turned and mirrored so "
    "that the points stay as near as can be to where they were; its edges lie around them."
)


def add_projections(page: Page, path: Path) -> None:
    """Add the section, where the run has looked at projections.

    Args:
        path: of watch.jsonl; `projections` of a line is kind -> {"tokens": (n), "xy": (n) pairs}.
    """
    looks, count = looks_with(path, KEY, MAX_LOOKS)
    found: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for look in looks:
        for kind, points in look[KEY].items():
            if points.get("tokens"):  # a look may have none of a kind
                found.setdefault(kind, []).append((look["step"], points))
    if not found:
        return
    shown = [_cloud(kind, of_kind) for kind, of_kind in found.items()]
    page.section("Projections")
    page.text(ABOUT)
    most = max(len(cloud.steps) for cloud in shown)
    if most < count:
        page.text(f"Of {count:,} looks {most:,} are shown; all are in {path.name}.")
    page.clouds(shown, "step")


def _cloud(kind: str, found: Sequence[tuple[int, Mapping[str, Any]]]) -> Cloud:
    """Return the points of a kind, those of the newest look and of the looks before it that had the same tokens."""
    tokens = found[-1][1]["tokens"]
    same = [(step, points["xy"]) for step, points in found if points["tokens"] == tokens]
    every = -(-len(tokens) // MAX_POINTS)
    words = tokens[::every]
    most = max(2, MAX_PLACES // len(words))
    if len(same) > most:
        same = [same[round(place * (len(same) - 1) / (most - 1))] for place in range(most)]
    xy = [np.array([_pair(pair) for pair in points[::every]]) for _, points in same]
    for place in range(1, len(xy)):
        xy[place] = aligned(xy[place], xy[place - 1])
    kinds = [kind_of(word) for word in words]
    steps = [step for step, _ in same]
    return Cloud(NAMES.get(kind, kind), [drawn(word) for word in words], kinds, KINDS, steps, np.stack(xy))


def _pair(pair: Sequence[Any]) -> tuple[float, ...]:
    """Return a point; NaN for what a line spells."""
    return tuple(float(value) if isinstance(value, int | float) else np.nan for value in pair)


def aligned(xy: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return points turned about 0, or mirrored, to lie as near as can be to where they were.

    Args:
        xy, before: (n, 2) float64. Where one is not finite `xy` stays as it is.
    Source: orthogonal Procrustes problem, Schoenemann, Psychometrika 31, 1966.
    """
    if not (np.isfinite(xy).all() and np.isfinite(before).all()):
        return xy
    left, _, right = np.linalg.svd(xy.T @ before)
    turned: np.ndarray = xy @ left @ right
    return turned


def kind_of(token: str) -> int:
    """Return which of KINDS a token is, by its first sign that is no blank."""
    text = token.lstrip(" ")
    if not text.strip():
        return KINDS.index("white space")
    if text[0].isdigit():
        return KINDS.index("digits")
    if not text[0].isalpha():
        return KINDS.index("other signs")
    return KINDS.index("begins a word" if text != token else "inside a word")
