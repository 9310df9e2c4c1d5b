from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foundation.errors import SettingError
from pretrain.model.errors import ModelError
from pretrain.model.transformer import Transformer
from pretrain.types import IGNORE

Make = Callable[..., Transformer]


def test_loss_sum_is_the_cross_entropy_of_the_logits(make_model: Make, ids_BT: Tensor) -> None:
    model, targets_BT = make_model(), ids_BT.roll(-1, dims=1)
    targets_BT[:, -1] = IGNORE
    expected = F.cross_entropy(model(ids_BT).flatten(0, 1), targets_BT.flatten(), reduction="sum")
    torch.testing.assert_close(model.loss_sum(ids_BT, targets_BT)[0], expected)


def test_initial_loss_is_close_to_that_of_a_uniform_guess(make_model: Make) -> None:
    model = make_model(num_layers=4, d_model=64, vocab_size=4096, context_len=64)
    generator = torch.Generator().manual_seed(3)
    ids_BT, targets_BT = (torch.randint(0, 4096, (4, 64), generator=generator) for _ in range(2))
    loss = model.loss_sum(ids_BT, targets_BT)[0].item() / targets_BT.numel()
    assert abs(loss - math.log(4096)) < 0.05


def test_no_position_sees_what_follows(make_model: Make, ids_BT: Tensor) -> None:
    model = make_model()
    changed = ids_BT.clone()
    changed[:, 11:] = (changed[:, 11:] + 1) % 128
    before, after = model(ids_BT), model(changed)
    torch.testing.assert_close(before[:, :11], after[:, :11])
    assert not torch.allclose(before[:, 11:], after[:, 11:])


def test_every_earlier_position_is_seen(make_model: Make, ids_BT: Tensor) -> None:
    model = make_model()
    embedded = []
    model.token_embedding.register_forward_hook(
        lambda *args: embedded.append(args[2].detach().requires_grad_()) or embedded[0]
    )
    model(ids_BT)[:, -1].square().sum().backward()
    assert (embedded[0].grad.abs().sum(dim=-1) > 0).all()


def test_cached_tokens_equal_the_whole_sequence(make_model: Make, ids_BT: Tensor) -> None:
    model = make_model().eval()
    cache = model.new_cache()
    with torch.no_grad():
        whole = model(ids_BT)
        parts = [model(ids_BT[:, :7], cache)]
        parts += [model(ids_BT[:, place : place + 1], cache) for place in range(7, ids_BT.size(1))]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)
    with pytest.raises(ModelError, match="25 positions are more than its 24"):
        model(ids_BT[:, :1], cache)


def test_a_cache_follows_autocast(make_model: Make, ids_BT: Tensor) -> None:
    model, cache = make_model().eval(), make_model().new_cache()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model(ids_BT[:, :5], cache)
        last = model(ids_BT[:, 5:6], cache)
        torch.testing.assert_close(last, model(ids_BT[:, :6])[:, -1:], rtol=0.05, atol=0.05)
    assert last.dtype == torch.float32


def test_dropout_is_off_in_evaluation(make_model: Make, ids_BT: Tensor) -> None:
    model = make_model(dropout=0.5)
    assert not torch.equal(model(ids_BT), model(ids_BT))
    model.eval()
    assert torch.equal(model(ids_BT), model(ids_BT))


@pytest.mark.parametrize(
    ("sizes", "billions"),  # of the GPT-2 paper's models as Hugging Face counts them, vocabulary 50257
    [
        ((12, 12, 768), 0.124439808),
        ((24, 16, 1024), 0.354823168),
        ((36, 20, 1280), 0.774030080),
        ((48, 25, 1600), 1.557611200),
    ],
)
def test_sizes_are_gpt2s(sizes: tuple[int, int, int], billions: float) -> None:
    with torch.device("meta"):
        model = Transformer(*sizes, context_len=1024, vocab_size=50257)
    assert model.num_params() == round(billions * 1e9)
    biases_and_norms = sum(parameter.numel() for parameter in model.parameters() if parameter.dim() == 1)
    assert model.num_matmul_params() == model.num_params() - biases_and_norms - 1024 * sizes[2]


def test_flops_are_those_of_the_published_tables() -> None:
    with torch.device("meta"):
        model = Transformer(12, 12, 768, context_len=1024, vocab_size=50304)
    # nanoGPT's estimate_mfu, 6 N + 12 L H Q T, with N = its 124.34 M (no positions, biases left in)
    assert model.flops_per_token(1024) == pytest.approx(6 * 123.69e6 + 12 * 12 * 12 * 64 * 1024, rel=2e-3)
    # llm.c's gpt2_estimate_mfu prints about 0.80 GFLOP a token at 124M and T 1024
    assert model.causal_flops_per_token(1024) == 6 * 124475904 + 6 * 12 * 768 * 1024


def test_flops_are_those_that_torch_counts(make_model: Make, ids_BT: Tensor) -> None:
    model, seq_len = make_model(), ids_BT.size(1)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(ids_BT).sum().backward()
    assert counter.get_total_flops() / ids_BT.numel() == pytest.approx(model.flops_per_token(seq_len), rel=1e-6)


@pytest.mark.bad_input(51)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_heads": 5}, "^num_heads: 5 is not allowed; give a divisor of d_model, which is 32, e.g. 4"),
        ({"num_layers": 0}, "^num_layers: 0 is not allowed; give 1 or more"),
        ({"context_len": -1}, "^context_len: -1 is not allowed; give 1 or more"),
        ({"dropout": 1.0}, "^dropout: 1.0 is not allowed; give a number from 0 to below 1"),
    ],
)
def test_a_size_that_cannot_be_is_refused_by_its_name(make_model: Make, changes: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        make_model(**changes)


def test_a_sequence_longer_than_the_context(make_model: Make, ids_BT: Tensor) -> None:
    with pytest.raises(ModelError, match=r"set trainer\.seq_len to at most model\.context_len"):
        make_model(context_len=8)(ids_BT)
