from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from foundation.errors import SettingError
from pretrain.evaluate.sampling import draw, generate
from pretrain.model.transformer import Transformer
from pretrain.seats import Model

WORDS, PADDED, CONTEXT = 100, 128, 12


@pytest.fixture(scope="module")
def model() -> Transformer:
    """Weights large enough that the next token depends on all that went before."""
    model = Transformer(num_layers=2, num_heads=2, d_model=16, context_len=CONTEXT, vocab_size=PADDED).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(20)
            if name == "token_embedding.weight":
                parameter[WORDS:] *= 50  # the padding would win, were it not masked
    return model


def plain(model: nn.Module, ids: list[int], count: int) -> list[int]:
    """Greedy and without a cache: read the whole window again for each token."""
    past = list(ids)
    for _ in range(count):
        window = torch.tensor([past[-CONTEXT:]])
        past.append(int(model(window)[0, -1, :WORDS].argmax()))
    return past[len(ids) :]


def run(model: Transformer, ids: list[int], **changes: object) -> list[int]:
    settings = {"max_new_tokens": 20, "temperature": 1.0, "top_k": None, "top_p": None, "seed": 0}
    return generate(model, ids, vocab_size=WORDS, context_len=CONTEXT, **{**settings, **changes})


@pytest.mark.parametrize("length", [1, 5, CONTEXT - 1, CONTEXT, CONTEXT + 3])
def test_greedy_equals_reading_everything_again(model: Transformer, length: int) -> None:
    ids = [(7 * place) % WORDS for place in range(length)]
    assert run(model, ids, max_new_tokens=30, temperature=0.0) == plain(model, ids, 30)


def test_a_seed_gives_the_same_draws_and_another_one_others(model: Transformer) -> None:
    assert run(model, [1, 2], seed=3) == run(model, [1, 2], seed=3)
    assert run(model, [1, 2], seed=3) != run(model, [1, 2], seed=4)
    torch.manual_seed(99)  # the global generator plays no part, and is left alone
    state = torch.get_rng_state()
    run(model, [1, 2], seed=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_padding_is_never_drawn(model: Transformer) -> None:
    assert model(torch.tensor([[1, 2]]))[0, -1].argmax() >= WORDS
    assert all(max(run(model, [1, 2], seed=seed, temperature=5.0)) < WORDS for seed in range(20))


def test_one_candidate_is_greedy(model: Transformer) -> None:
    greedy = plain(model, [5], 20)
    assert run(model, [5], top_k=1) == run(model, [5], top_p=1e-9) == run(model, [5], temperature=1e-6) == greedy


def test_it_stops_at_the_stop_id(model: Transformer) -> None:
    whole = run(model, [5], seed=1)
    stop = whole[7]
    assert run(model, [5], seed=1, stop_id=stop) == whole[: whole.index(stop)]


def test_asked_for_no_token_it_gives_none(model: Transformer) -> None:
    assert run(model, [5], max_new_tokens=0) == []


def kept_by_brute_force(logits: np.ndarray, temperature: float, top_k: int | None, top_p: float | None) -> np.ndarray:
    """The distribution that is drawn from, token by token in plain words."""
    order = sorted(range(len(logits)), key=lambda index: -logits[index])[:top_k]
    weights = [math.exp((logits[index] - logits[order[0]]) / temperature) for index in order]
    probs = [weight / sum(weights) for weight in weights]
    kept, held = np.zeros(len(logits)), 0.0
    for index, prob in zip(order, probs, strict=True):
        if top_p is not None and held >= top_p:
            break
        kept[index], held = prob, held + prob
    return kept / kept.sum()


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 1000),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 3, 50]),
    top_p=st.sampled_from([None, 0.3, 0.75, 1.0]),
)
def test_draws_follow_the_distribution(seed: int, temperature: float, top_k: int | None, top_p: float | None) -> None:
    logits_V = torch.randn(6, generator=torch.Generator().manual_seed(seed))
    expected = kept_by_brute_force(logits_V.double().numpy(), temperature, top_k, top_p)
    generator, count = torch.Generator().manual_seed(seed), 2000
    drawn = [draw(logits_V, temperature, top_k, top_p, generator) for _ in range(count)]
    found = np.bincount(drawn, minlength=6) / count
    assert (found[expected == 0] == 0).all()
    assert (np.abs(found - expected) < 6 * np.sqrt(expected * (1 - expected) / count) + 1e-9).all()


class Uniform(Model):
    """Knows nothing: every token is as likely."""

    context_len = 9

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(PADDED))

    def forward(self, inputs_BT: Tensor, cache: object = None) -> Tensor:
        return self.bias.expand(*inputs_BT.shape, PADDED)

    def new_cache(self) -> None:
        return None

    def init_weights(self, seed: int) -> None:
        nn.init.zeros_(self.bias)

    def loss_sum(self, inputs_BT: Tensor, targets_BT: Tensor, keys_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        nats_B = (targets_BT >= 0).sum(dim=1) * math.log(PADDED)
        return nats_B.sum(), nats_B

    def flops_per_token(self, seq_len: int) -> float:
        return 0.0


def test_any_model_with_a_cache_of_its_own_can_be_sampled() -> None:
    drawn = generate(
        Uniform(), [0], max_new_tokens=500, temperature=1.0, top_k=None, top_p=None, seed=0, vocab_size=4, context_len=9
    )
    assert set(drawn) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": -1.0}, "^temperature: -1.0 is not allowed; give 0, for the likeliest token always, or more"),
        ({"temperature": math.nan}, "^temperature: nan is not allowed"),
        ({"top_k": 0}, "^top_k: 0 is not allowed; give 1 or more, or null"),
        ({"top_p": 0.0}, "^top_p: 0.0 is not allowed; give a number above 0 and up to 1, or null"),
        ({"top_p": 1.1}, "^top_p: 1.1 is not allowed"),
        ({"max_new_tokens": -1}, "^max_new_tokens: -1 is not allowed; give 0, for the prompt alone"),
        ({"ids": []}, r"^ids: \[\] is not allowed; give at least one"),
    ],
)
def test_a_setting_of_the_draws_that_cannot_be_is_refused_by_name(
    model: Transformer, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        run(model, **{"ids": [1], **changes})
