"""Which parameters decay."""

from __future__ import annotations

from torch import nn


def split_by_decay(model: nn.Module) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Return the parameters that weight decay pulls to zero, and the others, by name; a tied one stands once.

    Matrices and embeddings decay. Biases and the gains of norms do not: decay would pull a gain towards 0, but its
    neutral value is 1.

    Source: GPT-3, arXiv:2005.14165, appendix B, as minGPT and nanoGPT read it.
    """
    named = dict(model.named_parameters())
    decayed = {name: parameter for name, parameter in named.items() if parameter.dim() >= 2}
    others = {name: parameter for name, parameter in named.items() if parameter.dim() < 2}
    return decayed, others
