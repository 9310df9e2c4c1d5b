"""A vocabulary as a text uses it: the longest and the most frequent tokens, those never used, how steeply use falls."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokens.table import TokenTable
from foundation.text import visible

RARE = 10  # uses; fewer teach a model little of a token: Land and Bartolo 2024, arXiv:2405.05417
CURVE_POINTS = 160  # of a rank-frequency curve, evenly spaced in the logarithm of the rank
# white space as it is drawn: what a reader takes for nothing may be a token of sixteen blanks
_REPEATED = re.compile(r"(.{1,4}?)\1{7,}")
_DRAWN = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"})


@dataclass(frozen=True, slots=True)
class Used:
    """A token and how often it came."""

    index: int
    shown: str
    num_bytes: int
    uses: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a vocabulary a text uses.

    Attributes:
        num_tokens: that text may become: special ones and holes left out.
        unused, rare: of these, those that never came, and those that came, but fewer than RARE times.
        tokens: of the text.
        singles: tokens of the text that are one byte.
        fragments: tokens of the text whose bytes are no whole characters.
        unknown: tokens of the text that stand for what the vocabulary can't say.
    """

    num_tokens: int
    unused: int
    rare: int
    tokens: int
    singles: int
    fragments: int
    unknown: int


def coverage(table: TokenTable, counts: np.ndarray) -> Coverage:
    """Return how much of a vocabulary is used; counts: (vocab_size,) int64."""
    ours = counts[table.is_ordinary]
    seen = np.flatnonzero(counts)
    broken = [index for index in seen.tolist() if not is_whole(table.bytes_of(index))]
    return Coverage(
        num_tokens=len(ours),
        unused=int((ours == 0).sum()),
        rare=int(((ours > 0) & (ours < RARE)).sum()),
        tokens=int(counts.sum()),
        singles=int(counts[table.lengths == 1].sum()),
        fragments=int(counts[broken].sum()),
        unknown=int(counts[table.unknown_id]) if table.unknown_id >= 0 else 0,
    )


def longest(table: TokenTable, counts: np.ndarray, number: int, among: np.ndarray | None = None) -> list[Used]:
    """Return the longest tokens by bytes, the lower id first where two are as long.

    Args:
        counts: (vocab_size,) int64.
        among: (m,) int64 ids; None: all that text may become.
    """
    indices = np.flatnonzero(table.is_ordinary)
    if among is not None:
        indices = np.intersect1d(indices, among)
    order = np.lexsort((indices, -table.lengths[indices]))
    return _listed(table, counts, indices[order[:number]])


def most_frequent(table: TokenTable, counts: np.ndarray, number: int) -> list[Used]:
    """Return the tokens that came most often, the lower id first where two came as often."""
    order = np.lexsort((np.arange(len(counts)), -counts))[:number]
    return _listed(table, counts, order[counts[order] > 0])


def rank_frequency(counts: np.ndarray) -> tuple[list[int], list[int]]:
    """Return ranks, from 1, and how often the token of each came: (points,) each, evenly spaced in the logarithm.

    Source: Zipf 1949; of words the curve falls as 1 / rank, a vocabulary that fits its text bends down only at its end.
    """
    falling = np.sort(counts[counts > 0])[::-1]
    if not len(falling):
        return [], []
    ranks = np.unique(np.geomspace(1, len(falling), CURVE_POINTS).round().astype(np.int64))
    return ranks.tolist(), falling[ranks - 1].tolist()


def is_whole(data: bytes) -> bool:
    """Return whether bytes are whole characters."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def shown(data: bytes) -> str:
    """Return a token's bytes as people read them: white space drawn, bytes that are no character as `<E2>`, `-×64`."""
    parts: list[str] = []
    while data:
        try:
            parts.append(data.decode())
            break
        except UnicodeDecodeError as error:
            parts.append(data[: error.start].decode())
            parts += [f"<{byte:02X}>" for byte in data[error.start : error.end]]
            data = data[error.end :]
    return _REPEATED.sub(_counted, visible("".join(parts).translate(_DRAWN)))


def _counted(match: re.Match[str]) -> str:
    return f"{match[1]}×{len(match[0]) // len(match[1])}"


def _listed(table: TokenTable, counts: np.ndarray, indices: np.ndarray) -> list[Used]:
    lengths = table.lengths
    return [
        Used(index, shown(table.bytes_of(index)), int(lengths[index]), int(counts[index])) for index in indices.tolist()
    ]


def unreachable(table: TokenTable, encoder: Encoder) -> np.ndarray:
    """Return the ids that not even their own text becomes, ascending (m,) int64; those of broken characters left out.

    No text trains them: the split or earlier merges stand in between. Source: Land and Bartolo 2024, arXiv:2405.05417,
    section 2.2. A vocabulary whose texts get a blank in front is not asked: its tokens inside words never stand alone.
    """
    if table.has_prefix:
        return np.zeros(0, np.int64)
    pieces = {index: table.bytes_of(index) for index in np.flatnonzero(table.is_ordinary).tolist()}
    texts = {index: piece for index, piece in pieces.items() if piece and is_whole(piece)}
    if not texts:
        return np.zeros(0, np.int64)
    array = pa.array([piece.decode() for piece in texts.values()], pa.large_string())
    ids, lengths = encoder.encode(array)
    firsts = ids[np.cumsum(lengths, dtype=np.int64) - lengths]
    wanted = np.array(list(texts), np.int64)
    beyond: np.ndarray = wanted[(lengths != 2) | (firsts != wanted)]  # 2: itself, and the end of the text
    return beyond
