"""The bigram learns the counted frequencies of pairs, and its best loss is their conditional entropy."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from foundation.errors import SettingError
from pretrain.evaluate.sampling import generate
from pretrain.model.bigram import Bigram
from pretrain.types import IGNORE

TEXT = "she sells sea shells by the sea shore, the shells she sells are sea shells for sure; so if she sells shells "


def test_trained_it_has_the_frequencies_that_are_counted() -> None:
    letters = sorted(set(TEXT))
    ids = torch.tensor([[letters.index(letter) for letter in TEXT]])
    inputs_BT, targets_BT = ids[:, :-1], ids[:, 1:]
    pairs, firsts = Counter(itertools.pairwise(TEXT)), Counter(TEXT[:-1])
    entropy = -sum(count * math.log(count / firsts[first]) for (first, _), count in pairs.items()) / (len(TEXT) - 1)
    model = Bigram(d_model=len(letters), context_len=len(TEXT), vocab_size=len(letters))
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.1), []
    for step in range(220):
        if step == 150:
            optimizer.param_groups[0]["lr"] = 0.01
        loss = model.loss_sum(inputs_BT, targets_BT)[0] / targets_BT.numel()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] > math.log(len(letters)) - 0.1 and 0.5 < entropy < 1.5
    assert min(losses) >= entropy - 1e-5  # no model of pairs alone can do better
    assert losses[-1] == pytest.approx(entropy, abs=5e-3)
    probs_VV = model(torch.arange(len(letters)).view(1, -1))[0].softmax(-1)
    for i, first in enumerate(letters):
        for j, second in enumerate(letters):
            counted = pairs[first, second] / firsts[first]
            assert probs_VV[i, j].item() == pytest.approx(counted, abs=0.02), (first, second)


@pytest.fixture
def bigram() -> Bigram:
    return Bigram(d_model=32, context_len=24, vocab_size=128)


def test_loss_sum_is_the_cross_entropy_of_the_logits(bigram: Bigram, ids_BT: Tensor) -> None:
    targets_BT = ids_BT.roll(-1, dims=1)
    targets_BT[0, 3:] = IGNORE
    nats = F.cross_entropy(bigram(ids_BT).flatten(0, 1), targets_BT.flatten(), reduction="none").view_as(targets_BT)
    loss, losses_B = bigram.loss_sum(ids_BT, targets_BT, torch.arange(3))
    torch.testing.assert_close(loss, nats.sum())
    torch.testing.assert_close(losses_B, nats.sum(1))
    assert abs(loss.item() / (targets_BT != IGNORE).sum().item() - math.log(128)) < 0.1


def test_a_position_hangs_on_its_own_token_alone(bigram: Bigram, ids_BT: Tensor) -> None:
    changed = (ids_BT + 1) % 128
    changed[:, 11] = ids_BT[:, 11]
    torch.testing.assert_close(bigram(ids_BT)[:, 11], bigram(changed)[:, 11])
    assert not torch.allclose(bigram(ids_BT)[:, 12], bigram(changed)[:, 12])


def test_it_continues_token_by_token(bigram: Bigram) -> None:
    settings = {"temperature": 0.0, "top_k": None, "top_p": None, "seed": 0, "vocab_size": 128, "context_len": 4}
    with torch.no_grad():
        found = generate(bigram.eval(), [5], max_new_tokens=9, **settings)
        table = bigram.token_embedding.weight @ bigram.head.T
    expected = [5]
    for _ in range(9):
        expected.append(int(table[expected[-1]].argmax()))
    assert found == expected[1:]


def test_meta_gives_the_same_weights_and_the_seed_decides(bigram: Bigram) -> None:
    with torch.device("meta"):
        late = Bigram(d_model=32, context_len=24, vocab_size=128)
    late.to_empty(device="cpu")
    late.init_weights(seed=7)
    before = {name: tensor.clone() for name, tensor in bigram.state_dict().items()}
    bigram.init_weights(seed=7)
    for name, tensor in bigram.state_dict().items():
        assert torch.equal(tensor, late.state_dict()[name]), name
        assert not torch.equal(tensor, before[name]), name


def test_flops_are_those_of_the_head(bigram: Bigram) -> None:
    assert bigram.flops_per_token(24) == bigram.flops_per_token(1) == 6 * 128 * 32


def test_a_size_that_cannot_be_is_refused_by_its_name() -> None:
    with pytest.raises(SettingError, match=r"^d_model: 0 is not allowed; give 1 or more"):
        Bigram(d_model=0, context_len=24, vocab_size=128)
