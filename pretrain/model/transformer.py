"""GPT-2: a decoder-only transformer with learned positions, pre-norm blocks and a head tied to the embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundation.errors import require
from pretrain.model.attention import CausalSelfAttention, LayerCache
from pretrain.model.dropout import drop_of, keys_of_sites
from pretrain.model.errors import ModelError
from pretrain.model.feed_forward import FeedForward
from pretrain.model.init import init_parameters
from pretrain.model.loss import TokenLoss
from pretrain.model.norm import LayerNorm
from pretrain.pieces import NONE
from pretrain.seats import Model


class Block(nn.Module):
    """One layer: attention across positions, then a feed-forward at each, both added to the residual stream."""

    SITES = 3  # that drop: attention weights, attention output, feed-forward output

    def __init__(self, d_model: int, num_heads: int, dropout: float, plain_pieces: frozenset[str] = NONE) -> None:
        super().__init__()
        self.attention_norm = LayerNorm(d_model, plain_pieces)
        self.attention = CausalSelfAttention(d_model, num_heads, dropout, plain_pieces)
        self.feed_forward_norm = LayerNorm(d_model, plain_pieces)
        self.feed_forward = FeedForward(d_model, dropout, plain_pieces)

    def forward(self, x_BTD: Tensor, cache: LayerCache | None = None, keys_SB2: Tensor | None = None) -> Tensor:
        """Return (B, T, D).

        Args:
            x_BTD: (B, T, D).
            cache: of its attention.
            keys_SB2: (SITES, B, 2) int32, of `site_keys`; None drops nothing. A number of the site in their place would
                have every layer compiled anew.
        """
        attention_keys, fed_keys = (None, None) if keys_SB2 is None else (keys_SB2[:2], keys_SB2[2])
        attended_BTD: Tensor = x_BTD + self.attention(self.attention_norm(x_BTD), cache, attention_keys)
        fed_BTD: Tensor = self.feed_forward(self.feed_forward_norm(attended_BTD), fed_keys)
        return attended_BTD + fed_BTD


class Transformer(Model):
    """GPT-2. Builds on the meta device too; on others its weights are those of `init_weights(seed=0)`.

    Args:
        num_layers: blocks.
        num_heads: attention heads of a block; divides d_model.
        d_model: width of the residual stream.
        context_len: positions it can see, in tokens.
        vocab_size: rows of embedding and head. Rows above the tokenizer's are never a target: training lowers their
            logits, sampling masks them.
        dropout: probability of zeroing an activation; 0 for pretraining.
        plain_pieces: which of `pieces` run plainly.
    Raises:
        SettingError: a size is not positive, or num_heads does not divide d_model.
    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
    """

    flops_formula = "6 N + 12 L D T"
    pieces = frozenset({"attention", "dropout", "gelu", "loss", "norm"})

    def __init__(
        self,
        num_layers: int,
        num_heads: int,
        d_model: int,
        context_len: int,
        vocab_size: int,
        dropout: float = 0.0,
        plain_pieces: frozenset[str] = NONE,
    ) -> None:
        super().__init__()
        _check_sizes(num_layers, num_heads, d_model, context_len, vocab_size, dropout)
        self.num_layers, self.d_model, self.context_len = num_layers, d_model, context_len
        self.vocab_size, self.dropout, self._drop = vocab_size, dropout, drop_of(plain_pieces)
        if not dropout:
            self.pieces = self.pieces - {"dropout"}
        # _weight: drawing weights that init_weights fills anew would import the compiler, 0.6 s a start
        self.token_embedding = nn.Embedding(vocab_size, d_model, _weight=torch.empty(vocab_size, d_model))
        self.position_embedding = nn.Embedding(context_len, d_model, _weight=torch.empty(context_len, d_model))
        self.blocks = nn.ModuleList(Block(d_model, num_heads, dropout, plain_pieces) for _ in range(num_layers))
        self.final_norm = LayerNorm(d_model, plain_pieces)
        self.token_loss = TokenLoss(plain_pieces=plain_pieces)
        if not self.token_embedding.weight.is_meta:
            self.init_weights(seed=0)

    def init_weights(self, seed: int) -> None:
        """Fill all parameters with the initial weights of this seed, the same on every device and rank."""
        init_parameters(self, seed, self.num_layers)

    def forward(self, inputs_BT: Tensor, cache: list[LayerCache] | None = None) -> Tensor:
        """Return logits_BTV, (B, T, vocab_size) float32.

        Args:
            inputs_BT: (B, T) int64 ids; with a cache that holds positions, T is 1.
            cache: of `new_cache`; the inputs follow what it holds, and join it.
        Raises:
            ModelError: more positions than context_len.
        """
        return F.linear(self._hidden(inputs_BT, cache), self.token_embedding.weight).float()

    def loss_sum(self, inputs_BT: Tensor, targets_BT: Tensor, keys_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return () float32, the sum of nats over the targets that are not IGNORE, and (B,), that of each sequence.

        The training path. The sums of the sequences carry no gradient.

        Args:
            inputs_BT: (B, T) int64 ids.
            targets_BT: (B, T) int64, the ids one to the right, IGNORE where masked.
            keys_B: (B,) int64, what dropout masks of each sequence are a function of; None draws them from torch's
                global generator.
        Raises:
            ModelError: T is larger than context_len.
        """
        x_ND = self._hidden(inputs_BT, keys_B=keys_B).flatten(0, 1)
        loss, nats_N = self.token_loss(x_ND, self.token_embedding.weight, targets_BT.flatten())
        return loss, nats_N.view(targets_BT.shape).sum(dim=1)

    def new_cache(self) -> list[LayerCache]:
        """Return an empty cache, for `forward` to generate token by token."""
        return [LayerCache(self.context_len) for _ in self.blocks]

    def num_params(self) -> int:
        """Return the number of parameters; the tied embedding counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def num_matmul_params(self) -> int:
        """Return the number of parameters that multiply every token: matrices, tied head included, positions not."""
        matrices = sum(parameter.numel() for parameter in self.parameters() if parameter.dim() >= 2)
        return matrices - self.position_embedding.weight.numel()

    def flops_per_token(self, seq_len: int) -> float:
        """Return FLOPs of forward and backward for one token, attention counted in full: 6 N_matmul + 12 L D T.

        Source: PaLM, arXiv:2204.02311, appendix B; what torchtitan, nanochat and Megatron-LM divide by ("F1").
        """
        return 6.0 * self.num_matmul_params() + 12.0 * self.num_layers * self.d_model * seq_len

    def causal_flops_per_token(self, seq_len: int) -> float:
        """Return the same with only the causal half of attention, and all parameters: 6 N + 6 L D T.

        Source: llm.c, train_gpt2.cu, gpt2_estimate_mfu; also Megatron-Bridge's tables ("F2").
        """
        return 6.0 * self.num_params() + 6.0 * self.num_layers * self.d_model * seq_len

    def _hidden(self, inputs_BT: Tensor, cache: list[LayerCache] | None = None, keys_B: Tensor | None = None) -> Tensor:
        start = cache[0].length if cache else 0
        stop = start + inputs_BT.size(1)
        if stop > self.context_len:
            raise ModelError(
                f"model.context_len: {stop} positions are more than its {self.context_len}; "
                "set trainer.seq_len to at most model.context_len"
            )
        x_BTD = self.token_embedding(inputs_BT) + self.position_embedding.weight[start:stop]
        # those of the blocks and last the embedding's
        keys_SB2 = keys_of_sites(self.training, self.dropout, inputs_BT, keys_B, len(self.blocks) * Block.SITES + 1)
        if keys_SB2 is not None:
            x_BTD = self._drop(x_BTD, self.dropout, keys_SB2[-1])
        for i, block in enumerate(self.blocks):
            keys = None if keys_SB2 is None else keys_SB2[i * Block.SITES : (i + 1) * Block.SITES]
            x_BTD = block(x_BTD, cache[i] if cache else None, keys)
        normed_BTD: Tensor = self.final_norm(x_BTD)
        return normed_BTD


def _check_sizes(
    num_layers: int, num_heads: int, d_model: int, context_len: int, vocab_size: int, dropout: float
) -> None:
    sizes = {
        "num_layers": num_layers,
        "num_heads": num_heads,
        "d_model": d_model,
        "context_len": context_len,
        "vocab_size": vocab_size,
    }
    for name, size in sizes.items():
        require(size >= 1, name, size, "1 or more")
    allowed = f"a divisor of d_model, which is {d_model}, e.g. {_nearest_divisor(d_model, num_heads)}"
    require(d_model % num_heads == 0, "num_heads", num_heads, allowed)
    require(0.0 <= dropout < 1.0, "dropout", dropout, "a number from 0 to below 1; 0 is usual in pretraining")


def _nearest_divisor(number: int, near: int) -> int:
    divisors = (d for d in range(1, number + 1) if number % d == 0)
    return min(divisors, key=lambda divisor: abs(divisor - near))
