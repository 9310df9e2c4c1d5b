from __future__ import annotations

import math
from collections.abc import Callable

import torch

from pretrain.model.transformer import Transformer

Make = Callable[..., Transformer]


def test_meta_gives_the_same_weights(make_model: Make) -> None:
    with torch.device("meta"):
        late = make_model()
    assert all(parameter.is_meta for parameter in late.parameters())
    late.to_empty(device="cpu")
    for parameter in late.parameters():
        torch.nn.init.constant_(parameter, float("nan"))  # whatever lay in the memory
    late.init_weights(seed=7)
    early = make_model()
    early.init_weights(seed=7)
    for name, tensor in early.state_dict().items():
        assert torch.equal(tensor, late.state_dict()[name]), name


def test_seed_and_name_decide_alone(make_model: Make) -> None:
    first, second, other = make_model(), make_model(), make_model()
    first.init_weights(seed=1)
    torch.randn(1000)  # the global generator plays no part
    second.init_weights(seed=1)
    other.init_weights(seed=2)
    weights = {name: tensor for name, tensor in first.named_parameters() if tensor.dim() == 2}
    assert all(torch.equal(tensor, second.get_parameter(name)) for name, tensor in weights.items())
    assert not any(torch.equal(tensor, other.get_parameter(name)) for name, tensor in weights.items())
    flat = [tensor.flatten()[:32] for tensor in weights.values()]
    assert not any(torch.equal(a, b) for i, a in enumerate(flat) for b in flat[:i])  # no two share a stream


def test_more_padding_leaves_the_other_weights(make_model: Make) -> None:
    narrow, wide = make_model(vocab_size=128), make_model(vocab_size=256)
    state = wide.state_dict() | {"token_embedding.weight": wide.token_embedding.weight[:128]}
    assert all(torch.equal(tensor, state[name]) for name, tensor in narrow.state_dict().items())


def test_the_distribution_is_gpt2s(make_model: Make) -> None:
    model = make_model(num_layers=8, d_model=128, vocab_size=2048)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            expected = 0.0 if name.endswith(".bias") else 1.0
            assert (parameter == expected).all(), name
            continue
        is_residual = name.endswith(("attention.out.weight", "feed_forward.down.weight"))
        std = 0.02 / math.sqrt(16) if is_residual else 0.02
        n = parameter.numel()
        assert abs(parameter.mean().item()) < 5 * std / math.sqrt(n), name
        assert abs(parameter.std().item() / std - 1) < 5 / math.sqrt(2 * n), name
