from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pretrain.model.errors import ModelError
from pretrain.model.hf import from_huggingface_state, to_huggingface_state
from pretrain.model.transformer import Transformer

transformers = pytest.importorskip("transformers")


@pytest.fixture
def theirs() -> torch.nn.Module:
    """A GPT2LMHeadModel with random weights, biases and norms included, that differ from every default."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=101, n_positions=24, n_embd=32, n_layer=3, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def ours_with(state: dict[str, Tensor]) -> Transformer:
    model = Transformer(num_layers=3, num_heads=4, d_model=32, context_len=24, vocab_size=128).eval()
    model.load_state_dict(state)
    return model


def test_logits_equal_hugging_face(theirs: torch.nn.Module) -> None:
    ours = ours_with(from_huggingface_state(theirs.state_dict(), vocab_size=128))
    ids_BT = torch.randint(0, 101, (2, 24))
    with torch.no_grad():
        expected, found = theirs(ids_BT).logits, ours(ids_BT)
    assert expected.abs().max() > 1  # so that 1e-4 says something
    torch.testing.assert_close(found[..., :101], expected, atol=1e-4, rtol=0)
    assert (found[..., 101:] == 0).all()  # the padding's rows are zeros


def test_loss_and_gradients_equal_hugging_face(theirs: torch.nn.Module) -> None:
    ours = ours_with(from_huggingface_state(theirs.state_dict(), vocab_size=128))
    with torch.no_grad():  # the padding's logits to -1e9, so that both normalise over the same words
        ours.final_norm.bias[0] = theirs.transformer.ln_f.bias[0] = 1e4
        ours.final_norm.weight[0] = theirs.transformer.ln_f.weight[0] = 0
        ours.token_embedding.weight[101:, 0] = -1e5
        ours.token_embedding.weight[:101, 0] = theirs.transformer.wte.weight[:, 0] = 0
    ids_BT = torch.randint(0, 101, (2, 24))
    targets_BT = torch.cat([ids_BT[:, 1:], torch.full((2, 1), -100)], dim=1)
    loss = ours.loss_sum(ids_BT, targets_BT)[0]
    loss.backward()
    expected = theirs(ids_BT, labels=ids_BT).loss * (2 * 23)  # a mean over the shifted targets
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    gradients = from_huggingface_state(
        {name: parameter.grad for name, parameter in theirs.named_parameters() if parameter.grad is not None}, 128
    )
    for name, parameter in ours.named_parameters():
        found = parameter.grad.clone()
        if name == "token_embedding.weight":
            found[:, 0] = gradients[name][:, 0] = 0  # the column that was bent for the padding
        if name.startswith("final_norm"):
            found[0] = gradients[name][0] = 0
        torch.testing.assert_close(
            found, gradients[name], rtol=1e-3, atol=1e-3, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_weights_survive_the_way_to_hugging_face_and_back(theirs: torch.nn.Module) -> None:
    state = theirs.state_dict()
    ours = ours_with(from_huggingface_state(state, vocab_size=128))
    back = to_huggingface_state(ours.state_dict(), vocab_size=101)
    assert set(back) == set(state)
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor), name


def test_old_masks_are_no_weights(theirs: torch.nn.Module) -> None:
    state = theirs.state_dict() | {"transformer.h.0.attn.bias": torch.ones(1, 1, 24, 24)}
    ours_with(from_huggingface_state(state, vocab_size=128))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lm_head.weight": torch.zeros(101, 32)}, "only a tied head"),
        ({"transformer.h.0.attn.c_attn.lora": torch.zeros(1)}, "not a weight of GPT-2"),
        ({"model.layers.0.mlp.gate_proj.weight": torch.zeros(1)}, "not a weight of GPT-2"),
    ],
)
def test_a_state_that_cannot_be_taken_is_refused_by_its_tensor(
    theirs: torch.nn.Module, change: dict[str, Tensor], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        from_huggingface_state({**theirs.state_dict(), **change}, vocab_size=128)


def test_sizes_that_cannot_be_taken(theirs: torch.nn.Module) -> None:
    with pytest.raises(ModelError, match="vocab_size: 100 is below the 101 rows"):
        from_huggingface_state(theirs.state_dict(), vocab_size=100)
    with pytest.raises(ModelError, match=r"transformer\.wte\.weight: missing"):
        from_huggingface_state({}, vocab_size=128)
