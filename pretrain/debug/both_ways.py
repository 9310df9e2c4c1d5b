"""Every piece that is written twice, both ways on the same random input: what comes out, and the gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pretrain.data.mixture import Mixture, PlainMixture
from pretrain.data.order import MAX_N, permute, permute_plainly
from pretrain.model.attention import attend, attend_plainly
from pretrain.model.dropout import dropout, dropout_plainly, dropped, is_dropped, site_keys
from pretrain.model.feed_forward import gelu, gelu_plainly
from pretrain.model.loss import loss_in_chunks, loss_plainly
from pretrain.model.lstm import Layer, PlainLayer
from pretrain.model.norm import normalise, normalise_plainly
from pretrain.optim.adamw import AdamW
from pretrain.parallel.replicas import digest, digest_plainly
from pretrain.pieces import NONE
from pretrain.seats import Optimizer
from pretrain.stability.window import PlainWindow, Window
from pretrain.train import norms_of_gradients, norms_plainly
from pretrain.types import IGNORE

PROBABILITY = 0.3  # of dropping
MASKED_FRAC = 0.2  # of targets
OPTIMIZER_STEPS, BAD_STEP = 4, 2  # so many updates, one of them is to change nothing
LR = 0.1
GOLDEN = 0.6180339887498949  # its multiples spread evenly over [0, 1)
SITES = 5  # that drop
INDICES = 50  # of an order, and samples of a mixture
DRAWN = 5  # of these samples: how many of each source come before
MOST_BITS = MAX_N.bit_length() - 1


@dataclass(frozen=True)
class Draw:
    """Where random inputs come from: a generator of its own on the host, so no random state of the process moves.

    Attributes:
        generator: of the host.
        device: where the inputs go.
        dtype: of matrix products: autocast's where the run has it, else float32.
        seq_len: of sequences in this draw; None draws one.
    """

    generator: torch.Generator
    device: torch.device
    dtype: torch.dtype = torch.float32
    seq_len: int | None = None

    def size(self, least: int, most: int) -> int:
        """Return a number from `least` to `most`."""
        return int(torch.randint(least, most + 1, (), generator=self.generator))

    def length(self, most: int) -> int:
        """Return how many positions a sequence has."""
        return self.size(1, most) if self.seq_len is None else self.seq_len

    def whole(self, most: int, *shape: int) -> Tensor:
        """Return int64 from 0 to below `most`, on the host."""
        return torch.randint(most, shape, generator=self.generator)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return values of mean 0 and variance 1."""
        return torch.randn(shape, generator=self.generator).to(self.device, dtype)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        if self.dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


@dataclass(frozen=True, slots=True)
class Both:
    """What came out.

    Attributes:
        shape: of the input, in words.
        dtype: in which the piece multiplies and rounds.
        fast, plain: name -> output or gradient, the same names and shapes.
    """

    shape: str
    dtype: torch.dtype
    fast: Mapping[str, Tensor]
    plain: Mapping[str, Tensor] = field(repr=False)


Compare = Callable[[Draw], Both]


def both(
    shape: str,
    draw: Draw,
    fast: Callable[..., Any],
    plain: Callable[..., Any],
    inputs: Mapping[str, Tensor],
    dtype: torch.dtype = torch.float32,
) -> Both:
    """Return what two functions of the same tensors give, and their gradients."""
    return Both(shape, dtype, *(outputs_and_gradients(function, draw, inputs) for function in (fast, plain)))


def outputs_and_gradients(
    function: Callable[..., Any], draw: Draw, inputs: Mapping[str, Tensor], module: nn.Module | None = None
) -> dict[str, Tensor]:
    """Return what comes out, and the gradients of all of it in one direction.

    Args:
        function: of the inputs in their order; returns a tensor or several.
        draw: gives the context of the forward pass.
        inputs: name -> tensor.
        module: whose parameters' gradients are wanted, too.
    """
    leaves = {name: each.detach().clone().requires_grad_() for name, each in inputs.items()}
    with torch.enable_grad(), draw.autocast():
        returned = function(*leaves.values())
    outputs = [returned] if isinstance(returned, Tensor) else list(returned)
    with_graph = [each for each in outputs if each.requires_grad]
    torch.autograd.backward(with_graph, [direction(each) for each in with_graph])
    named = leaves | dict(module.named_parameters() if module is not None else ())
    gradients = {f"the gradient of {name}": each.grad for name, each in named.items() if each.grad is not None}
    told = [f"output {number}" for number in range(1, len(outputs) + 1)] if len(outputs) > 1 else ["the output"]
    return {name: each.detach() for name, each in zip(told, outputs, strict=True)} | gradients


def direction(output: Tensor) -> Tensor:
    """Return what the gradient of this output begins with: values from -0.25 to 0.75 that look drawn; of a number, 1.

    Their mean is not 0: sums of them that cancel would be rounding and nothing else.
    """
    if output.dim() == 0:
        return torch.ones_like(output)
    values = torch.arange(output.numel(), dtype=torch.float64) * GOLDEN % 1 - 0.25
    return values.view(output.shape).to(output.dtype).to(output.device)


def attention(draw: Draw, fast: Callable[..., Tensor] = attend) -> Both:
    """Queries on keys: causal over a sequence, or of one position that follows a cache; with dropout or without."""
    B, H, K = draw.size(1, 2), draw.size(1, 4), 8 * draw.size(1, 16)
    S, follows, drops = draw.length(300), draw.size(0, 3) == 0, draw.size(0, 1) == 1
    T = 1 if follows else S
    inputs = {
        name: draw.normal(B, H, length, K, dtype=draw.dtype) for name, length in zip("qkv", (T, S, S), strict=True)
    }
    keys_B2 = site_keys(draw.whole(2**62, B).to(draw.device), 1)[0] if drops else None
    told = f"{B} sequences, {H} heads of {K}, {T} queries on {S} keys{', with dropout' if drops else ''}"
    rest = (T > 1, PROBABILITY, keys_B2, dropout)
    run_fast, run_plain = (lambda *qkv, f=f: f(*qkv, *rest) for f in (fast, attend_plainly))
    return both(told, draw, run_fast, run_plain, inputs, draw.dtype)


def loss(draw: Draw, fast: Callable[..., tuple[Tensor, Tensor]] = loss_in_chunks) -> Both:
    """Rows of hidden states under a head, some of them without a target, in chunks that do not divide them."""
    N, D, V, rows = draw.size(1, 600), 8 * draw.size(1, 16), draw.size(2, 2000), draw.size(1, 300)
    targets_N = draw.whole(V, N)
    targets_N[torch.rand(N, generator=draw.generator) < MASKED_FRAC] = IGNORE
    targets_N = targets_N.to(draw.device)
    inputs = {"x": draw.normal(N, D), "the head": draw.normal(V, D) / math.sqrt(D)}
    told = f"{N} rows of {D}, {V} words, {rows} rows a chunk"
    run_fast, run_plain = (lambda x, w, f=f: f(x, w, targets_N, rows) for f in (fast, loss_plainly))
    return both(told, draw, run_fast, run_plain, inputs, draw.dtype)


def norm(draw: Draw, fast: Callable[..., Tensor] = normalise) -> Both:
    """Positions with a mean and a spread of their own."""
    N, D = draw.size(1, 300), draw.size(1, 1000)
    inputs = {"x": draw.normal(N, 1) + 3 * draw.normal(N, D), "the weight": draw.normal(D), "the bias": draw.normal(D)}
    return both(f"{N} positions of {D}", draw, fast, normalise_plainly, inputs)


def activation(draw: Draw, fast: Callable[..., Tensor] = gelu) -> Both:
    """Values on both sides of the bend."""
    N, F = draw.size(1, 300), draw.size(1, 1000)
    return both(
        f"{N} positions of {F}", draw, fast, gelu_plainly, {"h": 3 * draw.normal(N, F, dtype=draw.dtype)}, draw.dtype
    )


def masks(draw: Draw, fast: Callable[..., Tensor] = dropout, mask: Callable[..., Tensor] = dropped) -> Both:
    """Values of a few samples, and which of them are dropped at a site."""
    B, R, C, site = draw.size(1, 3), draw.size(1, 8), draw.size(1, 60), draw.size(0, SITES - 1)
    keys_B = draw.whole(2**62, B) - 2**61
    keys_B2 = site_keys(keys_B.to(draw.device), SITES)[site]
    places = [(key, site, row, channel) for key in keys_B.tolist() for row in range(R) for channel in range(C)]
    expected = torch.tensor([is_dropped(*place, PROBABILITY) for place in places], device=draw.device).view(B, R, C)
    run_fast, run_plain = (lambda x, f=f: f(x, PROBABILITY, keys_B2) for f in (fast, dropout_plainly))
    values = both(f"{B} samples of {R} x {C}, site {site}", draw, run_fast, run_plain, {"x": draw.normal(B, R, C)})
    found = mask(expected.shape, PROBABILITY, keys_B2)
    return Both(values.shape, values.dtype, {"the mask": found, **values.fast}, {"the mask": expected, **values.plain})


def recurrence(draw: Draw, fast: type[Layer] = Layer) -> Both:
    """A layer that goes on from a state, in float32 as the model has it."""
    B, T, D = draw.size(1, 4), draw.length(40), 8 * draw.size(1, 8)
    inputs = {"x": draw.normal(B, T, D), "h": draw.normal(1, B, D), "c": draw.normal(1, B, D)}
    weights = None
    exact, found = Draw(draw.generator, draw.device), []
    for kind in (fast, PlainLayer):
        layer = kind(D, D, batch_first=True, device=draw.device)
        weights = weights or {name: draw.normal(*each.shape) / math.sqrt(D) for name, each in layer.named_parameters()}
        layer.load_state_dict(weights)
        found.append(outputs_and_gradients(partial(_flat, layer), exact, inputs, layer))
    return Both(f"{B} sequences of {T} x {D}", _recurrent_dtype(draw.device), *found)


def _recurrent_dtype(device: torch.device) -> torch.dtype:
    """Return in which format the kernel rounds: cuDNN takes TF32 where it may, of as many bits as float16."""
    return torch.float16 if device.type == "cuda" and torch.backends.cudnn.allow_tf32 else torch.float32


def _flat(layer: Layer, x_BTD: Tensor, h_1BD: Tensor, c_1BD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y_BTD, (last_h_1BD, last_c_1BD) = layer(x_BTD, (h_1BD, c_1BD))
    return y_BTD, last_h_1BD, last_c_1BD


def adamw(model: nn.Module, plain_pieces: frozenset[str] = NONE) -> Optimizer:
    """Return the optimizer that is compared."""
    return AdamW(LR, model, plain_pieces=plain_pieces)


def update(draw: Draw, fast: Callable[[nn.Module], Optimizer] = adamw) -> Both:
    """A few updates of a matrix and a vector, clipped, one of them judged bad and full of NaN."""
    shapes = {"matrix": (draw.size(1, 60), draw.size(1, 60)), "vector": (draw.size(1, 600),)}
    weights = {name: draw.normal(*shape) for name, shape in shapes.items()}
    gradients = [{name: draw.normal(*shape) for name, shape in shapes.items()} for _ in range(OPTIMIZER_STEPS)]
    found = []
    for kind in (fast, partial(adamw, plain_pieces=frozenset({"adamw"}))):
        model = nn.ParameterDict({name: nn.Parameter(each.clone()) for name, each in weights.items()})
        optimizer = kind(model)
        for step, of_step in enumerate(gradients):
            bad = step == BAD_STEP
            for name, parameter in model.items():
                parameter.grad = of_step[name] * (math.nan if bad else 1.0)
            scale = math.nan if bad else 1.0 + step
            optimizer.step(LR, *(torch.tensor(float(each), device=draw.device) for each in (bad, scale)))
        moves = {f"the move of {name}": (each - weights[name]).detach() for name, each in model.items()}
        found.append(moves | optimizer.tensors())
    return Both(" and ".join(str(shape) for shape in shapes.values()), torch.float32, *found)


def gradient_norms(draw: Draw, fast: Callable[[nn.Module], Tensor] = norms_of_gradients) -> Both:
    """Gradients of several shapes and sizes; one is missing, one parameter is frozen."""
    model = nn.ParameterList([nn.Parameter(draw.normal(draw.size(1, 90), draw.size(1, 90))) for _ in range(6)])
    for number, parameter in enumerate(model):
        parameter.grad = draw.normal(*parameter.shape) / (1 + number)
    model[3].grad = None
    model[4].requires_grad_(False)
    shapes = ", ".join(str(tuple(parameter.shape)) for parameter in model)
    return Both(shapes, torch.float32, *({"the norms": f(model)} for f in (fast, norms_plainly)))


def digests(draw: Draw, fast: Callable[[Tensor], Tensor] = digest) -> Both:
    """Weights, and whole numbers of 64 bits, some more than a chunk of words."""
    size = draw.size(1, 200_000)
    tensors = {"float32": draw.normal(size), "bfloat16": draw.normal(size).bfloat16()}
    tensors["int64"] = (draw.whole(2**62, size) - 2**61).to(draw.device)
    found = ({f"the digest of {name}": f(each) for name, each in tensors.items()} for f in (fast, digest_plainly))
    return Both(f"{size} elements", torch.int64, *found)


def medians(draw: Draw, fast: type[Window] = Window) -> Both:
    """A window of two series that takes in some values and refuses others; one series begins anew on the way."""
    size, values_2V = draw.size(1, 60), 5 + draw.normal(2, draw.size(1, 100))
    accepted_V = torch.rand(values_2V.size(1), generator=draw.generator) < 0.8
    anew = draw.size(0, 99)
    found = []
    for kind in (fast, PlainWindow):
        window = kind(2, size, draw.device)
        for number, (values_2, accepted) in enumerate(zip(values_2V.T, accepted_V, strict=True)):
            window.add(values_2, accepted.to(draw.device))
            window.begin_anew(torch.tensor([False, number == anew], device=draw.device))
        window.add(torch.full_like(values_2V[:, 0], 4.0), torch.ones((), dtype=torch.bool, device=draw.device))
        found.append(dict(zip(("the medians", "the spreads", "the highest"), window.look(), strict=True)))
    return Both(f"{values_2V.size(1)} values through a window of {size}", torch.float32, *found)


def order(draw: Draw, fast: Callable[..., Any] = permute) -> Both:
    """Places of an epoch of any length."""
    n = 1 + int(draw.whole(2 ** draw.size(1, MOST_BITS)))
    index = draw.whole(n, INDICES).numpy()
    of_what = (n, draw.size(0, 2**31), draw.size(0, 1000), f"source {draw.size(0, 9)}")
    places = [{"the places": torch.from_numpy(f(index, *of_what))} for f in (fast, permute_plainly)]
    return Both(f"epoch {of_what[2]} of {n} samples, seed {of_what[1]}", torch.int64, *places)


def mixture(draw: Draw, fast: type[Mixture] = Mixture) -> Both:
    """Samples of several sources, from weights that repeat or budgets in blocks."""
    counts = [1 + each for each in draw.whole(60, draw.size(1, 6)).tolist()]
    num_blocks = draw.size(1, 12)
    samples = (draw.whole(6 * sum(counts), INDICES) - 2 * sum(counts)).numpy()
    found = [_located(kind(counts, num_blocks), samples) for kind in (fast, PlainMixture)]
    return Both(f"{counts} samples in {num_blocks} blocks", torch.int64, *found)


def _located(mixed: Mixture, samples: np.ndarray) -> dict[str, Tensor]:
    sources, numbers = mixed.locate(samples)
    drawn = np.stack([mixed.drawn(int(sample)) for sample in np.abs(samples[:DRAWN])])
    found = {"the sources": sources, "the numbers": numbers, "the counts": drawn}
    return {name: torch.from_numpy(values) for name, values in found.items()}


COMPARISONS: Mapping[str, Compare] = {
    "order": order,
    "mixture": mixture,
    "attention": attention,
    "norm": norm,
    "gelu": activation,
    "dropout": masks,
    "lstm": recurrence,
    "loss": loss,
    "grad_norm": gradient_norms,
    "window": medians,
    "adamw": update,
    "digest": digests,
}
