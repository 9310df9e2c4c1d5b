"""What a pass shows, against plain loops over the same numbers."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn import functional
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from pretrain.model.transformer import Transformer
from pretrain.types import IGNORE
from pretrain.watch.attention import attention_figures, plain_attention_figures
from pretrain.watch.forward import activation_figures, look_into
from pretrain.watch.histograms import counts_of, edges_on
from pretrain.watch.layers import layer_of
from pretrain.watch.logits import logit_figures, logit_sums
from pretrain.watch.passes import Passes
from tests.pretrain.watch.models import OneExpertACall, TwoLayerLSTM

VOCAB = 40


@pytest.fixture
def model() -> Transformer:
    return Transformer(2, 2, 16, 32, vocab_size=VOCAB, dropout=0.2)


def ids(rows: int = 3, length: int = 9) -> torch.Tensor:
    return torch.randint(0, VOCAB, (rows, length), generator=torch.Generator().manual_seed(2))


def test_attention_is_that_of_a_loop_over_queries() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(2, 3, 7, 4, generator=generator) for _ in "qk")
    scores, entropies = [], []
    for b, h, t in np.ndindex(2, 3, 7):
        row = [float(q[b, h, t].double() @ k[b, h, s].double()) / math.sqrt(4) for s in range(t + 1)]
        weights = np.exp(np.array(row) - max(row))
        weights /= weights.sum()
        scores.append(max(row))
        entropies.append(-(weights * np.log(weights)).sum())
    for found in (plain_attention_figures(q, k), attention_figures(q, k), attention_figures(q, k, block_scores=100)):
        largest, entropy = found.tolist()
        assert largest == pytest.approx(max(scores), rel=1e-5)
        assert entropy == pytest.approx(np.mean(entropies), rel=1e-5)


@pytest.mark.parametrize("block_scores", [1, 700, 1 << 24])
@pytest.mark.parametrize("size", [0.1, 30.0])
def test_attention_by_blocks_is_that_of_all_scores_at_once(block_scores: int, size: float) -> None:
    generator = torch.Generator().manual_seed(int(size))
    q, k = (size * torch.randn(2, 3, 50, 8, generator=generator) for _ in "qk")
    expected = plain_attention_figures(q, k)
    torch.testing.assert_close(attention_figures(q, k, block_scores), expected, rtol=1e-4, atol=1e-6)
    q[1, 2, 40] = torch.nan
    assert attention_figures(q, k, block_scores).isnan().all() and plain_attention_figures(q, k).isnan().all()


class Largest(TorchDispatchMode):
    """Counts the elements of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        tensors = [each for each in pytree.tree_leaves(found) if isinstance(each, torch.Tensor)]
        given = {
            each.untyped_storage().data_ptr() for each in pytree.tree_leaves(args) if isinstance(each, torch.Tensor)
        }
        new = [each.numel() for each in tensors if each.untyped_storage().data_ptr() not in given]
        self.elements = max([self.elements, *new])
        return found


def test_memory_grows_with_neither_the_square_of_the_positions_nor_the_logits() -> None:
    q, k = (torch.randn(1, 4, 1024, 8) for _ in "qk")
    with Largest() as largest:
        attention_figures(q, k, block_scores=1 << 16)
    assert largest.elements == 1 << 16 and 4 * 1024**2 == 1 << 22
    logits, targets = torch.randn(1, 512, 400), torch.randint(0, 400, (1, 512))
    with Largest() as largest:
        logit_sums(logits, targets, block_logits=1 << 12)
        counts_of(logits, edges_on(logits.device), piece_values=1 << 12)
    assert largest.elements <= 1 << 12


def test_a_batch_in_parts_shows_the_same_and_only_one_part_s_logits_at_once(model: Transformer) -> None:
    inputs, targets = ids(5), ids(5)
    targets[0, 3:] = targets[4, :8] = IGNORE
    found = []
    for tokens_at_once in (1, 2 * 9, 1000):  # one sequence, two, all
        passes = Passes(model, edges_on(inputs.device), tokens_at_once)
        with Largest() as largest:
            passes.take(inputs, targets)
        found.append(passes.tensors())
        rows = max(1, min(5, tokens_at_once // 9))
        assert largest.elements == max(rows * 9 * VOCAB, rows * 9 * 4 * 16)  # logits, or the wide layer
        assert passes.activations == ["token_embedding", "blocks.0", "blocks.1", "final_norm"]
        assert passes.attention == ["blocks.0", "blocks.1"]
    for other in found[:2]:
        assert other.keys() == found[2].keys() == {"logits", "activations", "attention", "logit_counts"}
        for name, tensor in other.items():
            torch.testing.assert_close(tensor, found[2][name], rtol=1e-4, atol=1e-6)


def test_parts_that_call_other_layers_are_joined_by_layer() -> None:
    model = OneExpertACall(VOCAB)
    model.init_weights(3)
    inputs = ids(7)
    inputs[:, 0] = torch.tensor([0, 2, 1, 4, 3, 6, 8])  # the second expert takes two sequences of seven
    passes = Passes(model, tokens_at_once=1)
    passes.take(inputs, inputs)
    found = dict(zip(passes.activations, passes.tensors()["activations"], strict=True))
    assert found.keys() == {"embedding", "lstm", "experts.0", "experts.1", "head"}
    with torch.no_grad():
        hidden = model.lstm(model.embedding(inputs))[0]
        for number, rows in enumerate(([0, 1, 3, 5, 6], [2, 4])):
            expected = activation_figures(model.experts[number](hidden[rows]))
            torch.testing.assert_close(found[f"experts.{number}"], expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found["lstm"], activation_figures(hidden), rtol=1e-4, atol=1e-6)


def test_only_the_last_state_of_a_width_is_held(model: Transformer) -> None:
    alive: list[weakref.ref[torch.Tensor]] = []
    for block in model.blocks:
        block.register_forward_hook(lambda module, inputs, output: alive.append(weakref.ref(output)))
    seen = look_into(model, ids())
    assert seen.states_BTD is not None and len(alive) == 2 and not any(ref() is not None for ref in alive)


def test_logits_are_told_over_the_positions_with_a_target() -> None:
    logits = torch.randn(2, 5, VOCAB, generator=torch.Generator().manual_seed(1)) * 3
    targets = ids(2, 5)
    targets[0, 3] = targets[1, 0] = IGNORE
    found = []
    for b, t in np.ndindex(2, 5):
        if targets[b, t] != IGNORE:
            probs = np.exp(logits[b, t].double().numpy())
            probs /= probs.sum()
            found.append([-(probs * np.log(probs)).sum(), probs.max(), probs[int(targets[b, t])]])
    expected = [*np.mean(found, axis=0), float(logits.abs().max())]
    for block_logits in (1, 3 * VOCAB, 1 << 24):
        sums = logit_sums(logits, targets, block_logits)
        assert sums[3].item() == len(found) == 8
        assert logit_figures(sums.unsqueeze(0)).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_token_that_a_model_forbids_takes_no_part_in_the_entropy() -> None:
    logits = torch.randn(1, 4, VOCAB, generator=torch.Generator().manual_seed(1))
    forbidden = logits.clone()
    forbidden[..., 7] = -torch.inf
    without = torch.cat([logits[..., :7], logits[..., 8:]], dim=-1)
    targets = torch.zeros(1, 4, dtype=torch.int64)
    torch.testing.assert_close(logit_sums(forbidden, targets)[:4], logit_sums(without, targets)[:4])


def test_activations_are_told_over_all_elements() -> None:
    values = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1)) - 2
    expected = [values.numpy().mean(), values.numpy().std(), np.abs(values.numpy()).max()]
    assert activation_figures(values).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_transformer_shows_its_layers_and_their_attention(model: Transformer) -> None:
    seen = look_into(model, ids())
    assert list(seen.activations) == ["token_embedding", "blocks.0", "blocks.1", "final_norm"]
    assert list(seen.attention) == ["blocks.0", "blocks.1"]
    assert seen.states_BTD is not None and seen.states_BTD.shape == (3, 9, 16)
    torch.testing.assert_close(functional.linear(seen.states_BTD, model.token_embedding.weight), seen.logits_BTV)
    x = model.token_embedding(ids()) + model.position_embedding.weight[:9]
    q, k = model.blocks[0].attention.queries_and_keys(model.blocks[0].attention_norm(x))  # type: ignore[operator, union-attr]
    torch.testing.assert_close(seen.attention["blocks.0"], attention_figures(q, k).detach())
    assert seen.activations["token_embedding"][0].item() == pytest.approx(model.token_embedding(ids()).mean().item())


def test_an_lstm_shows_its_layers_and_no_attention() -> None:
    model = TwoLayerLSTM(VOCAB)
    seen = look_into(model, ids())
    assert list(seen.activations) == ["embedding", "lstm", "head"] and seen.attention == {}
    torch.testing.assert_close(seen.states_BTD, model.lstm(model.embedding(ids()))[0].detach())


def test_the_model_and_the_generators_are_left_as_they_were(model: Transformer) -> None:
    model.train()
    model.blocks[1].eval()
    model.loss_sum(ids(), ids())[0].backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    modes = [module.training for module in model.modules()]
    state = torch.random.get_rng_state()
    look_into(model, ids())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(p.grad, gradients[name]) for name, p in model.named_parameters() if p.grad is not None)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_what_is_compiled_is_looked_into_uncompiled(model: Transformer) -> None:
    calls = []

    def compiled(*args: object, **kwargs: object) -> torch.Tensor:
        calls.append(1)
        found: torch.Tensor = model.blocks[0]._call_impl(*args, **kwargs)
        return found

    model.blocks[0]._compiled_call_impl = compiled
    seen = look_into(model, ids())
    assert calls == [] and "blocks.0" in seen.activations and "blocks.0" in seen.attention
    model(ids())
    assert calls == [1]


def test_what_is_compiled_is_not_compiled_anew_for_a_look(model: Transformer) -> None:
    counter = CompileCounter()
    for block in model.blocks:
        block.compile(backend=counter)
    model.train()
    expected = look_into(model, ids())
    assert counter.frame_count == 0

    def step() -> None:
        model.zero_grad()
        model.loss_sum(ids(), ids(), torch.arange(3))[0].backward()

    step()
    compiled = counter.frame_count
    assert compiled > 0
    found = look_into(model, ids())
    step()
    assert counter.frame_count == compiled
    torch.testing.assert_close(found.activations, expected.activations)
    torch.testing.assert_close(found.attention, expected.attention)


def test_layers_that_are_computed_again_in_the_backward_keep_their_names(model: Transformer) -> None:
    expected = look_into(model, ids())
    names = [layer_of(name) for name, _ in model.named_parameters()]
    for place, block in enumerate(model.blocks):
        model.blocks[place] = checkpoint_wrapper(block)
    found = look_into(model, ids())
    torch.testing.assert_close(found.activations, expected.activations)
    torch.testing.assert_close(found.attention, expected.attention)
    assert [layer_of(name) for name, _ in model.named_parameters()] == names
