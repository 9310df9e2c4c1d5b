"""Fills the Evaluator seat: nothing, or loss on held-out and training text and continuations every few steps."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foundation.errors import require
from foundation.progress import human
from pretrain.data.loader import ShardLoader
from pretrain.evaluate.loss import Score, rows_that_fit, score
from pretrain.evaluate.sampling import check_settings, generate
from pretrain.evaluate.windows import HeldOut, TrainingSubset, Windows, num_windows
from pretrain.json_lines import JsonLines
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.run_files import SAMPLES
from pretrain.seats import Evaluator, Model, nothing
from pretrain.tokenizer import Tokenizer


class NoEval(Evaluator):
    """Measures nothing."""

    def due(self, step: int) -> bool:
        return False

    def describe(self) -> str:
        return "none"

    def evaluate(self, step: int, between: Callable[[], None] = nothing) -> dict[str, Any]:
        return {}


class Evaluate(Evaluator):
    """Measures the model every `every_steps` steps and after the last, and leaves training as it was.

    `val_*` is of `max_tokens` held-out tokens at most, spread evenly, the same at every evaluation. After the last step
    `val_all_*` is of every held-out token, where those are more.

    Args:
        every_steps: steps between two evaluations.
        model: the bare model.
        loader: whose data it is measured on.
        tokenizer: the data's.
        mesh: ranks that share the rows.
        plan: sizes and the last step.
        run_dir: where samples.jsonl goes.
        max_tokens: held-out tokens behind `val_*` at most, those of all sources together; None for all.
        train_subset_sequences: sequences of the training set that are measured too; 0 leaves them out.
        prompts: texts to continue; none writes no samples.
        max_new_tokens: length of a continuation, in tokens.
        temperature: 0 takes the likeliest token always.
        top_k: draw from the likeliest k; None from all.
        top_p: draw from the likeliest that together hold this probability; None from all.
        seed: of the draws: the same at every evaluation.
    Raises:
        SettingError: an interval, count or setting of the draws that can't be.
    """

    def __init__(
        self,
        every_steps: int,
        model: Model,
        loader: ShardLoader,
        tokenizer: Tokenizer,
        mesh: Mesh,
        plan: Plan,
        run_dir: Path,
        max_tokens: int | None = 1_000_000,
        train_subset_sequences: int = 64,
        prompts: list[str] | None = None,
        max_new_tokens: int = 64,
        temperature: float = 0.8,
        top_k: int | None = 50,
        top_p: float | None = None,
        seed: int = 0,
    ) -> None:
        require(every_steps >= 1, "every_steps", every_steps, "1 or more; eval=none turns evaluation off")
        allowed = "0 to leave the training set out, or more"
        require(train_subset_sequences >= 0, "train_subset_sequences", train_subset_sequences, allowed)
        allowed = "1 or more, or null for every held-out token"
        require(max_tokens is None or max_tokens >= 1, "max_tokens", max_tokens, allowed)
        check_settings(max_new_tokens, temperature, top_k, top_p)
        self._every_steps, self._max_tokens, self._prompts = every_steps, max_tokens, prompts or []
        self._train_subset_sequences = train_subset_sequences
        self._max_new_tokens, self._temperature, self._seed = max_new_tokens, temperature, seed
        self._top_k, self._top_p = top_k, top_p
        self._model, self._loader, self._tokenizer = model, loader, tokenizer
        self._mesh, self._plan, self._run_dir = mesh, plan, run_dir

    def due(self, step: int) -> bool:
        return step > 0 and (step % self._every_steps == 0 or step == self._plan.max_steps)

    def describe(self) -> str:
        tokens = sum(stream.num_tokens for stream in self._loader.dataset.val.values())
        rows, every = (_num_rows(self._windows(bound)) for bound in (self._max_tokens, None))
        scored = min(tokens, rows * self._plan.seq_len)
        # a forward pass is a third of a training step's arithmetic
        share = (scored + self._train_subset_sequences * self._plan.seq_len) / 3
        share /= self._every_steps * self._plan.tokens_per_step
        of_all, besides = (f" of {human(tokens)}", "; all of them besides, at the end") if rows < every else ("", "")
        told = f"{human(scored)}{of_all} held-out tokens"
        if self._every_steps >= self._plan.max_steps:
            of_run = share * self._every_steps / self._plan.max_steps
            return f"{told} at the end, which costs {of_run:.1%} of the training{besides}"
        return f"{told} every {self._every_steps} steps, each costs {share:.1%} of the training before it{besides}"

    def evaluate(self, step: int, between: Callable[[], None] = nothing) -> dict[str, Any]:
        with _measuring(self._model, self._mesh.device):
            total, fields = self._held_out(step, between)
            if self._train_subset_sequences:
                subset = TrainingSubset(self._loader.samples, self._train_subset_sequences)
                fields |= self._score(subset, between).fields("train_subset")
            samples = []
            # Not from a diverged model: drawing from NaN raises.
            for prompt in self._prompts if math.isfinite(total.nats) else []:
                between()
                samples.append({"prompt": prompt, "text": self._continue(prompt)})
        if samples:
            fields["samples"] = samples
            if self._mesh.is_main:
                append_samples(self._run_dir / SAMPLES, step, samples)
        return fields

    def _held_out(self, step: int, between: Callable[[], None]) -> tuple[Score, dict[str, Any]]:
        """Score held-out tokens; return the total of those within the bound, and the fields."""
        bounded, every = self._windows(self._max_tokens), self._windows(None)
        total, fields = self._score_sources(bounded, "val", between)
        if step == self._plan.max_steps and _num_rows(bounded) < _num_rows(every):
            fields |= self._score_sources(every, "val_all", between)[1]
        return total, fields

    def _score_sources(
        self, windows: dict[str, HeldOut], prefix: str, between: Callable[[], None]
    ) -> tuple[Score, dict[str, Any]]:
        """Return the total and the fields, sources one by one where there are several."""
        scores = {name: self._score(of_source, between) for name, of_source in windows.items()}
        total = sum(scores.values(), Score())
        fields: dict[str, Any] = total.fields(prefix)
        if len(scores) > 1:
            for name, of_source in scores.items():
                fields |= of_source.fields(prefix, f"/{name}")
        return total, fields

    def _windows(self, max_tokens: int | None) -> dict[str, HeldOut]:
        """Return what is read of each source: its share of `max_tokens`; None for all of it."""
        streams, seq_len, eot_id = self._loader.dataset.val, self._plan.seq_len, self._tokenizer.eot_id
        if max_tokens is None:
            return {name: HeldOut(stream, seq_len, eot_id) for name, stream in streams.items()}
        windows = {name: num_windows(stream, seq_len) for name, stream in streams.items()}
        most, total = max(1, max_tokens // seq_len), max(1, sum(windows.values()))
        rows = {name: max(1, most * count // total) for name, count in windows.items()}  # a small source has its row
        return {name: HeldOut(stream, seq_len, eot_id, rows[name]) for name, stream in streams.items()}

    def _score(self, windows: Windows, between: Callable[[], None]) -> Score:
        plan, tokenizer = self._plan, self._tokenizer
        rows = rows_that_fit(plan.micro_batch_size, plan.seq_len, tokenizer.vocab_size, self._mesh.device)
        return score(
            self._model,
            windows,
            self._mesh,
            rows,
            tokenizer.eot_id,
            tokenizer.token_bytes,
            between,
            tokenizer.prefix_bytes,
        )

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
            context_len=self._plan.seq_len,
            stop_id=self._tokenizer.eot_id,
        )
        return self._tokenizer.decode(ids)


def _num_rows(windows: dict[str, HeldOut]) -> int:
    return sum(of_source.num_rows for of_source in windows.values())


def append_samples(path: Path, step: int, samples: list[dict[str, str]]) -> None:
    """Add one line per sample to samples.jsonl; lines of this and later steps, of a run that went back, are dropped.

    Args:
        path: the file.
        step: of the evaluation.
        samples: prompt and text of each.
    """
    lines = JsonLines(path)
    lines.drop_after(step - 1)
    for sample in samples:
        lines.append({"step": step, **sample})
    lines.sync()
    lines.close()


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
