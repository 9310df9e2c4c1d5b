"""Loss, perplexity and bits per byte: sums over every target, in float64, over all micro batches and ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundation.progress import Meter
from pretrain.evaluate.windows import Windows
from pretrain.mesh import Mesh
from pretrain.metrics.fields import perplexity
from pretrain.seats import nothing
from pretrain.types import IGNORE

# float32 logits that exist at once; their softmax takes as much again. Enough rows to keep the device busy.
CPU_LOGITS_BYTES = 64 << 20
GPU_LOGITS_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class Score:
    """Sums over targets; scores of disjoint sets add up.

    Attributes:
        nats: of all targets, end-of-text among them.
        targets: their number.
        text_nats: of the targets that are text, not end-of-text.
        text_bytes: UTF-8 bytes of that text.
    """

    nats: float = 0.0
    targets: float = 0.0
    text_nats: float = 0.0
    text_bytes: float = 0.0

    def __add__(self, other: Score) -> Score:
        return Score(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @property
    def loss(self) -> float:
        """Mean nats a target; NaN without one."""
        return self.nats / self.targets if self.targets else math.nan

    @property
    def perplexity(self) -> float:
        """exp(loss), infinite where that overflows."""
        return perplexity(self.loss)

    @property
    def bits_per_byte(self) -> float:
        """Nats of the text / ln 2 / its UTF-8 bytes, end-of-text excluded from both: comparable over tokenizers."""
        return self.text_nats / math.log(2) / self.text_bytes if self.text_bytes else math.nan

    def fields(self, prefix: str, suffix: str = "") -> dict[str, float]:
        """Return `<prefix>_loss<suffix>`, `<prefix>_perplexity<suffix>` and `<prefix>_bits_per_byte<suffix>`."""
        return {
            f"{prefix}_loss{suffix}": self.loss,
            f"{prefix}_perplexity{suffix}": self.perplexity,
            f"{prefix}_bits_per_byte{suffix}": self.bits_per_byte,
        }


def score(
    model: nn.Module,
    windows: Windows,
    mesh: Mesh,
    batch_rows: int,
    eot_id: int,
    token_bytes: npt.NDArray[np.int32],
    between: Callable[[], None] = nothing,
    prefix_bytes: int = 0,
) -> Score:
    """Score a model on all rows of `windows`; every rank returns the sums over all ranks.

    Batch j is rank j % dp_size's; in the last round a rank may get masked rows only, so that all of them make the same
    number of forward passes (sharded models exchange weights in each).

    Args:
        model: gives (batch, seq_len, >= vocab_size) logits; in the mode and precision in which it is to be scored.
        windows: the rows.
        mesh: the ranks that share the rows, and the device.
        batch_rows: rows of a forward pass.
        eot_id: the token that is no text.
        token_bytes: (vocab_size,) int32 UTF-8 bytes of each token.
        between: called before each forward pass.
        prefix_bytes: of them, what the first token of a document holds beside its text.
    """
    sums, meter = np.zeros(4), Meter("evaluation, rows", windows.num_rows, "")
    for first in range(mesh.dp_rank * batch_rows, padded_rows(windows, mesh, batch_rows), mesh.dp_size * batch_rows):
        between()
        inputs_BT, targets_BT = windows.read(first, batch_rows)
        nats_BT = token_nats(model, _on(mesh, inputs_BT), _on(mesh, targets_BT)).cpu().double().numpy()
        is_text = (targets_BT != IGNORE) & (targets_BT != eot_id)
        num_first = np.count_nonzero(is_text & (inputs_BT == eot_id))
        sums += (
            nats_BT.sum(),
            np.count_nonzero(targets_BT != IGNORE),
            nats_BT[is_text].sum(),
            token_bytes[targets_BT[is_text]].sum(dtype=np.int64) - num_first * prefix_bytes,
        )
        if mesh.is_main:
            meter.add(min(batch_rows * mesh.dp_size, windows.num_rows - meter.done))
    return Score(*mesh.sum(torch.from_numpy(sums)).tolist())


def token_nats(model: nn.Module, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """Return (B, T) float32, the nats of each target; 0 where it is IGNORE.

    Args:
        model: gives (B, T, V) logits.
        inputs_BT: (B, T) int64 ids.
        targets_BT: (B, T) int64, the ids one to the right.
    """
    with torch.no_grad():
        logits_BTV = model(inputs_BT).float()
        nats = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORE, reduction="none")
    return nats.view_as(targets_BT)


def rows_that_fit(most: int, seq_len: int, vocab_size: int, device: torch.device) -> int:
    """Return how many rows a forward pass may take, 1 to `most`, for its logits to stay within bounds."""
    logits_bytes = CPU_LOGITS_BYTES if device.type == "cpu" else GPU_LOGITS_BYTES
    return max(1, min(most, logits_bytes // (4 * seq_len * vocab_size)))


def padded_rows(windows: Windows, mesh: Mesh, batch_rows: int) -> int:
    """Return `num_rows` rounded up to whole rounds of one batch of each rank."""
    share = mesh.dp_size * batch_rows
    return -(-windows.num_rows // share) * share


def _on(mesh: Mesh, values: npt.NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(values).to(mesh.device)
