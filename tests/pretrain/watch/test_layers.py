"""Names to layers, and what is said of a layer from what is known of its parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pretrain.watch.layers import is_layer, layer_of, means_by_layer, norms_by_layer


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("blocks.11.attention.qkv.weight", "blocks.11"),
        ("token_embedding.weight", "token_embedding"),
        ("encoder.layers.2.0.weight", "encoder.layers.2"),
        ("lstm.weight_hh_l1", "lstm.l1"),
        ("lstm.bias_ih_l0_reverse", "lstm.l0"),
        ("scale", "scale"),
    ],
)
def test_a_parameter_s_layer(name: str, layer: str) -> None:
    assert layer_of(name) == layer


def test_modules_that_are_layers_as_a_whole() -> None:
    names = ["", "blocks", "blocks.3", "blocks.3.attention", "final_norm", "final_norm.inner"]
    assert [name for name in names if is_layer(name)] == ["blocks", "blocks.3", "final_norm"]


def test_a_layer_s_norm_and_mean_are_those_of_all_its_elements_in_one() -> None:
    model = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(3, 5), nn.Linear(5, 2)]), "head": nn.Linear(2, 7)})
    named = dict(model.named_parameters())
    whole: dict[str, list[torch.Tensor]] = {"blocks.0": [], "blocks.1": [], "head": []}
    for name, parameter in named.items():
        whole[next(layer for layer in whole if name.startswith(layer))].append(parameter.detach().flatten())
    norms = norms_by_layer(list(named), [p.detach().norm().item() for p in named.values()])
    means = means_by_layer(
        list(named), [p.detach().mean().item() for p in named.values()], [p.numel() for p in named.values()]
    )
    for layer, parts in whole.items():
        assert norms[layer] == pytest.approx(float(torch.cat(parts).norm()), rel=1e-6)
        assert means[layer] == pytest.approx(float(torch.cat(parts).mean()), abs=1e-7)
