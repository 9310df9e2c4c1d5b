"""trainer.reference names pieces; what there is not, or what the run has not, is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from foundation.errors import ConfigError, SettingError
from pretrain.debug.both_ways import COMPARISONS
from pretrain.describe import plain_told
from pretrain.mesh import Mesh
from pretrain.pieces import NONE, PIECES, asked_for, choose, held_of
from pretrain.plan import TrainerSettings
from pretrain.run import Run
from pretrain.train import forward_backward, train
from pretrain.types import Status

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def make(worker: ModuleType, overrides: list[str]) -> Callable[..., Run]:
    """Assemble a run; of another model where one is named first."""

    def make(*more: str) -> Run:
        named = bool(more) and more[0].startswith("model=")
        kept = [text for text in overrides if not (named and text.startswith(("model.", "model=")))]
        run: Run = worker.make_run(Mesh(0, 1, 0, torch.device("cpu")), [*kept, *more])
        return run

    return make


def test_true_names_all_and_a_list_its_own() -> None:
    assert asked_for(True) == frozenset(PIECES) == frozenset(COMPARISONS)
    assert asked_for(False) == asked_for([]) == NONE
    assert asked_for(["loss", "norm"]) == {"loss", "norm"}
    assert (choose("loss", {"loss"}, 1, 2), choose("loss", NONE, 1, 2)) == (2, 1)
    assert held_of(True, {"loss"}) == held_of(["loss"], {"loss", "norm"}) == {"loss"}


def test_the_setting_s_comment_names_every_piece() -> None:
    text = (CONF / "trainer" / "default.yaml").read_text()
    assert f"a list of {', '.join(sorted(PIECES)[:-1])} and {sorted(PIECES)[-1]}." in text.replace("\n# ", " ")


@pytest.mark.bad_input(51)
def test_a_piece_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(SettingError, match=r"^reference: 'atention' is no piece .*, did you mean 'attention'\?; give"):
        TrainerSettings(16, 8, 2, reference=["loss", "atention"])


def test_a_rehearsal_refuses_no_piece_that_hangs_on_the_machine(overrides: list[str], worker: ModuleType) -> None:
    for name in ("adamw", "digest"):
        run = worker.make_run(Mesh(0, 1, 0, torch.device("meta")), [*overrides, f"trainer.reference={name}"])
        assert run.plain_pieces == {name}
        run.loader.close()


@pytest.mark.bad_input(51)
def test_a_piece_that_the_run_does_not_have_is_refused(make: Callable[..., Run]) -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.reference: dropout, lstm: nothing in this run has .* adamw, att"):
        make("trainer.reference=[lstm,dropout,norm]")


def test_compiling_what_is_to_run_as_written_is_refused(make: Callable[..., Run]) -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.compile: true, but trainer\.reference has norm run as written"):
        make("trainer.reference=norm", "trainer.compile=true")
    run = make("trainer.reference=norm")
    run.loader.close()
    assert run.compiled.startswith("not compiled: trainer.reference")


@pytest.mark.parametrize("model", ["gpt_tiny", "lstm_tiny", "bigram"])
def test_a_run_of_plain_pieces_is_the_run_to_rounding(make: Callable[..., Run], model: str) -> None:
    sizes = [f"model={model}", "model.d_model=32", "model.context_len=32"]
    if model != "bigram":
        sizes += ["model.num_layers=1", "model.dropout=0.1"]
    if model == "gpt_tiny":
        sizes += ["model.num_heads=2"]
    sizes += ["trainer.global_batch_size=2", "trainer.micro_batch_size=1", "trainer.max_steps=2"]
    found: dict[bool, list[Any]] = {}
    for reference in (False, True):
        run = make(*sizes, f"trainer.reference={str(reference).lower()}")
        told = plain_told(run)
        assert len(told) == (len(run.pieces) if reference else 0)
        assert {line.split()[2] for line in told} == run.plain_pieces
        result = forward_backward(run, run.loader.micro_batches(0))
        assert result is not None
        run.optimizer.zero_grad()
        assert train(run) is Status.FINISHED
        run.loader.close()
        found[reference] = [result.loss, result.grad_norm, result.losses_AB, *run.model.state_dict().values()]
    assert "order" in run.plain_pieces and "loss" in run.plain_pieces
    for fast, plain in zip(*found.values(), strict=True):
        torch.testing.assert_close(plain, fast, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[True][0], found[False][0], rtol=1e-6, atol=0)
