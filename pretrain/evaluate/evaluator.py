"""The evaluator's seat: nothing, or loss on held-out and training text and continuations of prompts every few steps."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import torch
from torch import nn

from foundation.errors import ConfigError
from foundation.files import write_atomic
from pretrain.data.loader import ShardLoader
from pretrain.evaluate.loss import Score, rows_that_fit, score
from pretrain.evaluate.sampling import SamplingError, check_settings, generate
from pretrain.evaluate.windows import HeldOut, TrainingSample, Windows
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.seats import Evaluator, Model
from pretrain.tokenizer import Tokenizer

SAMPLES = "samples.jsonl"


class NoEval(Evaluator):
    """Measures nothing."""

    def due(self, step: int) -> bool:
        return False

    def evaluate(self, step: int) -> dict[str, Any]:
        return {}


class Evaluate(Evaluator):
    """Measures the model every `every_steps` steps and after the last, and leaves training as it was."""

    def __init__(
        self,
        every_steps: int,
        model: Model,
        loader: ShardLoader,
        tokenizer: Tokenizer,
        mesh: Mesh,
        plan: Plan,
        run_dir: Path,
        batches: int = 8,
        prompts: list[str] | None = None,
        max_new_tokens: int = 64,
        temperature: float = 0.8,
        top_k: int | None = 50,
        top_p: float | None = None,
        seed: int = 0,
    ) -> None:
        """Args:
            every_steps: steps between two evaluations.
            model: the bare model. loader: whose data it is measured on. tokenizer: the data's.
            mesh: ranks that share the rows. plan: sizes and the last step. run_dir: where samples.jsonl goes.
            batches: micro batches of the fixed sample of the training set; 0 leaves it out.
            prompts: texts to continue; none writes no samples.
            max_new_tokens: length of a continuation, in tokens.
            temperature: 0 takes the likeliest token always.
            top_k, top_p: draw from the likeliest k, and from the likeliest that hold the share p; null from all.
            seed: of the draws: the same at every evaluation.
        Raises:
            ConfigError: an interval, count or setting of the draws that can't be.
        """
        _at_least("every_steps", every_steps, 1)
        _at_least("batches", batches, 0)
        try:
            check_settings([tokenizer.eot_id], max_new_tokens, temperature, top_k, top_p)
        except SamplingError as error:
            raise ConfigError(f"eval.{error}") from None
        self._every_steps, self._batches, self._prompts = every_steps, batches, prompts or []
        self._max_new_tokens, self._temperature, self._seed = max_new_tokens, temperature, seed
        self._top_k, self._top_p = top_k, top_p
        self._model, self._loader, self._tokenizer = model, loader, tokenizer
        self._mesh, self._plan, self._run_dir = mesh, plan, run_dir

    def due(self, step: int) -> bool:
        return step > 0 and (step % self._every_steps == 0 or step == self._plan.max_steps)

    def evaluate(self, step: int) -> dict[str, Any]:
        with _measuring(self._model, self._mesh.device):
            fields: dict[str, Any] = self._held_out()
            if self._batches:
                sample = TrainingSample(self._loader.samples, self._batches * self._plan.micro_batch_size)
                fields |= self._score(sample).fields("train_sample")
            # A diverged model has nothing to say, and drawing from NaN would end the run.
            prompts = self._prompts if math.isfinite(fields["val_loss"]) else []
            samples = [{"prompt": prompt, "text": self._continue(prompt)} for prompt in prompts]
        if samples:
            fields["samples"] = samples
            if self._mesh.is_main:
                append_samples(self._run_dir / SAMPLES, step, samples)
        return fields

    def _held_out(self) -> dict[str, float]:
        """Score every held-out token; sources one by one where there are several."""
        streams, eot_id = self._loader.dataset.val, self._tokenizer.eot_id
        scores = {name: self._score(HeldOut(stream, self._plan.seq_len, eot_id)) for name, stream in streams.items()}
        fields = sum(scores.values(), Score()).fields("val")
        if len(scores) > 1:
            for name, of_source in scores.items():
                fields |= of_source.fields("val", f"/{name}")
        return fields

    def _score(self, windows: Windows) -> Score:
        plan, tokenizer = self._plan, self._tokenizer
        rows = rows_that_fit(plan.micro_batch_size, plan.seq_len, tokenizer.vocab_size, self._mesh.device)
        return score(self._model, windows, self._mesh, rows, tokenizer.eot_id, tokenizer.token_bytes)

    def _continue(self, prompt: str) -> str:
        ids = generate(
            self._model,
            self._tokenizer.encode(prompt) or [self._tokenizer.eot_id],
            max_new_tokens=self._max_new_tokens,
            temperature=self._temperature,
            top_k=self._top_k,
            top_p=self._top_p,
            seed=self._seed,
            vocab_size=self._tokenizer.vocab_size,
            context_len=self._model.context_len,
            stop_id=self._tokenizer.eot_id,
        )
        return self._tokenizer.decode(ids)


def append_samples(path: Path, step: int, samples: list[dict[str, str]]) -> None:
    """Add one line a sample to samples.jsonl; lines of this step and later ones, of a run that went back, are replaced.

    Args:
        path: the file. step: of the evaluation. samples: prompt and text of each.
    """
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    kept = [line for line in lines if orjson.loads(line)["step"] < step]
    added = [orjson.dumps({"step": step, **sample}, option=orjson.OPT_APPEND_NEWLINE) for sample in samples]
    write_atomic(path, b"".join(kept + added))


@contextlib.contextmanager
def _measuring(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put the model into evaluation mode, without gradients; after it mode and random state are what they were."""
    was_training = model.training
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        model.eval()
        try:
            yield
        finally:
            model.train(was_training)


def _at_least(key: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"eval.{key}: {value} is below {least}; eval=none turns evaluation off")
