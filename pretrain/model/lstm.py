"""An LSTM language model: what stood where the transformer stands, and a stand-in that shares all of its harness."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundation.errors import require
from pretrain.model.dropout import drop_of, keys_of_sites
from pretrain.model.init import STD, normal
from pretrain.model.loss import TokenLoss
from pretrain.model.norm import LayerNorm
from pretrain.pieces import NONE, choose
from pretrain.seats import Model

FORGET_BIAS = 1.0  # a cell begins by keeping: Jozefowicz et al. 2015, section 2.2

State = tuple[Tensor, Tensor]  # hidden and cell of one layer, (1, B, D) each


class Layer(nn.LSTM):
    """One layer of torch's fused kernels; `LSTM.init_weights` fills it."""

    def reset_parameters(self) -> None:
        """Draw nothing: initial weights are a function of the run's seed."""


class PlainLayer(Layer):
    """The same by the cell's equations, token after token."""

    def forward(self, x_BTD: Tensor, state: State | None = None) -> tuple[Tensor, State]:  # type: ignore[override]
        """Return (B, T, D) hidden states and the last state.

        Args:
            x_BTD: (B, T, D).
            state: that the first token finds; None: zeros.
        """
        h_BD, c_BD = (part[0] for part in state) if state else (x_BTD.new_zeros(x_BTD.size(0), self.hidden_size),) * 2
        weight_ih, weight_hh, bias_ih, bias_hh = self.all_weights[0]
        hidden = []
        for x_BD in x_BTD.unbind(1):
            gates = x_BD @ weight_ih.T + bias_ih + h_BD @ weight_hh.T + bias_hh
            taken, kept, new, shown = gates.chunk(4, dim=-1)  # torch's order
            c_BD = kept.sigmoid() * c_BD + taken.sigmoid() * new.tanh()
            h_BD = shown.sigmoid() * c_BD.tanh()
            hidden.append(h_BD)
        return torch.stack(hidden, 1), (h_BD.unsqueeze(0), c_BD.unsqueeze(0))


class LSTM(Model):
    """Stacked LSTM layers of width d_model between an embedding and a head that is tied to it, normalised at both ends.

    An embedding fit to be a head, N(0, 0.02), is next to nothing for gates to read, and what leaves them is smaller
    than a head needs: without the norms 250 steps on plays of Shakespeare ended at 5.15 nats, near the entropy of
    single tokens, with them at 4.31. Each sequence begins with an empty state. Builds on the meta device too; on others
    its weights are those of `init_weights(seed=0)`.

    Args:
        num_layers: LSTM layers.
        d_model: width of embedding, hidden state and cell.
        context_len: tokens of the longest sequence it is trained on; its state has no such bound.
        vocab_size: rows of embedding and head. Rows above the tokenizer's are never a target.
        dropout: probability of zeroing an activation between two layers, before the first and after the last; never in
            the recurrence.
        plain_pieces: which of `pieces` run plainly.
    Raises:
        SettingError: a size is not positive, or dropout is no such probability.
    Source: Hochreiter and Schmidhuber 1997; dropout as Zaremba et al., arXiv:1409.2329; tied head, Press and Wolf,
        arXiv:1608.05859.
    """

    flops_formula = "6 N, N = 8 L D^2 + V D"
    pieces = frozenset({"dropout", "loss", "lstm", "norm"})

    def __init__(
        self,
        num_layers: int,
        d_model: int,
        context_len: int,
        vocab_size: int,
        dropout: float = 0.0,
        plain_pieces: frozenset[str] = NONE,
    ) -> None:
        super().__init__()
        sizes = {"num_layers": num_layers, "d_model": d_model, "context_len": context_len, "vocab_size": vocab_size}
        for name, size in sizes.items():
            require(size >= 1, name, size, "1 or more")
        require(0.0 <= dropout < 1.0, "dropout", dropout, "a number from 0 to below 1; 0 is usual in pretraining")
        self.d_model, self.context_len, self.vocab_size, self.dropout = d_model, context_len, vocab_size, dropout
        self._drop = drop_of(plain_pieces)
        if not dropout:
            self.pieces = self.pieces - {"dropout"}
        # _weight: drawing weights that init_weights fills anew would import the compiler
        self.token_embedding = nn.Embedding(vocab_size, d_model, _weight=torch.empty(vocab_size, d_model))
        self.embedding_norm = LayerNorm(d_model, plain_pieces)
        layer = choose("lstm", plain_pieces, Layer, PlainLayer)
        self.layers = nn.ModuleList(layer(d_model, d_model, batch_first=True) for _ in range(num_layers))
        self.final_norm = LayerNorm(d_model, plain_pieces)
        self.token_loss = TokenLoss(plain_pieces=plain_pieces)
        if not self.token_embedding.weight.is_meta:
            self.init_weights(seed=0)

    def init_weights(self, seed: int) -> None:
        """Fill all parameters with the initial weights of this seed, the same on every device and rank.

        The embedding is N(0, 0.02), matrices of the layers have the variance of torch's own, 1 / (3 d_model). Norms are
        1, biases 0, but for the forget gate's, which is 1.
        """
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    std = STD if name.startswith("token_embedding") else 1 / math.sqrt(3 * self.d_model)
                    parameter.copy_(normal(name, parameter.shape, std, seed))
                    continue
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
                if name.endswith("bias_ih_l0"):  # gates lie in torch's order: input, forget, cell, output
                    parameter[self.d_model : 2 * self.d_model] = FORGET_BIAS

    def forward(self, inputs_BT: Tensor, cache: list[State] | None = None) -> Tensor:
        """Return logits_BTV, (B, T, vocab_size) float32.

        Args:
            inputs_BT: (B, T) int64 ids.
            cache: of `new_cache`; the inputs follow what it has read, and join it.
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
        """
        x_ND = self._hidden(inputs_BT, keys_B=keys_B).flatten(0, 1)
        loss, nats_N = self.token_loss(x_ND, self.token_embedding.weight, targets_BT.flatten())
        return loss, nats_N.view(targets_BT.shape).sum(dim=1)

    def new_cache(self) -> list[State]:
        """Return an empty cache, for `forward` to generate token by token: the state of each layer, once it has one."""
        return []

    def flops_per_token(self, seq_len: int) -> float:
        """Return FLOPs of forward and backward for one token, at any length: 6 N, the tied head counted once."""
        return 6.0 * sum(parameter.numel() for parameter in self.parameters() if parameter.dim() == 2)

    def _hidden(self, inputs_BT: Tensor, cache: list[State] | None = None, keys_B: Tensor | None = None) -> Tensor:
        x_BTD = self.embedding_norm(self.token_embedding(inputs_BT))
        keys_SB2 = keys_of_sites(self.training, self.dropout, inputs_BT, keys_B, len(self.layers) + 1)
        if keys_SB2 is not None:
            x_BTD = self._drop(x_BTD, self.dropout, keys_SB2[0])
        states: list[State] = []
        for i, layer in enumerate(self.layers):
            # float32: in bfloat16 torch has no LSTM on most CPUs, and under autocast cuDNN's takes float16, which
            # gradients without loss scaling fall out of
            with torch.autocast(x_BTD.device.type, enabled=False):
                x_BTD, state = layer(x_BTD.to(layer.weight_ih_l0.dtype), cache[i] if cache else None)
            states.append(state)
            if keys_SB2 is not None:
                x_BTD = self._drop(x_BTD, self.dropout, keys_SB2[i + 1])
        if cache is not None:
            cache[:] = states
        normed_BTD: Tensor = self.final_norm(x_BTD)
        return normed_BTD
