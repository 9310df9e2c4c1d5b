"""The rungs in their order: what is cheap and what the others rest on comes first."""

from __future__ import annotations

from pretrain.debug.by_heart import ByHeart
from pretrain.debug.causality import Causality
from pretrain.debug.data import Epochs, FirstBatch, TokenIds, TokenizerFile
from pretrain.debug.gradients import Gradients, Ranks
from pretrain.debug.held_out import HeldOutText
from pretrain.debug.kernels import Kernels
from pretrain.debug.loss import FirstLoss
from pretrain.debug.memory import Memory
from pretrain.debug.rate import LearningRate
from pretrain.debug.room import Room
from pretrain.debug.rung import Rung
from pretrain.debug.same_batch import SameBatch
from pretrain.debug.shapes import Shapes
from pretrain.debug.speed import Throughput


def all_rungs() -> list[Rung]:
    """Return the whole ladder, which launch/preflight.py climbs."""
    data = [TokenIds(), TokenizerFile(), FirstBatch(), HeldOutText(), Epochs(), SameBatch()]
    model = [Shapes(), Memory(), Kernels(), FirstLoss(), LearningRate(), Causality(), Gradients(), Ranks()]
    return [*data, *model, Throughput(), Room(), ByHeart()]  # the last takes longest: whoever ends it has seen the rest


def short_rungs() -> list[Rung]:
    """Return those of a short look before a training: a sequence or two each, and no update."""
    return [TokenIds(), TokenizerFile(), LearningRate(), Room(), FirstLoss(), Gradients(), Causality()]
