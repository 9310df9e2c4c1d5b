"""The LSTM is the one of the equations, sees what came before and no more, and drops by the keys of its samples."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from foundation.errors import SettingError
from pretrain.evaluate.sampling import generate
from pretrain.model.dropout import dropped, site_keys
from pretrain.model.lstm import LSTM
from pretrain.pieces import NONE
from pretrain.types import IGNORE

VOCAB, CONTEXT = 128, 24
BOTH_WAYS = pytest.mark.parametrize("plain_pieces", [NONE, LSTM.pieces])
Make = Callable[..., LSTM]


@pytest.fixture
def make_lstm() -> Make:
    def make(**changes: object) -> LSTM:
        return LSTM(**{"num_layers": 2, "d_model": 32, "context_len": CONTEXT, "vocab_size": VOCAB, **changes})

    return make


def normed(x: Tensor) -> Tensor:
    """Layer normalisation whose gain is 1 and whose bias is 0, as at the start."""
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()


def by_the_equations(model: LSTM, ids_BT: Tensor) -> Tensor:
    """Logits by Hochreiter and Schmidhuber's cell with a forget gate, one token after the other."""
    x_TBD = list(normed(model.token_embedding(ids_BT)).unbind(1))
    for layer in model.layers:
        h_BD = c_BD = torch.zeros_like(x_TBD[0])
        for t, x_BD in enumerate(x_TBD):
            gates = x_BD @ layer.weight_ih_l0.T + h_BD @ layer.weight_hh_l0.T + layer.bias_ih_l0 + layer.bias_hh_l0
            taken, kept, new, shown = gates.chunk(4, dim=-1)
            c_BD = kept.sigmoid() * c_BD + taken.sigmoid() * new.tanh()
            x_TBD[t] = h_BD = shown.sigmoid() * c_BD.tanh()
    return normed(torch.stack(x_TBD, 1)) @ model.token_embedding.weight.T


@BOTH_WAYS
def test_it_is_the_lstm_of_the_equations(make_lstm: Make, ids_BT: Tensor, plain_pieces: frozenset[str]) -> None:
    model = make_lstm(plain_pieces=plain_pieces)
    torch.testing.assert_close(model(ids_BT), by_the_equations(model, ids_BT))
    exact = model.double()
    torch.testing.assert_close(exact(ids_BT), by_the_equations(exact, ids_BT).float())


def test_its_stack_is_torch_s(make_lstm: Make, ids_BT: Tensor) -> None:
    model = make_lstm(num_layers=3)
    theirs = nn.LSTM(32, 32, num_layers=3, batch_first=True)
    weights = {
        name.replace("_l0", f"_l{number}"): weight
        for number, layer in enumerate(model.layers)
        for name, weight in layer.state_dict().items()
    }
    theirs.load_state_dict(weights)
    hidden_BTD, _ = theirs(normed(model.token_embedding(ids_BT)))
    torch.testing.assert_close(model(ids_BT), F.linear(normed(hidden_BTD), model.token_embedding.weight))


def test_loss_sum_is_the_cross_entropy_of_the_logits(make_lstm: Make, ids_BT: Tensor) -> None:
    model, targets_BT = make_lstm(), ids_BT.roll(-1, dims=1)
    targets_BT[0, 3:] = IGNORE
    nats = F.cross_entropy(model(ids_BT).flatten(0, 1), targets_BT.flatten(), reduction="none").view_as(targets_BT)
    loss, losses_B = model.loss_sum(ids_BT, targets_BT)
    torch.testing.assert_close(loss, nats.sum())
    torch.testing.assert_close(losses_B, nats.sum(1))


@BOTH_WAYS
def test_gradients_are_those_of_the_equations(make_lstm: Make, ids_BT: Tensor, plain_pieces: frozenset[str]) -> None:
    model = make_lstm(plain_pieces=plain_pieces)
    model.loss_sum(ids_BT, ids_BT.roll(-1, dims=1))[0].backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    logits = by_the_equations(model, ids_BT)
    F.cross_entropy(logits.flatten(0, 1), ids_BT.roll(-1, dims=1).flatten(), reduction="sum").backward()
    for name, parameter in model.named_parameters():
        if "norm" in name:  # the equations here have none that could be learned
            continue
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-4, msg=name)


def test_it_sees_all_that_came_before_and_nothing_that_follows(make_lstm: Make, ids_BT: Tensor) -> None:
    model = make_lstm()
    changed = ids_BT.clone()
    changed[:, 11] = (changed[:, 11] + 1) % VOCAB
    before, after = model(ids_BT), model(changed)
    assert torch.equal(before[:, :11], after[:, :11])
    assert ((before - after)[:, 11:].abs().amax(-1) > 0).all()


@BOTH_WAYS
def test_token_by_token_is_all_at_once(make_lstm: Make, ids_BT: Tensor, plain_pieces: frozenset[str]) -> None:
    model = make_lstm(plain_pieces=plain_pieces).eval()
    cache = model.new_cache()
    parts = [model(ids_BT[:, :5], cache), *(model(ids_BT[:, t : t + 1], cache) for t in range(5, CONTEXT))]
    torch.testing.assert_close(torch.cat(parts, 1), model(ids_BT))


def test_likeliest_continuations_are_those_of_whole_readings(make_lstm: Make) -> None:
    model, ids = make_lstm().eval(), [3, 17]
    settings = {"temperature": 0.0, "top_k": None, "top_p": None, "seed": 0, "vocab_size": VOCAB, "context_len": 8}
    with torch.no_grad():
        found = generate(model, ids, max_new_tokens=12, **settings)
        for _ in range(12):
            ids.append(int(model(torch.tensor([ids[-8:]]))[0, -1].argmax()))
    assert found == ids[2:]


def test_meta_gives_the_same_weights_and_the_seed_decides(make_lstm: Make) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    with torch.device("meta"):
        late = make_lstm()
    assert all(parameter.is_meta for parameter in late.parameters())
    late.to_empty(device="cpu")
    for parameter in late.parameters():
        nn.init.constant_(parameter, math.nan)  # whatever lay in the memory
    late.init_weights(seed=7)
    early, other = make_lstm(), make_lstm()
    early.init_weights(seed=7)
    other.init_weights(seed=8)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in early.state_dict().items():
        assert torch.equal(tensor, late.state_dict()[name]), name
        assert tensor.dim() == 1 or not torch.equal(tensor, other.state_dict()[name]), name


def test_initial_weights_have_their_spread_and_cells_begin_by_keeping(make_lstm: Make, ids_BT: Tensor) -> None:
    model = make_lstm(d_model=128, vocab_size=4096)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            std = 0.02 if name == "token_embedding.weight" else 1 / math.sqrt(3 * 128)
            assert abs(parameter.std().item() / std - 1) < 5 / math.sqrt(2 * parameter.numel()), name
        else:
            expected = torch.zeros(parameter.numel() // 128, 128)
            expected[1:2] = float("bias_ih" in name)
            expected += float("norm.weight" in name)
            assert torch.equal(parameter, expected.flatten()), name
    loss = model.loss_sum(ids_BT, ids_BT.roll(-1, dims=1))[0].item() / ids_BT.numel()
    assert abs(loss - math.log(4096)) < 0.1


def test_a_sequence_has_its_masks_in_any_batch(make_lstm: Make, ids_BT: Tensor) -> None:
    model, keys_B = make_lstm(dropout=0.3).double(), torch.tensor([11, -5, 7])
    whole = model.loss_sum(ids_BT, ids_BT, keys_B)[0]
    parts = [model.loss_sum(ids_BT[rows], ids_BT[rows], keys_B[rows])[0] for rows in ([2], [1, 0])]
    torch.testing.assert_close(parts[0] + parts[1], whole)
    for other in (torch.tensor([11, -5, 8]), None):
        assert abs(model.loss_sum(ids_BT, ids_BT, other)[0].item() - whole.item()) > 1e-3


@BOTH_WAYS
def test_it_drops_before_between_and_after_the_layers(
    make_lstm: Make, ids_BT: Tensor, plain_pieces: frozenset[str]
) -> None:
    model, keys_B = make_lstm(dropout=0.4, plain_pieces=plain_pieces), torch.arange(3)
    x_BTD = normed(model.token_embedding(ids_BT))
    sites = site_keys(keys_B, 3)
    for place, layer in enumerate([nn.Identity(), *model.layers]):
        x_BTD = layer(x_BTD) if place == 0 else layer(x_BTD)[0]
        x_BTD = torch.where(dropped(x_BTD.shape, 0.4, sites[place]), 0.0, x_BTD / 0.6)
    logits = F.linear(normed(x_BTD), model.token_embedding.weight)
    expected = F.cross_entropy(logits.flatten(0, 1), ids_BT.flatten(), reduction="sum")
    torch.testing.assert_close(model.loss_sum(ids_BT, ids_BT, keys_B)[0], expected)
    model.eval()
    assert torch.equal(model.loss_sum(ids_BT, ids_BT, keys_B)[0], model.loss_sum(ids_BT, ids_BT)[0])


def test_on_a_cpu_bfloat16_leaves_the_recurrence_in_float32(make_lstm: Make, ids_BT: Tensor) -> None:
    model = make_lstm()
    exact = model.loss_sum(ids_BT, ids_BT)[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss, cache = model.loss_sum(ids_BT, ids_BT)[0], model.new_cache()
        logits = model.eval()(ids_BT, cache)
    loss.backward()
    assert logits.dtype == cache[0][0].dtype == torch.float32
    assert 0 < abs(loss.item() / exact.item() - 1) < 1e-2


def test_flops_are_those_that_torch_counts(make_lstm: Make, ids_BT: Tensor) -> None:
    model, T = make_lstm().double(), ids_BT.size(1)  # in float64 the kernels are torch's own products, which it counts
    with FlopCounterMode(display=False) as counter:
        model(ids_BT).sum().backward()
    counted = counter.get_total_flops() / ids_BT.numel()
    first = model.layers[0].weight_hh_l0.numel() * 2 * len(model.layers)  # the state before the first has no gradient
    assert counted + first / T == pytest.approx(model.flops_per_token(T), rel=1e-6)


@pytest.mark.bad_input(51)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_layers": 0}, "^num_layers: 0 is not allowed; give 1 or more"),
        ({"dropout": 1.0}, "^dropout: 1.0 is not allowed; give a number from 0 to below 1"),
    ],
)
def test_a_size_that_cannot_be_is_refused_by_its_name(make_lstm: Make, changes: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        make_lstm(**changes)
