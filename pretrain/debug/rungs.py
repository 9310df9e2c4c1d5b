"""The rungs in their order: what is cheap and what the others rest on comes first."""

from __future__ import annotations

from pretrain.debug.causality import Causality
from pretrain.debug.data import Epochs, FirstBatch, TokenIds, TokenizerFile
from pretrain.debug.gradients import Gradients, Ranks
from pretrain.debug.loss import FirstLoss
from pretrain.debug.rate import LearningRate
from pretrain.debug.rung import Rung


def all_rungs() -> list[Rung]:
    """Return the whole ladder, which launch/preflight.py climbs."""
    return [
        TokenIds(),
        TokenizerFile(),
        FirstBatch(),
        Epochs(),
        LearningRate(),
        FirstLoss(),
        Causality(),
        Gradients(),
        Ranks(),
    ]


def short_rungs() -> list[Rung]:
    """Return those of a short look before a training: a sequence or two each, and no update."""
    return [TokenIds(), TokenizerFile(), LearningRate(), FirstLoss(), Causality(), Gradients()]
