"""Weights to and from Hugging Face's GPT-2, as plain dicts of tensors: nothing of transformers is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from pretrain.model.errors import ModelError

# ours -> theirs, inside one block. Hugging Face keeps GPT-2's Conv1D: its weight is (in, out), that of nn.Linear
# (out, in).
BLOCK_NAMES = {
    "attention_norm": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "feed_forward_norm": "ln_2",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.down": "mlp.c_proj",
}
OUTER_NAMES = {
    "token_embedding.weight": "transformer.wte.weight",
    "position_embedding.weight": "transformer.wpe.weight",
    "final_norm.weight": "transformer.ln_f.weight",
    "final_norm.bias": "transformer.ln_f.bias",
}
TRANSPOSED = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")
NO_WEIGHTS = re.compile(r"\.attn\.(bias|masked_bias)$")  # causal masks that older versions saved
EMBEDDING = OUTER_NAMES["token_embedding.weight"]
HEAD = "lm_head.weight"  # tied to the embedding in GPT-2


def from_huggingface_state(state: Mapping[str, Tensor], vocab_size: int) -> dict[str, Tensor]:
    """Return the state dict of our Transformer for that of a GPT2LMHeadModel.

    Args:
        state: names to tensors; matrices of the blocks are (in, out).
        vocab_size: rows wanted; rows above theirs are zeros.
    Raises:
        ModelError: an unknown or missing name, a head that is not tied to the embedding, more rows than vocab_size.
    """
    if EMBEDDING not in state:
        raise ModelError(f"{EMBEDDING}: missing; only the weights of a GPT2LMHeadModel can be taken")
    embedding = state[EMBEDDING]
    if embedding.size(0) > vocab_size:
        raise ModelError(
            f"vocab_size: {vocab_size} is below the {embedding.size(0)} rows of these weights; give at least as many"
        )
    if HEAD in state and not torch.equal(state[HEAD], embedding):
        raise ModelError(f"{HEAD}: differs from {EMBEDDING}; only a tied head can be taken")
    ours = {
        _ours(name): (tensor.T.contiguous() if TRANSPOSED.search(name) else tensor)
        for name, tensor in state.items()
        if name != HEAD and not NO_WEIGHTS.search(name)
    }
    padding = embedding.new_zeros(vocab_size - embedding.size(0), embedding.size(1))
    ours["token_embedding.weight"] = torch.cat([embedding, padding])
    return ours


def to_huggingface_state(state: Mapping[str, Tensor], vocab_size: int) -> dict[str, Tensor]:
    """Return the state dict of a GPT2LMHeadModel for that of our Transformer, the head tied to the embedding.

    Args:
        state: names to tensors of our Transformer.
        vocab_size: rows of the embedding to keep: the tokenizer's, without the padding.
    """
    theirs = {}
    for name, tensor in state.items():
        their_name = _theirs(name)
        theirs[their_name] = tensor.T.contiguous() if TRANSPOSED.search(their_name) else tensor
    theirs[EMBEDDING] = theirs[HEAD] = theirs[EMBEDDING][:vocab_size]
    return theirs


def _theirs(name: str) -> str:
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    _, layer, rest = name.split(".", 2)
    module, kind = rest.rsplit(".", 1)
    return f"transformer.h.{layer}.{BLOCK_NAMES[module]}.{kind}"


def _ours(name: str) -> str:
    outer = {theirs: ours for ours, theirs in OUTER_NAMES.items()}
    if name in outer:
        return outer[name]
    block = {theirs: ours for ours, theirs in BLOCK_NAMES.items()}
    match = re.fullmatch(r"transformer\.h\.(\d+)\.(.+)\.(weight|bias)", name)
    if match is None or match[2] not in block:
        raise ModelError(f"{name}: not a weight of GPT-2; only the weights of a GPT2LMHeadModel can be taken")
    return f"blocks.{match[1]}.{block[match[2]]}.{match[3]}"
