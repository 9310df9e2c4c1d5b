"""The seat of whoever looks into steps: which steps, what is looked at, and the lines that come of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from foundation.errors import ConfigError, require
from pretrain.data.loader import ShardLoader
from pretrain.mesh import Mesh
from pretrain.run_files import WATCH
from pretrain.seats import Model, Numerics, Watch
from pretrain.tokenizer import Tokenizer
from pretrain.types import Batch, StepResult
from pretrain.watch.dying_layers import DyingLayers
from pretrain.watch.fixed import FixedBatches
from pretrain.watch.look import Look
from pretrain.watch.pending import Pending
from pretrain.watch.tokens import Tokens


class SpreadParameters(ConfigError):
    """Parameters of which each rank holds a part can't be looked at."""

    restart_helps = False  # they are as spread after it


class WatchModel(Watch):
    """Looks into the first step and every so many: at layers, histograms, projections and single tokens.

    What it finds goes to watch.jsonl and datapoints.jsonl of the run's folder and to the loggers. Gradients are those
    of the whole global batch before clipping, activations those of rank 0's first sequences before the update;
    projections and tokens are of the weights after it. A look at histograms is one at norms, too.

    Args:
        model, loader, tokenizer, mesh, run_dir: of the run.
        norms_every_steps: steps between two looks at norms, updates, activations, attention and logits; None for none.
        histograms_every_steps: likewise at histograms of weights, gradients and logits.
        projections_every_steps: likewise at token embeddings and final states in two dimensions.
        datapoints_every_steps: likewise at single tokens of a few fixed sequences.
        sequences: sequences of the batch whose activations are looked at; None for a whole micro batch.
        sample_elements: elements of a parameter that histograms, updates and zeros are taken over, evenly spread; None
            for all. Norms are of all elements always.
        projected_vectors: vectors of a projection at most.
        datapoint_sequences: fixed sequences of each split whose tokens are shown.
        datapoint_tokens: tokens of each.
        near_zero_norm: a layer whose gradient norm is below this part of the whole gradient's has none to speak of.
        near_zero_looks: after so many such looks in a row the layer is named, once: in a warning and in journal.jsonl.
    Raises:
        SettingError: a number that can't be.
    """

    def __init__(
        self,
        model: Model,
        loader: ShardLoader,
        tokenizer: Tokenizer,
        mesh: Mesh,
        run_dir: Path,
        norms_every_steps: int | None = 10,
        histograms_every_steps: int | None = 100,
        projections_every_steps: int | None = 1000,
        datapoints_every_steps: int | None = 500,
        sequences: int | None = 1,
        sample_elements: int | None = 65536,
        projected_vectors: int = 512,
        datapoint_sequences: int = 2,
        datapoint_tokens: int = 64,
        near_zero_norm: float = 1e-7,
        near_zero_looks: int = 10,
    ) -> None:
        self._every = {
            "norms": norms_every_steps,
            "histograms": histograms_every_steps,
            "projections": projections_every_steps,
            "datapoints": datapoints_every_steps,
        }
        for name, every in self._every.items():
            require(every is None or every >= 1, f"{name}_every_steps", every, "1 or more, or null for never")
        for name, number in (("sequences", sequences), ("sample_elements", sample_elements)):
            require(number is None or number >= 1, name, number, "1 or more, or null for all")
        sizes = {"projected_vectors": projected_vectors, "datapoint_sequences": datapoint_sequences}
        for name, size in (sizes | {"datapoint_tokens": datapoint_tokens, "near_zero_looks": near_zero_looks}).items():
            require(size >= 1, name, size, "1 or more")
        require(0 <= near_zero_norm < 1, "near_zero_norm", near_zero_norm, "a part of the whole, from 0 to below 1")
        self._model, self._sequences, self._sample_elements = model, sequences, sample_elements
        self._mesh, self._pending = mesh, Pending(mesh.device)
        self._dying = DyingLayers(near_zero_norm, near_zero_looks, run_dir)
        batches = FixedBatches(loader, mesh.device, datapoint_sequences, datapoint_tokens)
        self._tokens = Tokens(model, tokenizer, batches, projected_vectors)

    @contextlib.contextmanager
    def looking(self, step: int, batches: list[Batch], result: StepResult, numerics: Numerics) -> Iterator[None]:
        due = {name for name, every in self._every.items() if every and (step % every == 0 or step == 1)}
        if due:
            refuse_shards(self._model)
        # rank 0 alone: every rank holds the same weights and gradients, and waits for the slowest anyway
        if not due or not self._mesh.is_main:
            yield
            return
        look = Look(self._model, step, self._sample_elements) if due & {"norms", "histograms"} else None
        if look is not None:
            look.at_gradients(result)
            with numerics.autocast(self._mesh.device):
                look.at_forward(batches[0], self._sequences, "histograms" in due)
            if "histograms" in due:
                look.at_histograms()
        yield
        if look is not None:
            look.at_update()
            self._pending.push(step, look.tensors, look.lines)
        if due & {"projections", "datapoints"}:
            with numerics.autocast(self._mesh.device):
                tensors = self._tokens.look("projections" in due, "datapoints" in due)
            self._pending.push(step, tensors, lambda found: self._tokens.lines(step, found))

    def ready(self, step: int, drain: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, line in self._pending.ready(step, drain):
            if name == WATCH and "layers" in line:
                self._dying.take(line)
            yield name, line

    def forget(self) -> None:
        self._pending.forget()
        self._dying.forget()


def refuse_shards(model: nn.Module) -> None:
    """Refuse a model of whose parameters a rank holds a part: rank 0 alone looks, and its pass would wait for ever.

    Raises:
        SpreadParameters: on every rank; names the first such parameter.
    """
    # as staging.py tells a DTensor: importing its module takes longer than a small run's start
    sharded = next((name for name, p in model.named_parameters() if hasattr(p, "to_local")), None)
    if sharded is not None:
        raise SpreadParameters(
            f"watch: {sharded} is spread over the ranks (a DTensor), and watch looks at whole parameters on rank 0 "
            "alone; set watch=none, or take a parallel= that leaves every rank the whole model, such as parallel=ddp"
        )
