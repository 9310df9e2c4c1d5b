"""Documents scored by a classifier of the user's own, which `python -m data_pipeline.classifier` has trained."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash

from data_pipeline.clean.linear_model import LinearModel, ModelError, read_model
from data_pipeline.clean.ngrams import Counting
from data_pipeline.clean.rules import Applied, Limit, Rule
from data_pipeline.documents import utf8_buffers
from foundation.errors import SettingError, require

LUCK = "_with_luck"  # ends the name of the score that a Pareto sample was added to


class Classifier(Rule):
    """Scores documents, and takes out those outside of its limits.

    The score, of the name `score`, is the probability that a document is of the good class: from 0 to 1, 0.5 where both
    are as likely, were there as many documents of each. NaN for a text without a word, which stays.

    With `pareto_alpha`, chance decides beside it, as for GPT-3 (arXiv:2005.14165, appendix A): a document stays if a
    sample of the Pareto distribution is greater than 1 - score. That lets some documents through that the classifier
    has never seen the like of. The sample hangs on the text and `seed` alone; score and sample add up to the score
    `<score>_with_luck`, which must be 1 or more. GPT-3 had 9: of documents with score 0, 0.2 % stay, with 0.5 2.6 %,
    with 0.9 42 %.

    Measured on one core: 110 MB/s with the words and pairs that are the default, 30 with `char_ngrams=[3,4,5]` too.

    Args:
        model: the file of the model.
        score: names the score: each classifier needs its own.
        least: a document with a lower score goes; None: none goes for it.
        most: one with a higher score goes; None: none goes for it.
        reason: for which they go, one word.
        pareto_alpha: of the distribution, in place of `least`; None: chance decides nothing.
        seed: another seed has other samples.
    Raises:
        SettingError: a value that can't work.
    """

    decide_alone = frozenset({"least", "most", "reason"})

    def __init__(
        self,
        model: str,
        score: str = "quality",
        least: float | None = None,
        most: float | None = None,
        reason: str = "low_quality",
        pareto_alpha: float | None = None,
        seed: int = 0,
    ) -> None:
        for name, value in (("least", least), ("most", most)):
            require(value is None or 0 <= value <= 1, name, value, "a probability from 0 to 1, or null for no limit")
        for name, word in (("score", score), ("reason", reason)):
            require(word.isidentifier(), name, word, "a word of letters, digits and _")
        require(pareto_alpha is None or pareto_alpha > 0, "pareto_alpha", pareto_alpha, "a number above 0, or null")
        require(0 <= seed < 2**64, "seed", seed, "a number from 0 to below 2^64")
        if least is not None and pareto_alpha is not None:
            raise SettingError(f"least: {least!r} and pareto_alpha: both say what is too low; set one of them to null")
        self._path, self._score, self._alpha, self._seed = model, score, pareto_alpha, seed
        self._expected: str | None = None  # the content of the model, once it is known
        limits = [] if least is most is None else [_limit(score, least, most, reason)]
        if pareto_alpha is not None:
            limits.append(_limit(score + LUCK, 1.0, None, reason))
        self.limits = tuple(limits)

    def inputs(self) -> list[Path]:
        """Return the model's file: with other bytes of it, documents are scored again. From here on `apply` takes no
        other model: what it gives would stand under the hash of this one.

        Raises:
            ModelError: it is no model that can be used.
        """
        self._expected = read_model(Path(self._path)).content_hash()
        return [Path(self._path)]

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = batch.column("text")
        quality = probabilities(_model(self._path, self._expected), texts)
        scores = {self._score: quality}
        if self._alpha is not None:
            scores[self._score + LUCK] = quality + pareto_samples(texts, self._alpha, self._seed)
        return Applied(batch, scores)


def _limit(score: str, least: float | None, most: float | None, reason: str) -> Limit:
    below, above = ("" if side is None else reason for side in (least, most))
    return Limit(score, -math.inf if least is None else least, math.inf if most is None else most, below, above)


def probabilities(model: LinearModel, texts: pa.LargeStringArray) -> np.ndarray:
    """Return the probability of the good class of each text, (texts,) float64; NaN without an n-gram.

    Args:
        texts: without nulls.
    """
    return sigmoid(Counting(model.ngrams).logits(texts, model.weights, model.bias))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logits)), without overflow, (n,) float64."""
    small = np.exp(-np.abs(logits))
    values: np.ndarray = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    return values


def pareto_samples(texts: pa.LargeStringArray, alpha: float, seed: int) -> np.ndarray:
    """Return a sample for each text, (texts,) float64, as `numpy.random.pareto(alpha)` is distributed: from 0 on.

    Args:
        texts: without nulls; equal ones have equal samples.
    """
    data, offsets = utf8_buffers(texts)
    bounds = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    hashes = (xxhash.xxh3_64_intdigest(data[start:stop].data, seed) for start, stop in bounds)
    uniform = np.fromiter(hashes, np.uint64, len(texts)).astype(np.float64) / 2**64  # in [0, 1]
    samples: np.ndarray = np.maximum(uniform, 2.0**-64) ** (-1 / alpha) - 1
    return samples


def _model(path: str, expected: str | None) -> LinearModel:
    """Return the model of a file, read once in a process while the file stays.

    Args:
        expected: its content's hash; None: any.
    Raises:
        ModelError: as of `read_model`; it has other content.
    """
    try:
        status = Path(path).stat()
    except OSError:
        return read_model(Path(path))  # says why it can't
    model, content_hash = _model_of(path, (status.st_size, status.st_mtime_ns, status.st_ino))
    if expected is not None and content_hash != expected:
        raise ModelError(
            f"{path}: was replaced while documents were scored by it; put the one back that was there, or run again to "
            "score all of them by this one"
        )
    return model


@functools.lru_cache(maxsize=8)
def _model_of(path: str, state: tuple[int, ...]) -> tuple[LinearModel, str]:
    model = read_model(Path(path))
    return model, model.content_hash()
