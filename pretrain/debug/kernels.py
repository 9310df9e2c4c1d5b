"""Kernels are what they stand for: every piece that is written twice, held against its plain side on this device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from foundation.hashes import hash_json
from foundation.text import number_of
from pretrain.debug.both_ways import COMPARISONS, Both, Compare, Draw
from pretrain.debug.rung import Finding, Problem, Rung, Subject, stop, warning

SHAPES = 8  # drawn for each piece; the first has the run's own seq_len
MAX_LENGTH = 1024  # of it: plain attention holds all weights

# How far two ways of computing may lie apart, of the largest value that the plain one gives, by the format in which a
# piece rounds. A sum of n terms in two orders differs by some sqrt(n) roundings, and sums here have up to 2,000 terms:
# float32 has 2^-24 a rounding, so 45 of them are 3e-6, and GPUs make a float32 product of three shorter ones. bfloat16
# has 2^-9 and TF32 (as float16) 2^-12 a rounding, while sums are taken in float32: a handful of roundings of what goes
# in and comes out, and of what a recurrence hands on. Measured on CPUs: 2e-6 at most in float32, 1.4e-2 in bfloat16.
# Whole numbers and masks are equal.
TOLERANCES = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
# Inputs are of order 1. Where all that comes out is much smaller, as a gradient that cancels, it is held against this.
LEAST_SCALE = 0.1


@dataclass(frozen=True, slots=True)
class Difference:
    """How far apart a piece's two ways lie at worst.

    Attributes:
        piece: its name. what: output or gradient. shape: of the input, in words.
        size: the largest difference, in parts of the largest value; how many differ, where they must be equal.
        allowed: of it.
    """

    piece: str
    what: str
    shape: str
    size: float
    allowed: float

    @property
    def is_wrong(self) -> bool:
        """Whether it is more than rounding; NaN is."""
        return not self.size <= self.allowed


class Kernels(Rung):
    """Fused and vectorised pieces against their plain loops, forward and backward, on random shapes.

    Args:
        comparisons: piece -> both of its ways on a draw.
    """

    name = "kernels"

    def __init__(self, comparisons: Mapping[str, Compare] = COMPARISONS) -> None:
        self._comparisons = comparisons

    def check(self, subject: Subject) -> Finding:
        run = subject.run
        dtype = product_dtype(subject)
        worst: list[Difference] = []
        problems: list[Problem] = []
        for piece in sorted(run.pieces & self._comparisons.keys()):
            seed = int(hash_json([run.plan.seed, run.mesh.rank, piece])[:8], 16)
            draws = [
                Draw(
                    torch.Generator().manual_seed(seed + number),
                    run.mesh.device,
                    dtype,
                    None if number else min(run.plan.seq_len, MAX_LENGTH),
                )
                for number in range(SHAPES)
            ]
            try:
                found = max((worst_of(piece, self._comparisons[piece](draw)) for draw in draws), key=badness)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                problems.append(judged(piece, f"{piece} fails: {str(error).strip().splitlines()[0]}", run.plain_pieces))
                continue
            worst.append(found)
            if found.is_wrong:
                problems.append(judged(piece, told(found), run.plain_pieces))
        return self.found(figure(worst), problems)


def product_dtype(subject: Subject) -> torch.dtype:
    """Return in which format the run's forward pass multiplies."""
    kind = subject.run.mesh.device.type
    with subject.run.numerics.autocast(subject.run.mesh.device):
        return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32


def worst_of(piece: str, found: Both) -> Difference:
    """Return the worst difference of one draw."""
    each = (difference(piece, name, found, found.fast[name], plain) for name, plain in found.plain.items())
    return max(each, key=badness)


def difference(piece: str, what: str, found: Both, fast: Tensor, plain: Tensor) -> Difference:
    """Return how far apart one output lies."""
    if fast.shape != plain.shape or fast.dtype != plain.dtype:
        raise RuntimeError(f"{what} is {tuple(fast.shape)} {fast.dtype} and not {tuple(plain.shape)} {plain.dtype}")
    if not plain.is_floating_point():
        return Difference(piece, what, found.shape, float((fast != plain).sum()), 0.0)
    scale = plain.abs().max().clamp(min=LEAST_SCALE)
    size = float((fast.float() - plain.float()).abs().max() / scale.float())
    return Difference(piece, what, found.shape, size, TOLERANCES[found.dtype])


def badness(found: Difference) -> float:
    """Return what the worst of several is found by: infinite where it is wrong without a size."""
    if found.size != found.size:
        return float("inf")
    return found.size / found.allowed if found.allowed else found.size * 1e9


def told(found: Difference) -> str:
    """Return a wrong difference in words."""
    if not found.allowed:
        return f"{found.piece}: {found.size:.0f} of {found.what} are others than the plain loop's, at {found.shape}"
    return (
        f"{found.piece}: {found.what} lies {found.size:.2g} of its largest value from the plain formula's, where "
        f"rounding is {found.allowed:.0e} at most, at {found.shape}"
    )


def judged(piece: str, what: str, plain_pieces: frozenset[str]) -> Problem:
    """Return what is said of a piece that is wrong: a run that has the plain one may begin."""
    if piece in plain_pieces:
        return warning(f"{what}; trainer.reference has the plain one run, which is right")
    return stop(
        f"{what}; a faulty device, driver or build of torch does this: trainer.reference={piece} runs the plain one"
    )


def figure(worst: list[Difference]) -> str:
    """Return what was measured."""
    if not worst:
        return "none was compared"
    rounded = [found for found in worst if found.allowed]
    told = f"{number_of(len(worst), 'piece')} on {SHAPES} shapes each against their plain loops"
    if not rounded:
        return f"{told}: equal"
    most = max(rounded, key=badness)
    return f"{told}: at most {most.size:.1e} apart ({most.piece}, {most.allowed:.0e} allowed)"
