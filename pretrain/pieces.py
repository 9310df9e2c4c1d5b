"""Pieces of a training that are written twice, for speed and plainly: which there are, and which of them run plainly.

The plain one stands beside the fast one, takes and returns the same, and is the formula or the loop as a book has it:
no fused kernel, no chunks, nothing computed again. Tests and preflight hold the fast one against it, and
`trainer.reference` has a run use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import TypeVar

from foundation.errors import ConfigError, SettingError, nearest

T = TypeVar("T")

# name -> what it is and what running the plain one costs
PIECES = {
    "adamw": "the optimizer's update, one operation after the other: a pass over the weights for each",
    "attention": "softmax(q k / sqrt(head size)) v in float32: the weights of all layers are held for the backward",
    "digest": "what ranks compare of their state, on the host in numpy: each tensor is copied there",
    "dropout": "masks, value by value on the host: a microsecond a value, for small models alone",
    "gelu": "the activation's formula in float32: a few times the memory of its input",
    "grad_norm": "the norm of each gradient by its formula, one after the other: a copy of each gradient",
    "loss": "the logits of a whole micro batch at once: rows x vocabulary numbers, and their gradient",
    "lstm": "the cell's equations, token after token: many small operations",
    "mixture": "the source of each sample by counting: a millisecond a sample",
    "norm": "layer normalisation's formula in float32: a few times the memory of its input",
    "order": "the place of each sample in its epoch, one by one: twenty microseconds a sample",
    "window": "medians of the guard by sorting on the host, which waits for the device in every step",
}
NONE: frozenset[str] = frozenset()
OF_THE_MACHINE = frozenset({"adamw", "digest"})  # a run has these by its device and its ranks


def asked_for(reference: bool | list[str]) -> frozenset[str]:
    """Return the pieces that `trainer.reference` names; true names all.

    Raises:
        SettingError: there is no such piece.
    """
    if isinstance(reference, bool):
        return frozenset(PIECES) if reference else NONE
    for name in reference:
        if name not in PIECES:
            raise SettingError(
                f"reference: {name!r} is no piece that is written twice{nearest(name, PIECES)}; give true, false, or "
                f"some of {', '.join(PIECES)}"
            )
    return frozenset(reference)


def held_of(reference: bool | list[str], held: Iterable[str]) -> frozenset[str]:
    """Return the pieces that a run is to run plainly.

    Args:
        reference: trainer.reference. held: what the run's parts have twice.
    Raises:
        ConfigError: one that is named is none of the run's: naming it would change nothing.
    """
    asked, held = asked_for(reference), frozenset(held)
    if not isinstance(reference, bool) and (missing := sorted(asked - held)):
        raise ConfigError(
            f"trainer.reference: {', '.join(missing)}: nothing in this run has such a piece; it has "
            f"{', '.join(sorted(held)) or 'none'}"
        )
    return asked & held


def choose(piece: str, plain_pieces: Set[str], fast: T, plain: T) -> T:
    """Return the plain one where `plain_pieces` names the piece. Mostly for constructors: it takes a microsecond."""
    assert piece in PIECES, piece
    return plain if piece in plain_pieces else fast
