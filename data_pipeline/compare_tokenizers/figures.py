"""The figures of a comparison, as tokenizers.json holds them and the page shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_pipeline.compare_tokenizers.candidates import Candidate
from data_pipeline.compare_tokenizers.curve import Point
from data_pipeline.compare_tokenizers.measure import Measured
from data_pipeline.compare_tokenizers.sample import Sample
from data_pipeline.tokenize.checks import load
from data_pipeline.tokens.counting import BYTES, CHARS, RUNS, SINGLES, TOKENS, Counted
from data_pipeline.tokens.kinds import BLANKS, DIGIT, INDENT, LINE_END, NAMES
from data_pipeline.tokens.table import TokenTable
from data_pipeline.tokens.vocabulary import (
    Coverage,
    Used,
    coverage,
    longest,
    most_frequent,
    rank_frequency,
    unreachable,
)

GIGABYTE = 10**9
LISTED = 40  # tokens of each list
MOST_LANGUAGES = 20  # the rest stand together
SPREAD = (10, 50, 90)  # percent
LOST_CHARS = 40  # that are shown around the place where a text comes back otherwise
PADDED = 128  # the trainer pads the vocabulary to a multiple of this


@dataclass(frozen=True, slots=True)
class Rate:
    """What some documents are in tokens.

    Attributes:
        documents: of which some may be empty.
        utf8_bytes, words, tokens: of all of them; end-of-text tokens left out.
        bytes_per_token, tokens_per_word: of all of them together; None where there is no token or no word.
        spread: bytes per token of documents: a tenth have at most the first, half the second, nine tenths the third.
        singles_frac: share of the tokens that are one byte.
    """

    documents: int
    utf8_bytes: int
    words: int
    tokens: int
    bytes_per_token: float | None
    tokens_per_word: float | None
    spread: tuple[float, ...] | None
    singles_frac: float | None


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of character costs.

    Attributes:
        utf8_bytes, chars, runs: of the sample, the same for each tokenizer.
        tokens: that end in one; singles: of these, of one byte.
    """

    utf8_bytes: int
    chars: int
    runs: int
    tokens: int
    singles: int

    @property
    def bytes_per_token(self) -> float | None:
        """Bytes to tokens; None where no token ends in one."""
        return _ratio(self.utf8_bytes, self.tokens)


@dataclass(frozen=True, slots=True)
class Lost:
    """The first text that doesn't come back: which, from shortly before the place, and as what it came back."""

    document: str
    text: str
    back: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What one tokenizer is and does.

    Attributes:
        vocab_size: one more than the largest id; padded: as the trainer pads it.
        whole: of the sample; groups: by what -> group -> of its documents.
        whole_tokens: of the whole corpus, by source's rate; of_1_gb: of a gigabyte of such text.
        against_first: its tokens to the first one's.
        digits: tokens a digit.
        white_space: tokens a run of blanks, an indentation, a line end.
        kinds: by name, of those that the sample has.
        came_back: texts that did; lost: the first that did not.
        unreachable: tokens that not even their own text becomes; None where that is not asked.
        parameters: of embeddings by d_model, input alone: twice where input and output are two.
        curve: with fewer merges.
    """

    name: str
    kind: str
    engine: str
    vocab_size: int
    padded: int
    whole: Rate
    groups: dict[str, dict[str, Rate]]
    whole_tokens: int
    of_1_gb: int
    against_first: float
    digits: float | None
    white_space: dict[str, float | None]
    kinds: dict[str, Kind]
    came_back: int
    lost: Lost | None
    coverage: Coverage
    unreachable: int | None
    longest: list[Used]
    most_frequent: list[Used]
    longest_unused: list[Used]
    out_of_reach: list[Used]
    ranks: tuple[list[int], list[int]]
    parameters: dict[int, int]
    curve: list[Point]


def figures(
    sample: Sample,
    measured: Measured,
    candidates: Sequence[Candidate],
    points: Sequence[list[Point]],
    d_models: Sequence[int],
) -> list[Figures]:
    """Return the figures of each candidate; points: of their curves."""
    groups = groups_of(sample, measured)
    found: list[Figures] = []
    for place, candidate in enumerate(candidates):
        counted = measured.counted[place]
        whole = rate(np.ones(len(measured.sizes), bool), measured, counted)
        by_group = {
            what: {name: rate(mask, measured, counted) for name, mask in of.items()} for what, of in groups.items()
        }
        first = found[0].whole.tokens if found else whole.tokens
        found.append(
            _of_one(sample, measured, candidate, counted, whole, by_group, place, first, points[place], d_models)
        )
    return found


def groups_of(sample: Sample, measured: Measured) -> dict[str, dict[str, np.ndarray]]:
    """Return the groups of documents that are told apart: what by -> group -> (n,) bool."""
    by_source = {name: sample.source_of == place for place, name in enumerate(sample.sources)}
    groups = {"source": {name: mask for name, mask in by_source.items() if mask.any()}}
    if measured.languages is not None:
        groups["language"] = _by_language(measured.languages, measured.sizes)
    if sample.held_out is not None and sample.held_out.any():
        groups["split"] = _by_split(groups["source"], sample.held_out)
    if measured.is_code.any() and not measured.is_code.all():
        groups["writing"] = {"dense in code signs": measured.is_code, "other text": ~measured.is_code}
    return groups


def _by_split(by_source: Mapping[str, np.ndarray], held_out: np.ndarray) -> dict[str, np.ndarray]:
    """Return both parts of each source that has both: of sources that differ, no two parts compare."""
    groups: dict[str, np.ndarray] = {}
    for name, mask in by_source.items():
        parts = {f"{name}, training": mask & ~held_out, f"{name}, held out": mask & held_out}
        if all(part.any() for part in parts.values()):
            groups |= parts
    return groups or {"training": ~held_out, "held out": held_out}


def rate(mask: np.ndarray, measured: Measured, counted: Counted) -> Rate:
    """Return what the chosen documents are in tokens; mask: (n,) bool."""
    sizes, words, tokens = measured.sizes[mask], measured.words[mask], counted.tokens[mask]
    num_bytes, num_words, num_tokens = int(sizes.sum()), int(words.sum()), int(tokens.sum())
    each = sizes[tokens > 0] / tokens[tokens > 0]
    spread = tuple(float(value) for value in np.percentile(each, SPREAD)) if len(each) else None
    return Rate(
        *(int(mask.sum()), num_bytes, num_words, num_tokens),
        *(_ratio(num_bytes, num_tokens), _ratio(num_tokens, num_words), spread),
        _ratio(int(counted.singles[mask].sum()), num_tokens),
    )


def _of_one(
    sample: Sample, measured: Measured, candidate: Candidate, counted: Counted, whole: Rate,
    groups: dict[str, dict[str, Rate]], place: int, first_tokens: int, points: list[Point], d_models: Sequence[int],
) -> Figures:  # fmt: skip
    table = TokenTable.of(candidate.tokenizer_json)
    kinds = _kinds(measured.kinds, counted.kinds)
    lost = np.flatnonzero(~counted.came_back)
    ids = counted.ids
    beyond = None if table.has_prefix else unreachable(table, candidate.encoder())
    used = [] if beyond is None else longest(table, ids, LISTED, among=beyond)
    vocab_size = len(table)
    padded = -(-vocab_size // PADDED) * PADDED
    return Figures(
        name=candidate.name,
        kind=candidate.kind,
        engine=measured.engines[place],
        vocab_size=vocab_size,
        padded=padded,
        whole=whole,
        groups=groups,
        whole_tokens=_whole_tokens(sample, groups["source"]),
        of_1_gb=round(GIGABYTE * whole.tokens / max(whole.utf8_bytes, 1)),
        against_first=whole.tokens / max(first_tokens, 1),
        digits=_ratio_of(kinds.get(NAMES[DIGIT]), "chars"),
        white_space={NAMES[kind]: _ratio_of(kinds.get(NAMES[kind]), "runs") for kind in (BLANKS, INDENT, LINE_END)},
        kinds=kinds,
        came_back=int(counted.came_back.sum()),
        lost=_lost(sample, candidate, int(lost[0])) if len(lost) else None,
        coverage=coverage(table, ids),
        unreachable=None if beyond is None else len(beyond),
        longest=longest(table, ids, LISTED),
        most_frequent=most_frequent(table, ids, LISTED),
        longest_unused=longest(table, ids, LISTED, among=np.flatnonzero(ids == 0)),
        out_of_reach=used,
        ranks=rank_frequency(ids),
        parameters={d_model: padded * d_model for d_model in d_models},
        curve=points,
    )


def _by_language(languages: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
    names, places = np.unique(languages, return_inverse=True)
    num_bytes = np.bincount(places, weights=sizes)
    order = np.lexsort((names, -num_bytes)).tolist()
    shown = order if len(order) <= MOST_LANGUAGES + 1 else order[:MOST_LANGUAGES]
    groups = {str(names[number]): places == number for number in shown}
    if len(shown) < len(order):
        groups[f"{len(order) - len(shown)} others"] = ~np.isin(places, shown)
    return groups


def _kinds(of_text: np.ndarray, of_tokens: np.ndarray) -> dict[str, Kind]:
    return {
        name: Kind(*(int(number) for number in (*text[[BYTES, CHARS, RUNS]], *tokens[[TOKENS, SINGLES]])))
        for name, text, tokens in zip(NAMES, of_text, of_tokens, strict=True)
        if text[BYTES]
    }


def _whole_tokens(sample: Sample, by_source: Mapping[str, Rate]) -> int:
    """Return the tokens of the whole corpus: of each source its bytes by its own rate."""
    whole = 0.0
    for name, num_bytes in zip(sample.sources, sample.text_bytes, strict=True):
        found = by_source.get(name)
        if found is not None and found.utf8_bytes:
            whole += num_bytes * found.tokens / found.utf8_bytes
    return round(whole)


def _lost(sample: Sample, candidate: Candidate, number: int) -> Lost:
    tokenizer = load(candidate.tokenizer_json, candidate.name)
    text = sample.texts[number].as_py()
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    back = tokenizer.decode(ids, skip_special_tokens=False)
    place = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back)))
    start, stop = max(place - LOST_CHARS, 0), place + LOST_CHARS
    return Lost(sample.named(number), text[start:stop], back[start:stop])


def _ratio_of(kind: Kind | None, to: str) -> float | None:
    return None if kind is None else _ratio(kind.tokens, int(getattr(kind, to)))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
