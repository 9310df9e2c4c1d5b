"""Single tokens: what the model says of each of a few fixed ones, and where embeddings and final states lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pretrain.run_files import DATAPOINTS, WATCH
from pretrain.seats import Model
from pretrain.tokenizer import Tokenizer
from pretrain.types import IGNORE
from pretrain.watch.fixed import FixedBatch, FixedBatches
from pretrain.watch.forward import look_into
from pretrain.watch.look import short
from pretrain.watch.pending import Found
from pretrain.watch.projection import planar, reduced

TARGET = "target"
EMBEDDINGS, STATES = "token_embeddings", "final_states"


class Tokens:
    """Looks at the fixed batches.

    Args:
        model: the bare model. tokenizer: of the data. batches: the fixed ones. num_vectors: of a projection at most.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, batches: FixedBatches, num_vectors: int) -> None:
        self._model, self._tokenizer, self._batches, self._num_vectors = model, tokenizer, batches, num_vectors

    def look(self, projections: bool, datapoints: bool) -> dict[str, Tensor]:
        """Return what a pass over the fixed batches shows, on the device."""
        tensors: dict[str, Tensor] = {}
        for split, batch in self._batches.of_split.items():
            if split != self._projected and not datapoints:
                continue
            seen = look_into(self._model, batch.inputs_BT)
            if datapoints:
                tensors |= {f"{split}.{name}": found for name, found in said(seen.logits_BTV, batch.targets_BT).items()}
            if projections and split == self._projected and seen.states_BTD is not None:
                tensors[STATES] = reduced(seen.states_BTD.flatten(0, 1)[: self._num_vectors])
        embedding = token_embedding(self._model, self._tokenizer.vocab_size)
        if projections and embedding is not None:
            tensors[EMBEDDINGS] = reduced(
                embedding[torch.from_numpy(self._ids()).to(embedding.device, non_blocking=True)]
            )
        return tensors

    def lines(self, step: int, found: Found) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the lines, from the tensors once they are on the host.

        Args:
            step: steps finished.
        """
        for split, batch in self._batches.of_split.items():
            if f"{split}.predictions" in found:
                of_split = {
                    name: found[f"{split}.{name}"] for name in ("predictions", "target_probs", "prediction_probs")
                }
                for row in range(len(batch.inputs)):
                    shown = self._shown(batch, row, {name: values[row] for name, values in of_split.items()})
                    yield DATAPOINTS, {"step": step, "split": split, "sequence": row, **shown}
        projections: dict[str, Any] = {}
        if EMBEDDINGS in found:
            projections[EMBEDDINGS] = self._points(found[EMBEDDINGS], self._ids().tolist())
        if STATES in found:
            inputs = self._batches.of_split[self._projected].inputs.flatten()[: self._num_vectors].tolist()
            projections[STATES] = self._points(found[STATES], inputs)
        if projections:
            yield WATCH, {"step": step, "projections": projections}

    @property
    def _projected(self) -> str:
        """The split whose final states are projected: what is held out, where there is such."""
        return list(self._batches.of_split)[-1]

    def _shown(self, batch: FixedBatch, row: int, said_of: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        targets = batch.targets[row].tolist()
        has_target = [target != IGNORE for target in targets]
        return {
            "inputs": [self._text(index) for index in batch.inputs[row].tolist()],
            "targets": [
                self._text(target) if there else None for target, there in zip(targets, has_target, strict=True)
            ],
            "predictions": [self._text(index) for index in said_of["predictions"].tolist()],
            "target_probs": [
                short(prob) if there else None
                for prob, there in zip(said_of["target_probs"].tolist(), has_target, strict=True)
            ],
            "prediction_probs": [short(prob) for prob in said_of["prediction_probs"].tolist()],
            "kinds": [TARGET if there else batch.without for there in has_target],
        }

    def _points(self, reduced_NK: np.ndarray, ids: list[int]) -> dict[str, Any]:
        xy = [[short(x), short(y)] for x, y in planar(reduced_NK).tolist()]
        return {"tokens": [self._text(index) for index in ids], "xy": xy}

    def _ids(self) -> np.ndarray:
        """(n,) int64: ids whose embeddings are shown, evenly spread over the vocabulary."""
        size = self._tokenizer.vocab_size
        return np.unique(np.linspace(0, size - 1, min(size, self._num_vectors)).astype(np.int64))

    def _text(self, index: int) -> str:
        return self._tokenizer.bytes_of([index]).decode(errors="replace")


def said(logits_BTV: Tensor, targets_BT: Tensor) -> dict[str, Tensor]:
    """Return (B, T) each: the likeliest token, its probability and the target's; of no meaning where there is none.

    Args:
        logits_BTV: (B, T, V) float32. targets_BT: (B, T) int64, IGNORE where there is none.
    """
    top_BT, predictions_BT = logits_BTV.max(-1)
    target_BT1 = torch.where(targets_BT == IGNORE, 0, targets_BT).unsqueeze(-1)
    target_BT = logits_BTV.gather(-1, target_BT1).squeeze(-1)
    log_sums_BT = torch.stack([logits_TV.logsumexp(-1) for logits_TV in logits_BTV])  # copies one sequence's at a time
    probs = {"prediction_probs": (top_BT - log_sums_BT).exp(), "target_probs": (target_BT - log_sums_BT).exp()}
    return {"predictions": predictions_BT} | probs


def token_embedding(model: nn.Module, vocab_size: int) -> Tensor | None:
    """Return the weights of the first embedding with a row for each token; None where the model has no such one."""
    tables = (module.weight for module in model.modules() if isinstance(module, nn.Embedding))
    return next((weight.detach() for weight in tables if len(weight) >= vocab_size), None)
