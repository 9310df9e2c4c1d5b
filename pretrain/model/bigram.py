"""A bigram model: the next token hangs on the current one alone. The least that any other model must beat."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundation.errors import require
from pretrain.model.init import STD, normal
from pretrain.model.loss import TokenLoss
from pretrain.pieces import NONE
from pretrain.seats import Model

EMBEDDING_STD = (
    1.0  # torch's for embeddings; with a head of 0.02 the first logits are close to 0, yet not their gradient
)


class Bigram(Model):
    """A table of logits, current token by next token, as a product of rank d_model: embedding_VD @ head_VD.T.

    The whole table is V^2 numbers: 268 M at a vocabulary of 16,384, of which AdamW would keep four copies and update
    every one each step, most of them never seen in a text. As a product it has 2 V D, shares the transformer's loss,
    and from d_model = vocab_size on it can be any table. Builds on the meta device too; on others its weights are those
    of `init_weights(seed=0)`.

    Args:
        d_model: rank of the table.
        context_len: tokens of the longest sequence it is trained on; it sees one.
        vocab_size: rows of embedding and head. Rows above the tokenizer's are never a target.
        plain_pieces: which of `pieces` run plainly.
    Raises:
        SettingError: a size is not positive.
    """

    flops_formula = "6 V D"
    seen_tokens = 1
    pieces = frozenset({"loss"})

    def __init__(self, d_model: int, context_len: int, vocab_size: int, plain_pieces: frozenset[str] = NONE) -> None:
        super().__init__()
        for name, size in {"d_model": d_model, "context_len": context_len, "vocab_size": vocab_size}.items():
            require(size >= 1, name, size, "1 or more")
        self.context_len, self.vocab_size = context_len, vocab_size
        # _weight: drawing weights that init_weights fills anew would import the compiler
        self.token_embedding = nn.Embedding(vocab_size, d_model, _weight=torch.empty(vocab_size, d_model))
        self.head = nn.Parameter(torch.empty(vocab_size, d_model))
        self.token_loss = TokenLoss(plain_pieces=plain_pieces)
        if not self.head.is_meta:
            self.init_weights(seed=0)

    def init_weights(self, seed: int) -> None:
        """Fill all parameters with the initial weights of this seed, the same on every device and rank."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                std = STD if name == "head" else EMBEDDING_STD
                parameter.copy_(normal(name, parameter.shape, std, seed))

    def forward(self, inputs_BT: Tensor, cache: None = None) -> Tensor:
        """Return logits_BTV, (B, T, vocab_size) float32.

        Args:
            inputs_BT: (B, T) int64 ids.
            cache: of `new_cache`: there is nothing to remember.
        """
        return F.linear(self.token_embedding(inputs_BT), self.head).float()

    def loss_sum(self, inputs_BT: Tensor, targets_BT: Tensor, keys_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return () float32, the sum of nats over the targets that are not IGNORE, and (B,), that of each sequence.

        The training path. The sums of the sequences carry no gradient.

        Args:
            inputs_BT: (B, T) int64 ids.
            targets_BT: (B, T) int64, the ids one to the right, IGNORE where masked.
            keys_B: (B,) int64; nothing is drawn here.
        """
        x_ND = self.token_embedding(inputs_BT).flatten(0, 1)
        loss, nats_N = self.token_loss(x_ND, self.head, targets_BT.flatten())
        return loss, nats_N.view(targets_BT.shape).sum(dim=1)

    def new_cache(self) -> None:
        """Return None: what was read before the current token plays no part."""

    def flops_per_token(self, seq_len: int) -> float:
        """Return FLOPs of forward and backward for one token, at any length: 6 V D of the head; a look-up has none."""
        return 6.0 * self.head.numel()
